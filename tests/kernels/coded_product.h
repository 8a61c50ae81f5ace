#pragma once
// Products of s8 with weights of few values, for the families that keep such weights as codes.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "epilogue_s8_reference.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "test_support.h"

namespace whit::test {

enum class Fill { random, lowest, highest };

struct CodedCase {
  isize m, n, taps, k;
  bool indirect = false;
  Fill fill = Fill::random;
  EpilogueS8::Output output = EpilogueS8::Output::s32;
  bool residual = false;
  Activation activation = Activation::clamp;
  u64 seed = 1;
};

/// A product with all its operands at guard pages, and its result by the definition. Weights are `values`.
class CodedProduct {
 public:
  CodedProduct(const CodedCase& c, std::vector<s8> values, Random random)
      : c_(c),
        random_(std::move(random)),
        pixels_(c.indirect ? std::max<isize>(1, c.m / 2) : c.m),
        row_stride_(c.k + random_.integer(0, 5)),
        lhs_((pixels_ - 1) * row_stride_ + c.k,
             random_.integer(0, 3) ? Guarded<s8>::Side::end : Guarded<s8>::Side::begin),
        pad_(c.k),
        offsets_(c.indirect ? c.m * c.taps : 0),
        rhs_(c.n * c.taps * c.k),
        bias_(c.n),
        has_bias_(random_.integer(0, 3) > 0),
        zero_point_(static_cast<s32>(random_.integer(-128, 127))),
        epilogue_(make_epilogue(random_, c.output, c.residual, c.activation, ScaleKind::usual, c.m, c.n,
                                spread(values) * 75 * std::sqrt(static_cast<f64>(c.taps * c.k)))),
        expected_(c.output, c.m, c.n, epilogue_.out_stride) {
    const isize last = static_cast<isize>(values.size()) - 1;
    const auto value = [&](isize i) { return values[static_cast<std::size_t>(i)]; };
    random_.fill_integers(lhs_.span(), -128, 127);
    for (s8& w : rhs_.span()) w = value(random_.integer(0, last));
    if (c.fill != Fill::random) {
      std::ranges::fill(lhs_.span(), c.fill == Fill::lowest ? s8{-128} : s8{127});
      std::ranges::fill(rhs_.span(), value(random_.integer(0, 1) * last));
      zero_point_ = c.fill == Fill::lowest ? 127 : -128;
    }
    std::ranges::fill(pad_.span(), static_cast<s8>(zero_point_));
    random_.fill_integers(bias_.span(), -100000, 100000);
    for (s32& offset : offsets_.span())
      offset = random_.integer(0, 3) ? static_cast<s32>(random_.integer(0, pixels_ - 1) * row_stride_) : -1;
    for (isize m = 0; m < c.m; ++m)
      for (isize n = 0; n < c.n; ++n) expected_.set(m, n, expected_value(m, n));
  }

  f64 expected_value(isize m, isize n) const {
    s64 acc = has_bias_ ? bias_[n] : 0;
    for (isize t = 0; t < c_.taps; ++t) {
      const isize offset = c_.indirect ? offsets_[m * c_.taps + t] : m * row_stride_;
      for (isize k = 0; k < c_.k; ++k) {
        const s64 x = offset >= 0 ? lhs_[offset + k] : zero_point_;
        acc += (x - zero_point_) * rhs_[(n * c_.taps + t) * c_.k + k];
      }
    }
    return reference_epilogue(epilogue_.spec, static_cast<s32>(acc), m, n);
  }

  gemm_s8::Rhs weights() const {
    return {rhs_.data(), has_bias_ ? bias_.data() : nullptr, c_.n, c_.taps, c_.k, zero_point_};
  }
  Output new_output() const { return Output(c_.output, c_.m, c_.n, epilogue_.out_stride); }
  gemm_s8::Args args(const std::byte* packed, Output& out, std::byte* scratch) const {
    return {.lhs = {lhs_.data(), row_stride_, c_.indirect ? offsets_.data() : nullptr, pad_.data()},
            .packed = packed,
            .n = c_.n,
            .taps = c_.taps,
            .k = c_.k,
            .epilogue = epilogue_.spec,
            .out = out.data(),
            .out_stride = out.stride(),
            .scratch = scratch};
  }
  const Output& expected() const { return expected_; }

 private:
  /// The root mean square of the values.
  static f64 spread(const std::vector<s8>& values) {
    f64 sum = 0;
    for (const s8 value : values) sum += value * value;
    return std::sqrt(sum / static_cast<f64>(values.size())) + 0.1;
  }

  CodedCase c_;
  Random random_;
  isize pixels_, row_stride_;
  Guarded<s8> lhs_, pad_;
  Guarded<s32> offsets_;
  Guarded<s8> rhs_;
  Guarded<s32> bias_;
  bool has_bias_;
  s32 zero_point_;
  EpilogueCase epilogue_;
  Output expected_;
};

}  // namespace whit::test
