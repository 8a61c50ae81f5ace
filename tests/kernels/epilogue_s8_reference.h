#pragma once
// EpilogueS8 as epilogue.h states it, written a second time and without regard for speed, and random instances of it.

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/epilogue.h"
#include "test_support.h"

namespace whit::test {

/// An output of `rows` rows of n values, row_stride apart, at a guard page. Compares whole, gaps included.
class Output {
 public:
  Output(EpilogueS8::Output type, isize rows, isize n, isize row_stride)
      : type_(type), stride_(row_stride), bytes_(((rows - 1) * row_stride + n) * element_bytes()) {}

  void* data() { return bytes_.data(); }
  isize stride() const { return stride_; }
  void set(isize row, isize n, f64 value) {
    std::byte* p = bytes_.data() + (row * stride_ + n) * element_bytes();
    if (type_ == EpilogueS8::Output::s8) {
      const s8 v = static_cast<s8>(value);
      std::memcpy(p, &v, sizeof(v));
    } else if (type_ == EpilogueS8::Output::s32) {
      const s32 v = static_cast<s32>(value);
      std::memcpy(p, &v, sizeof(v));
    } else {
      const f32 v = static_cast<f32>(value);
      std::memcpy(p, &v, sizeof(v));
    }
  }
  bool operator==(const Output& other) const {
    return bytes_.size() == other.bytes_.size() && std::memcmp(bytes_.data(), other.bytes_.data(), bytes_.size()) == 0;
  }
  /// Whether `got`, by a kernel of this level, is what this one should be: the same bytes, except that f32 values of
  /// neon32, which takes a subnormal scale for zero, may lose 2^31 * 2^-126.
  bool agrees(const Output& got, Isa isa) const {
    if (isa != Isa::neon32 || type_ != EpilogueS8::Output::f32) return got == *this;
    for (isize i = 0; i < bytes_.size(); i += 4) {
      f32 a, b;
      std::memcpy(&a, bytes_.data() + i, 4);
      std::memcpy(&b, got.bytes_.data() + i, 4);
      if (std::memcmp(&a, &b, 4) != 0 && !(std::fabs(a - b) <= 0x1p-95f)) return false;
    }
    return true;
  }
  /// The byte offset of the first difference, for messages.
  isize first_difference(const Output& other) const {
    for (isize i = 0; i < bytes_.size(); ++i)
      if (bytes_[i] != other.bytes_[i]) return i;
    return -1;
  }

 private:
  isize element_bytes() const { return type_ == EpilogueS8::Output::s8 ? 1 : 4; }

  EpilogueS8::Output type_;
  isize stride_;
  Guarded<std::byte> bytes_;
};

/// epilogue(acc) for row `row`, column n.
inline f64 reference_epilogue(const EpilogueS8& e, s32 acc, isize row, isize n) {
  if (e.output == EpilogueS8::Output::s32) return acc;
  f32 t = static_cast<f32>(acc) * e.scale[n];
  if (e.residual) {
    const f32 x = static_cast<f32>(s32{e.residual[row * e.residual_stride + n]} - e.residual_zero_point);
    const f32 product = x * e.residual_scale;
    t = t + product;
  }
  if (e.activation == Activation::hard_swish) {
    f32 g = t * e.hard_swish_alpha;
    g = g + 0.5f;
    g = g > 0 ? g : 0;
    g = g < 1 ? g : 1;
    t = t * g;
  }
  t = t > e.clamp_min ? t : e.clamp_min;
  t = t < e.clamp_max ? t : e.clamp_max;
  return e.output == EpilogueS8::Output::f32 ? f64{t} : f64{std::nearbyint(t)} + e.zero_point;
}

/// An epilogue with the arrays that it points to, each at a guard page.
struct EpilogueCase {
  EpilogueS8 spec;
  Guarded<f32> scale;
  Guarded<s8> residual;
  isize out_stride;
};

enum class ScaleKind { usual, ties, special };

/// For accumulators of about the size `acc_size`.
inline EpilogueCase make_epilogue(Random& random, EpilogueS8::Output output, bool residual, Activation activation,
                                  ScaleKind scales, isize rows, isize n, f64 acc_size) {
  const isize residual_stride = n + random.integer(0, 3);
  EpilogueCase result{{}, Guarded<f32>(n), Guarded<s8>(residual ? (rows - 1) * residual_stride + n : 0), 0};
  result.out_stride = n + random.integer(0, 3);

  constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
  constexpr f32 kSpecial[] = {0.0f, -0.0f, kInfinity, -kInfinity, 1e38f, -1e38f, 1e-40f, NAN};
  for (f32& scale : result.scale.span()) {
    switch (scales) {
      case ScaleKind::usual: scale = random.real(0.1f, 2.0f) * static_cast<f32>(100 / acc_size); break;
      case ScaleKind::ties: scale = std::ldexp(1.0f, std::ilogb(100 / acc_size)); break;
      case ScaleKind::special: scale = kSpecial[random.integer(0, std::size(kSpecial) - 1)]; break;
    }
  }
  EpilogueS8& e = result.spec;
  e.output = output;
  e.activation = activation;
  e.scale = result.scale.data();
  if (residual) {
    random.fill_integers(result.residual.span(), -128, 127);
    e.residual = result.residual.data();
    e.residual_stride = residual_stride;
    e.residual_scale = scales == ScaleKind::ties ? 0.5f : random.real(0.01f, 1.5f);
    e.residual_zero_point = static_cast<s32>(random.integer(-128, 127));
  }
  e.hard_swish_alpha = random.real(0.01f, 0.3f);
  e.zero_point = static_cast<s32>(random.integer(-128, 127));
  const bool tight = random.integer(0, 1);
  e.clamp_min = static_cast<f32>((tight ? random.integer(-128, 0) : -128) - e.zero_point);
  e.clamp_max = static_cast<f32>((tight ? random.integer(0, 127) : 127) - e.zero_point);
  if (output == EpilogueS8::Output::f32) {
    constexpr f32 kBounds[][2] = {{-kInfinity, kInfinity}, {0, kInfinity}, {0, 6}, {-3.5f, -0.0f}};
    const auto& bounds = kBounds[random.integer(0, std::size(kBounds) - 1)];
    e.clamp_min = bounds[0];
    e.clamp_max = bounds[1];
  }
  return result;
}

}  // namespace whit::test
