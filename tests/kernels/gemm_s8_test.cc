#include "kernels/gemm_s8/gemm_s8.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "epilogue_s8_reference.h"
#include "kernels/gemm_s8/kernel.h"
#include "test_support.h"

namespace whit::gemm_s8 {
namespace {

using test::EpilogueCase;
using test::Guarded;
using test::Output;
using test::PackedBuffer;
using test::Random;
using test::ScaleKind;

// fours: weights whose products with -128 add up, four at a time, to just within s16 in half of the columns, to just
// beyond it in the others. mild, harsh, mixed: steps of 8 k where that is so for every second of them, 2 k apart, in
// all columns; in all but one; either, at random.
enum class Fill { random, minimum, maximum, opposite, fours, mild, harsh, mixed };

struct Case {
  isize m, n, taps, k;
  bool indirect = false;
  Fill fill = Fill::random;
  EpilogueS8::Output output = EpilogueS8::Output::s32;
  bool residual = false;
  Activation activation = Activation::clamp;
  ScaleKind scales = ScaleKind::usual;
  u64 seed = 1;
};

const Kernel& scalar_kernel() { return select({.m = 0, .n = 1, .taps = 1, .k = 1}, IsaSet().with(Isa::scalar)); }

/// A product with all its operands at guard pages, and its result by the definition.
class Fixture {
 public:
  explicit Fixture(const Case& c)
      : c_(c),
        random_(c.seed),
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
        epilogue_(test::make_epilogue(random_, c.output, c.residual, c.activation, c.scales, c.m, c.n,
                                      5500 * std::sqrt(static_cast<f64>(c.taps * c.k)))),
        expected_(c.output, c.m, c.n, epilogue_.out_stride) {
    fill();
    compute();
  }

  Rhs rhs() const {
    return {.values = rhs_.data(),
            .bias = has_bias_ ? bias_.data() : nullptr,
            .n = c_.n,
            .taps = c_.taps,
            .k = c_.k,
            .lhs_zero_point = zero_point_};
  }
  std::size_t packed_bytes(const Kernel& kernel) const { return gemm_s8::packed_bytes(kernel, c_.n, c_.taps, c_.k); }
  Output new_output() const { return Output(c_.output, c_.m, c_.n, epilogue_.out_stride); }
  std::size_t scratch_bytes(const Kernel& kernel) const { return gemm_s8::scratch_bytes(kernel, c_.taps, c_.k); }
  Args args(const std::byte* packed, Output& out, std::byte* scratch) const {
    return {.lhs = {.base = lhs_.data(),
                    .row_stride = row_stride_,
                    .offsets = c_.indirect ? offsets_.data() : nullptr,
                    .pad = pad_.data()},
            .packed = packed,
            .n = c_.n,
            .taps = c_.taps,
            .k = c_.k,
            .epilogue = epilogue_.spec,
            .out = out.data(),
            .out_stride = out.stride(),
            .scratch = scratch};
  }
  Output result(const Kernel& kernel) const {
    PackedBuffer packed(packed_bytes(kernel)), scratch(scratch_bytes(kernel));
    pack(kernel, rhs(), packed.data(), 0, c_.n);
    Output out = new_output();
    run(kernel, args(packed.data(), out, scratch.data()), 0, c_.m, 0, c_.n);
    return out;
  }
  const Output& expected() const { return expected_; }

  /// From now on only the first k of each tap have weights, and all columns this scale.
  void rescale(isize k, f32 scale) {
    for (isize i = 0; i < rhs_.size(); ++i)
      if (i % c_.k >= k) rhs_[i] = 0;
    std::ranges::fill(epilogue_.scale.span(), scale);
    acc_.clear();
    compute();
  }

  /// From now on this output, small biases that reach the kernel as they are, and `bias` in every eighth column.
  void rebias(s32 bias, s32 zero_point, f32 clamp_min, f32 clamp_max) {
    has_bias_ = true;
    zero_point_ = 0;
    for (isize n = 0; n < c_.n; ++n) bias_[n] = n % 8 == 1 ? bias : static_cast<s32>(n * 37 % 101 - 50);
    epilogue_.spec.zero_point = zero_point;
    epilogue_.spec.clamp_min = clamp_min;
    epilogue_.spec.clamp_max = clamp_max;
    acc_.clear();
    compute();
  }

  void rescale_residual(f32 scale) {
    epilogue_.spec.residual_scale = scale;
    acc_.clear();
    compute();
  }

  f64 expected_value(isize m, isize n) const {
    return test::reference_epilogue(epilogue_.spec, acc_[static_cast<std::size_t>(m * c_.n + n)], m, n);
  }

 private:
  void fill() {
    const s8 lhs = c_.fill == Fill::maximum ? 127 : -128;
    const s8 rhs = c_.fill == Fill::minimum ? -127 : 127;
    if (c_.fill == Fill::random) {
      random_.fill_integers(lhs_.span(), -128, 127);
      random_.fill_integers(rhs_.span(), -127, 127);
    } else {
      std::ranges::fill(lhs_.span(), lhs);
      std::ranges::fill(rhs_.span(), rhs);
      zero_point_ = lhs == 127 ? -128 : 127;
    }
    if (c_.fill == Fill::fours) {
      for (isize i = 0; i < c_.n * c_.taps * c_.k; ++i)
        rhs_.span()[static_cast<std::size_t>(i)] = i / (c_.taps * c_.k) % 4 < 2 && i % c_.k % 32 < 8 ? -63 : -64;
    }
    if (c_.fill == Fill::mild || c_.fill == Fill::harsh || c_.fill == Fill::mixed) fill_steps();
    std::ranges::fill(pad_.span(), static_cast<s8>(zero_point_));
    random_.fill_integers(bias_.span(), -100000, 100000);
    for (s32& offset : offsets_.span())
      offset = random_.integer(0, 3) ? static_cast<s32>(random_.integer(0, pixels_ - 1) * row_stride_) : -1;
  }

  void fill_steps() {
    for (isize i = 0; i < rhs_.size(); ++i) rhs_[i] = i % c_.k % 8 < 6 ? -64 : -63;
    for (isize t = 0; t < c_.taps; ++t) {
      for (isize k = 0; k + 8 <= c_.k; k += 8) {
        if (c_.fill == Fill::mild || (c_.fill == Fill::mixed && random_.integer(0, 1))) continue;
        for (isize n = 0; n < c_.n; n += 16) {
          const isize column = random_.integer(n, std::min<isize>(n + 16, c_.n) - 1);
          rhs_[(column * c_.taps + t) * c_.k + k + 6 + random_.integer(0, 1)] = -64;
        }
      }
    }
  }

  void compute() {
    for (isize m = 0; m < c_.m; ++m) {
      for (isize n = 0; n < c_.n; ++n) {
        s64 acc = has_bias_ ? bias_[n] : 0;
        for (isize t = 0; t < c_.taps; ++t) {
          const isize offset = c_.indirect ? offsets_[m * c_.taps + t] : m * row_stride_;
          for (isize k = 0; k < c_.k; ++k) {
            const s64 x = offset >= 0 ? lhs_[offset + k] : zero_point_;
            acc += (x - zero_point_) * rhs_[(n * c_.taps + t) * c_.k + k];
          }
        }
        acc_.push_back(static_cast<s32>(acc));
        expected_.set(m, n, expected_value(m, n));
      }
    }
  }

  Case c_;
  Random random_;
  isize pixels_, row_stride_;
  Guarded<s8> lhs_, pad_;
  Guarded<s32> offsets_;
  Guarded<s8> rhs_;
  Guarded<s32> bias_;
  bool has_bias_;
  s32 zero_point_;
  EpilogueCase epilogue_;
  std::vector<s32> acc_;
  Output expected_;
};

void check(const Kernel& kernel, const Case& c) {
  INFO("m ", c.m, " n ", c.n, " taps ", c.taps, " k ", c.k, " indirect ", c.indirect, " fill ",
       static_cast<int>(c.fill), " output ", static_cast<int>(c.output), " residual ", c.residual, " activation ",
       static_cast<int>(c.activation), " scales ", static_cast<int>(c.scales), " seed ", c.seed);
  const Fixture fixture(c);
  const Output out = fixture.result(kernel);
  INFO("first wrong byte ", out.first_difference(fixture.expected()));
  REQUIRE(fixture.expected().agrees(out, isa(kernel)));
  REQUIRE(fixture.result(scalar_kernel()) == fixture.expected());
}

/// A case of this size, everything else drawn from the seed.
Case any_case(isize m, isize n, isize taps, isize k, u64 seed) {
  Random random(seed);
  return {.m = m,
          .n = n,
          .taps = taps,
          .k = k,
          .indirect = taps > 1 || random.integer(0, 1),
          .output = static_cast<EpilogueS8::Output>(random.integer(0, 2)),
          .residual = random.integer(0, 1) == 1,
          .activation = static_cast<Activation>(random.integer(0, 1)),
          .seed = seed};
}

TEST_CASE("every kernel: every tail of rows, columns and k") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 100;
    for (isize m = 1; m <= 2 * kernel.mr + 1; ++m)
      check(kernel, any_case(m, kernel.nr + 3, 1, 2 * kernel.kr + 1, ++seed));
    for (isize n = 1; n <= 2 * kernel.nr + 1; ++n) {
      check(kernel, any_case(kernel.mr + 1, n, 1, kernel.kr + 3, ++seed));
      check(kernel, any_case(1, n, 2, kernel.kr, ++seed));
    }
    for (isize k = 1; k <= 4 * kernel.kr + 3; ++k) {
      check(kernel, any_case(kernel.mr + 2, kernel.nr + 1, 3, k, ++seed));
      check(kernel, any_case(1, kernel.nr, 1, k, ++seed));
    }
  });
}

TEST_CASE("every kernel: few k, and any number of rows that follow each other") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 900;
    for (const isize k : {8, 13, 16, 24, 27, 32, 40, 63, 64, 65}) {
      for (isize m = 1; m <= 3 * kernel.mr; ++m) {
        check(kernel, {.m = m,
                       .n = 2 * kernel.nr + 3,
                       .taps = 1,
                       .k = k,
                       .fill = m % 3 == 1 ? Fill::fours : Fill::random,
                       .output = EpilogueS8::Output::s8,
                       .seed = ++seed});
      }
    }
  });
}

TEST_CASE("every kernel: sizes around powers of two") {
  constexpr isize kSizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
  test::for_each_kernel(kernels(), [&](const Kernel& kernel) {
    Random random(7);
    const auto size = [&] { return kSizes[random.integer(0, std::size(kSizes) - 1)]; };
    for (u64 seed = 1000; seed < 1060; ++seed)
      check(kernel, any_case(size(), size(), random.integer(1, 5), size(), seed));
    for (const isize m : {1, 2, 3}) check(kernel, any_case(m, 257, 1, 1025, 2000 + static_cast<u64>(m)));
    check(kernel, any_case(255, 3, 9, 65, 2004));  // several blocks of rows
    check(kernel, any_case(131, 33, 9, 257, 2005));
    for (const isize k : {12, 16, 20, 36, 60, 68, 100, 192, 196})
      check(kernel, any_case(70, 40, 9, k, 2100 + static_cast<u64>(k)));
  });
}

TEST_CASE("every kernel: extreme values") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const Fill fill : {Fill::minimum, Fill::maximum, Fill::opposite}) {
      for (const isize k : {1, 2, 16, 31, 64, 1153}) {
        for (const isize m : {isize{1}, isize{kernel.mr}, isize{kernel.mr + 1}})
          check(kernel, {.m = m, .n = 17, .taps = 1, .k = k, .fill = fill});
      }
      check(kernel, {.m = 5, .n = 9, .taps = 9, .k = 33, .indirect = true, .fill = fill});
    }
  });
}

TEST_CASE("every kernel: sums of four products at the limit of s16") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const isize k : {16, 24, 32, 48, 64, 100, 512, 1008, 1024, 1056, 2048}) {
      for (const auto output : {EpilogueS8::Output::s8, EpilogueS8::Output::s32})
        check(kernel, {.m = 2 * kernel.mr + 1, .n = 17, .taps = 1, .k = k, .fill = Fill::fours, .output = output});
    }
  });
}

TEST_CASE("every kernel: runs of steps whose sums of four products fit in s16 and of others") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 3000;
    for (const Fill fill : {Fill::mild, Fill::harsh, Fill::mixed}) {
      const auto check_fill = [&](isize m, isize n, isize taps, isize k) {
        for (const auto output : {EpilogueS8::Output::s8, EpilogueS8::Output::s32})
          check(kernel, {.m = m,
                         .n = n,
                         .taps = taps,
                         .k = k,
                         .indirect = taps > 1,
                         .fill = fill,
                         .output = output,
                         .seed = ++seed});
      };
      for (const isize steps : {0, 1, 2, 3, 8, 31}) {
        for (isize rest = steps ? 0 : 1; rest < 8; ++rest) {
          check_fill(2 * kernel.mr + rest % kernel.mr, kernel.nr, 1, 8 * steps + rest);
          check_fill(kernel.mr, kernel.nr + 8, 3, 8 * steps + rest);
        }
      }
      for (isize m = 1; m < kernel.mr; ++m) check_fill(m, kernel.nr + 1, 2, 45);
      for (const isize steps : {254, 255, 256, 257, 510, 511, 600}) {
        check_fill(kernel.mr + 1, kernel.nr, 1, 8 * steps + 3);
        check_fill(kernel.mr, 8, 2, 8 * steps);
      }
    }
  });
}

TEST_CASE("packed lengths of runs are the longest ones, at every limit") {
  // Of each step the largest sum of four weights, 2 k apart; the lengths that follow from them.
  struct Runs {
    std::vector<int> sums;
    isize taps;
    std::vector<u8> lengths;
  };
  const auto times = [](int count, int sum) { return std::vector<int>(static_cast<std::size_t>(count), sum); };
  const Runs cases[] = {
      {{255, 0, 256, 508, 254, 300}, 1, {2, 2, 1, 1, 0, 0}},
      {{256, 255, 255, 256, 256, 255}, 2, {0, 1, 2, 0, 0, 2, 1, 0}},
      {times(255, 255), 1, {255, 0}},
      {times(256, 255), 1, {255, 1, 0, 0}},
      {times(300, 255), 1, {255, 1, 44, 0}},
      {times(255, 256), 1, {0, 255, 0, 0}},
      {times(300, 256), 1, {0, 255, 0, 45, 0, 0}},
  };
  for (const Kernel& kernel : kernels()) {
    for (const Runs& c : cases) {
      const isize k = 8 * static_cast<isize>(c.sums.size()) / c.taps,
                  runs_bytes = mild_runs_bytes(kernel.kr, c.taps, k);
      if (runs_bytes == 0) continue;
      const isize n = kernel.nr;
      std::vector<s8> weights(static_cast<std::size_t>(n * c.taps * k));
      Random random(5);
      for (std::size_t step = 0; step < c.sums.size(); ++step) {
        const isize tap = static_cast<isize>(step) * 8 / k, lane = random.integer(0, 2 * n - 1);
        s8* w = &weights[static_cast<std::size_t>((lane / 2 * c.taps + tap) * k + static_cast<isize>(step) * 8 % k)];
        for (int i = 0, rest = c.sums[step]; i < 4; ++i) {
          const int magnitude = std::min(127, rest);
          w[2 * i + lane % 2] = static_cast<s8>(random.integer(0, 1) ? magnitude : -magnitude);
          rest -= magnitude;
        }
      }
      PackedBuffer packed(gemm_s8::packed_bytes(kernel, n, c.taps, k));
      const Rhs rhs{.values = weights.data(), .bias = nullptr, .n = n, .taps = c.taps, .k = k, .lhs_zero_point = 3};
      pack(kernel, rhs, packed.data(), 0, n);
      const auto* runs = reinterpret_cast<const u8*>(packed.data()) + n * (4 + c.taps * k);
      std::vector<u8> expected = c.lengths;
      REQUIRE(static_cast<isize>(expected.size()) <= runs_bytes);
      expected.resize(static_cast<std::size_t>(runs_bytes));
      CHECK(std::vector<u8>(runs, runs + runs_bytes) == expected);
    }
  }
}

TEST_CASE("every kernel: every epilogue") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 5000;
    for (const EpilogueS8::Output output : {EpilogueS8::Output::s32, EpilogueS8::Output::s8, EpilogueS8::Output::f32}) {
      for (const bool residual : {false, true}) {
        for (const Activation activation : {Activation::clamp, Activation::hard_swish}) {
          for (const ScaleKind scales : {ScaleKind::usual, ScaleKind::ties, ScaleKind::special}) {
            for (const isize m : {isize{1}, isize{kernel.mr}, isize{2 * kernel.mr}, isize{2 * kernel.mr + 1}}) {
              for (const isize n :
                   {isize{3}, isize{kernel.nr}, isize{kernel.nr + kernel.nr / 2}, isize{2 * kernel.nr - 1}}) {
                check(kernel, {.m = m,
                               .n = n,
                               .taps = 1,
                               .k = 10,
                               .output = output,
                               .residual = residual,
                               .activation = activation,
                               .scales = scales,
                               .seed = ++seed});
              }
            }
          }
        }
      }
    }
  });
}

// Where a kernel may leave the clamp to integers or take accumulators for the bits of an f32, and just beyond.
TEST_CASE("every kernel: accumulators and outputs of every size") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize n = kernel.nr + kernel.nr / 2, k = 300;  // up to 300 * 128 * 127 = 2^22.2
    u64 seed = 7000;
    for (const bool residual : {false, true}) {
      for (const Fill fill : {Fill::random, Fill::minimum, Fill::maximum, Fill::opposite}) {
        Fixture fixture({.m = 2 * kernel.mr,
                         .n = n,
                         .taps = 1,
                         .k = k,
                         .fill = fill,
                         .output = EpilogueS8::Output::s8,
                         .residual = residual,
                         .scales = ScaleKind::ties,
                         .seed = ++seed});
        for (const isize used : {k, isize{259}, isize{256}, isize{255}, isize{1}}) {
          for (const f32 scale : {0x1p-30f, 0x1p-15f, 0x1p-8f, 0x1.fp-8f, 0x1p-7f, 0x1p-6f, 1.0f, 0x1p30f}) {
            INFO("residual ", residual, " fill ", static_cast<int>(fill), " k ", used, " scale ", scale);
            fixture.rescale(used, scale);
            CHECK(fixture.result(kernel) == fixture.expected());
          }
        }
      }
    }
  });
}

TEST_CASE("every kernel: residuals of every scale") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const isize k : {24, 100}) {
      Fixture fixture({.m = 2 * kernel.mr,
                       .n = kernel.nr + kernel.nr / 2,
                       .taps = 1,
                       .k = k,
                       .output = EpilogueS8::Output::s8,
                       .residual = true,
                       .seed = static_cast<u64>(9000 + k)});
      for (const f32 scale : {0.0f, -0.7f, 1.0f, 255.0f, 256.0f, -0x1p24f, 0x1p24f, 0x1p120f, -0x1p120f, 1e-40f}) {
        INFO("k ", k, " scale ", scale);
        fixture.rescale_residual(scale);
        CHECK(fixture.result(kernel) == fixture.expected());
      }
    }
  });
}

// Where a kernel may leave the clamp and the zero point to rounding and narrowing, or a column that is never positive
// to the clamp, and just beyond.
TEST_CASE("every kernel: biases of every size, and outputs with and without a clamp") {
  struct Range {
    s32 zero_point;
    f32 clamp_min, clamp_max;
  };
  constexpr Range kRanges[] = {{-128, 0, 255}, {-128, 0, 254}, {-127, 0, 254}, {-127, -1, 254}, {6, -134, 121},
                               {7, -135, 120}, {7, 0, 120},    {7, 3, 120},    {0, -128, 127},  {0, -127, 127}};
  constexpr s32 kBiases[] = {0,           -0x4000,     -0x200000,   -0x3fffff,  -0x400000,
                             -0x400001,   0x400000,    0x400001,    0x3ffff,    -0x40000000,
                             -0x60000000, -0x60000080, -0x7fffffff, 0x7fffffff, 0x40000000};
  test::for_each_kernel(kernels(), [&](const Kernel& kernel) {
    for (const bool residual : {false, true}) {
      for (const isize k : {1, 16, 24, 32, 40, 255, 300}) {
        Fixture fixture({.m = 2 * kernel.mr,
                         .n = kernel.nr + kernel.nr / 2,
                         .taps = 1,
                         .k = k,
                         .fill = k > 100 ? Fill::minimum : Fill::random,
                         .output = EpilogueS8::Output::s8,
                         .residual = residual,
                         .scales = ScaleKind::ties,
                         .seed = static_cast<u64>(8000 + k)});
        for (const f32 scale : {0x1p-24f, 0x1p-8f, 0.5f, -0x1p-8f, 0x1p-23f}) {
          fixture.rescale(scale == 0x1p-23f ? 0 : k, scale);  // at last biases alone, just beyond ties
          for (const Range& range : kRanges) {
            for (const s32 bias : kBiases) {
              INFO("residual ", residual, " k ", k, " scale ", scale, " zero point ", range.zero_point, " clamp ",
                   range.clamp_min, " bias ", bias);
              fixture.rebias(bias, range.zero_point, range.clamp_min, range.clamp_max);
              CHECK(fixture.result(kernel) == fixture.expected());
            }
          }
        }
      }
    }
  });
}

TEST_CASE("every kernel: ranges of rows and columns, and nothing outside of them") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize m = 3 * kernel.mr + 2, n = 3 * kernel.nr + 1;
    const Fixture fixture({.m = m, .n = n, .taps = 2, .k = 19, .indirect = true, .output = EpilogueS8::Output::s8});
    PackedBuffer packed(fixture.packed_bytes(kernel)), scratch(fixture.scratch_bytes(kernel));
    pack(kernel, fixture.rhs(), packed.data(), 0, n);

    Output pieces = fixture.new_output();
    for (const auto& [m_begin, m_end] : {std::pair<isize, isize>{0, 1}, {1, kernel.mr + 2}, {kernel.mr + 2, m}}) {
      for (const auto& [n_begin, n_end] : {std::pair<isize, isize>{0, kernel.nr}, {kernel.nr, n}})
        run(kernel, fixture.args(packed.data(), pieces, scratch.data()), m_begin, m_end, n_begin, n_end);
    }
    CHECK(pieces == fixture.expected());

    const isize m_begin = kernel.mr - 1, m_end = m - 3, n_begin = kernel.nr, n_end = 2 * kernel.nr;
    Output part = fixture.new_output(), wanted = fixture.new_output();
    run(kernel, fixture.args(packed.data(), part, scratch.data()), m_begin, m_end, n_begin, n_end);
    for (isize row = m_begin; row < m_end; ++row)
      for (isize column = n_begin; column < n_end; ++column)
        wanted.set(row, column, fixture.expected_value(row, column));
    CHECK(part == wanted);

    Output nothing = fixture.new_output();
    run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 3, 3, 0, n);
    run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 0, m, n_begin, n_begin);
    CHECK(nothing == fixture.new_output());
  });
}

TEST_CASE("every kernel: packing in ranges gives the same bytes, and every byte is written") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize n = 4 * kernel.nr + 1;
    const Fixture fixture({.m = 1, .n = n, .taps = 3, .k = kernel.kr + 1, .indirect = true});
    const std::size_t bytes = fixture.packed_bytes(kernel);
    PackedBuffer whole(bytes), pieces(bytes);
    std::memset(whole.data(), 0x11, bytes);
    std::memset(pieces.data(), 0x22, bytes);
    pack(kernel, fixture.rhs(), whole.data(), 0, n);
    pack(kernel, fixture.rhs(), pieces.data(), kernel.nr, 3 * kernel.nr);
    pack(kernel, fixture.rhs(), pieces.data(), 3 * kernel.nr, n);
    pack(kernel, fixture.rhs(), pieces.data(), 0, kernel.nr);
    CHECK(std::memcmp(whole.data(), pieces.data(), bytes) == 0);
    CHECK(panel_columns(kernel) == kernel.nr);
    CHECK(tile_rows(kernel) == kernel.mr);
  });
}

TEST_CASE("every kernel: the residual may be the output") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const Fixture fixture({.m = 35, .n = 37, .taps = 1, .k = 9, .output = EpilogueS8::Output::s8, .residual = true});
    PackedBuffer packed(fixture.packed_bytes(kernel)), scratch(fixture.scratch_bytes(kernel));
    pack(kernel, fixture.rhs(), packed.data(), 0, 37);
    Output out = fixture.new_output();
    Args args = fixture.args(packed.data(), out, scratch.data());
    for (isize m = 0; m < 35; ++m)
      for (isize n = 0; n < 37; ++n) out.set(m, n, args.epilogue.residual[m * args.epilogue.residual_stride + n]);
    args.epilogue.residual = static_cast<const s8*>(args.out);
    args.epilogue.residual_stride = args.out_stride;
    run(kernel, args, 0, 35, 0, 37);
    CHECK(out == fixture.expected());
  });
}

TEST_CASE("every kernel: rows with values behind k, run with padded_k") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (isize k = 1; k <= 96; ++k) {
      for (const int largest : {1, 127}) {  // weights whose products may be summed in s16, and such that may not
        const isize m = 5, n = kernel.nr + 3, padded = padded_k(kernel, k);
        REQUIRE(padded >= k);
        test::Random random(static_cast<u64>(2 * k + largest % 2));
        std::vector<s8> x(static_cast<std::size_t>(m * padded)), w(static_cast<std::size_t>(n * k));
        for (s8& value : x) value = static_cast<s8>(random.integer(-128, 127));
        for (s8& value : w) value = static_cast<s8>(random.integer(-largest, largest));
        PackedBuffer packed(gemm_s8::packed_bytes(kernel, n, 1, k));
        pack(kernel, {w.data(), nullptr, n, 1, k, 3}, packed.data(), 0, n);
        std::vector<s32> out(static_cast<std::size_t>(m * n)), wanted;
        for (isize i = 0; i < m; ++i)
          for (isize j = 0; j < n; ++j) {
            s32 sum = 0;
            for (isize l = 0; l < k; ++l)
              sum += (x[static_cast<std::size_t>(i * padded + l)] - 3) * w[static_cast<std::size_t>(j * k + l)];
            wanted.push_back(sum);
          }
        Args args{};
        args.lhs = {x.data(), padded, nullptr, nullptr};
        args.packed = packed.data();
        args.n = n, args.taps = 1, args.k = padded;
        args.epilogue.output = EpilogueS8::Output::s32;
        args.out = out.data();
        args.out_stride = n;
        run(kernel, args, 0, m, 0, n);
        CAPTURE(k);
        CHECK(out == wanted);
      }
    }
  });
}

TEST_CASE("select names the best kernel for the shape and the instruction sets") {
  const auto chosen = [](isize k, IsaSet isa) {
    return std::string(name(select({.m = 0, .n = 64, .taps = 9, .k = k}, isa)));
  };
  const IsaSet scalar = IsaSet().with(Isa::scalar);
  CHECK(chosen(64, scalar) == "gemm_s8s8s32_4x8k1_scalar");
  CHECK(chosen(64, IsaSet()) == "gemm_s8s8s32_4x8k1_scalar");
#ifdef WHIT_HAVE_AVX2
  CHECK(chosen(64, isa_up_to(Isa::avx2)) == "gemm_s8s8s32_4x16k4_avx2");
  CHECK(chosen(1, isa_up_to(Isa::avx2)) == "gemm_s8s8s32_4x16k4_avx2");
#endif
#ifdef WHIT_HAVE_AVXVNNI
  CHECK(chosen(64, isa_up_to(Isa::avxvnni)) == "gemm_s8s8s32_6x16k4_avxvnni");
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  CHECK(chosen(64, isa_up_to(Isa::avx512vnni)) == "gemm_s8s8s32_12x32k4_avx512vnni");
#endif
#ifdef WHIT_HAVE_AMX
  CHECK(chosen(64, isa_up_to(Isa::amx)) == "gemm_s8s8s32_16x32k4_amx");
  CHECK(chosen(3, isa_up_to(Isa::amx)) == "gemm_s8s8s32_16x32k4_amx");
#endif
#ifdef WHIT_HAVE_NEON
  for (const isize k : {1, 3, 64}) CHECK(chosen(k, isa_up_to(Isa::neon)) == "gemm_s8s8s32_4x16k2_neon");
#endif
#ifdef WHIT_HAVE_NEONDOT
  for (const isize k : {1, 3, 64}) CHECK(chosen(k, isa_up_to(Isa::neondot)) == "gemm_s8s8s32_4x16k4_neondot");
#endif
#ifdef WHIT_HAVE_I8MM
  for (const isize k : {1, 3, 64}) CHECK(chosen(k, isa_up_to(Isa::i8mm)) == "gemm_s8s8s32_4x16k8_i8mm");
#endif
#ifdef WHIT_HAVE_NEON32
  for (const isize k : {1, 3, 64}) CHECK(chosen(k, isa_up_to(Isa::neon32)) == "gemm_s8s8s32_4x4k16_neon32");
#endif
}

}  // namespace
}  // namespace whit::gemm_s8
