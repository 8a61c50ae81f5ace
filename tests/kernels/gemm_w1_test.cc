#include "kernels/gemm_w1/gemm_w1.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "coded_product.h"
#include "kernels/gemm_w1/kernel.h"
#include "test_support.h"

namespace whit::gemm_w1 {
namespace {

using test::CodedCase;
using test::Fill;
using test::Output;
using test::PackedBuffer;
using test::Random;

/// +1 and -1, a single value, or any two.
TwoValues make_values(Random& random) {
  switch (random.integer(0, 4)) {
    case 0: return {-1, 2};
    case 1: return {static_cast<s32>(random.integer(-127, 127)), 0};
    default: {
      const s32 step = static_cast<s32>(random.integer(1, 254));
      return {static_cast<s32>(random.integer(-127, 127 - step)), step};
    }
  }
}

class Fixture : public test::CodedProduct {
 public:
  explicit Fixture(const CodedCase& c) : Fixture(c, Random(c.seed)) {}

  void pack(const Kernel& kernel, std::byte* packed, isize n_begin, isize n_end) const {
    gemm_w1::pack(kernel, {weights(), values_}, packed, n_begin, n_end);
  }
  std::size_t packed_bytes(const Kernel& kernel) const { return gemm_w1::packed_bytes(kernel, c_.n, c_.taps, c_.k); }
  Output result(const Kernel& kernel) const {
    PackedBuffer packed(packed_bytes(kernel)), scratch(scratch_bytes());
    pack(kernel, packed.data(), 0, c_.n);
    Output out = new_output();
    run(kernel, args(packed.data(), out, scratch.data()), 0, c_.m, 0, c_.n);
    return out;
  }

 private:
  Fixture(const CodedCase& c, Random random) : Fixture(c, make_values(random), random) {}
  Fixture(const CodedCase& c, const TwoValues& values, const Random& random)
      : CodedProduct(c, {static_cast<s8>(values.first), static_cast<s8>(values.first + values.step)}, random),
        c_(c),
        values_(values) {}

  CodedCase c_;
  TwoValues values_;
};

void check(const Kernel& kernel, const CodedCase& c) {
  INFO("m ", c.m, " n ", c.n, " taps ", c.taps, " k ", c.k, " indirect ", c.indirect, " fill ",
       static_cast<int>(c.fill), " output ", static_cast<int>(c.output), " seed ", c.seed);
  const Fixture fixture(c);
  const Output out = fixture.result(kernel);
  INFO("first wrong byte ", out.first_difference(fixture.expected()));
  REQUIRE(fixture.expected().agrees(out, isa(kernel)));
}

/// A case of this size, everything else drawn from the seed.
CodedCase any_case(isize m, isize n, isize taps, isize k, u64 seed) {
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

TEST_CASE("every kernel: every tail of columns and k, one tap and several") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 100;
    for (isize n = 1; n <= 2 * panel_columns(kernel) + 1; ++n) check(kernel, any_case(1 + n % 3, n, 1, 37, ++seed));
    for (isize k = 1; k <= 70; ++k) {
      for (const isize taps : {1, 2, 9}) check(kernel, any_case(2, panel_columns(kernel) + 3, taps, k, ++seed));
    }
  });
}

TEST_CASE("every kernel: more k than tables are made for at a time, more columns than they serve") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 500;
    const isize k = kMostPairs * kPairValues;
    for (const isize some : {k - 1, k, k + 1, 3 * k + 5}) check(kernel, any_case(2, 9, 1, some, ++seed));
    check(kernel, any_case(2, 9, 9, k / 2 + 3, ++seed));
    for (const isize n : {kMostColumns, kMostColumns + 1, 2 * kMostColumns + 70})
      check(kernel, any_case(3, n, 1, 20, ++seed));
  });
}

TEST_CASE("every kernel: extreme values of rows and of weights") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 900;
    for (const Fill fill : {Fill::lowest, Fill::highest}) {
      for (const isize k : {1, 8, 64, 1024, 4609}) {
        for (int often = 0; often < 8; ++often)
          check(kernel, {.m = 2, .n = 17, .taps = 1, .k = k, .fill = fill, .seed = ++seed});
      }
    }
  });
}

TEST_CASE("every kernel: every epilogue") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 1500;
    for (const EpilogueS8::Output output : {EpilogueS8::Output::s32, EpilogueS8::Output::s8, EpilogueS8::Output::f32}) {
      for (const bool residual : {false, true}) {
        for (const Activation activation : {Activation::clamp, Activation::hard_swish}) {
          for (const isize n : {isize{3}, panel_columns(kernel), 2 * panel_columns(kernel) + 5})
            check(kernel, {.m = 3,
                           .n = n,
                           .taps = 1,
                           .k = 70,
                           .output = output,
                           .residual = residual,
                           .activation = activation,
                           .seed = ++seed});
        }
      }
    }
  });
}

TEST_CASE("every kernel: ranges of rows and columns, and nothing outside of them") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize nr = panel_columns(kernel), m = 5, n = 3 * nr + 1;
    const Fixture fixture(
        {.m = m, .n = n, .taps = 1, .k = 75, .output = EpilogueS8::Output::s8, .residual = true, .seed = 7});
    PackedBuffer packed(fixture.packed_bytes(kernel)), scratch(scratch_bytes());
    fixture.pack(kernel, packed.data(), 0, n);
    Output pieces = fixture.new_output(), part = fixture.new_output(), wanted = fixture.new_output();
    for (const auto& [m_begin, m_end] : {std::pair<isize, isize>{0, 1}, {1, m}}) {
      for (const auto& [n_begin, n_end] : {std::pair<isize, isize>{0, nr}, {nr, n}})
        run(kernel, fixture.args(packed.data(), pieces, scratch.data()), m_begin, m_end, n_begin, n_end);
    }
    CHECK(pieces == fixture.expected());
    run(kernel, fixture.args(packed.data(), part, scratch.data()), 1, 3, nr, 2 * nr);
    for (isize row = 1; row < 3; ++row)
      for (isize column = nr; column < 2 * nr; ++column) wanted.set(row, column, fixture.expected_value(row, column));
    CHECK(part == wanted);
    Output nothing = fixture.new_output();
    run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 3, 3, 0, n);
    run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 0, m, nr, nr);
    CHECK(nothing == fixture.new_output());
  });
}

TEST_CASE("every kernel: packing in ranges gives the same bytes, and every byte is written") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize nr = panel_columns(kernel), n = 4 * nr + 1;
    const Fixture fixture({.m = 1, .n = n, .taps = 3, .k = 17, .indirect = true});
    const std::size_t bytes = fixture.packed_bytes(kernel);
    PackedBuffer whole(bytes), pieces(bytes);
    std::memset(whole.data(), 0x11, bytes);
    std::memset(pieces.data(), 0x22, bytes);
    fixture.pack(kernel, whole.data(), 0, n);
    fixture.pack(kernel, pieces.data(), nr, 3 * nr);
    fixture.pack(kernel, pieces.data(), 3 * nr, n);
    fixture.pack(kernel, pieces.data(), 0, nr);
    CHECK(std::memcmp(whole.data(), pieces.data(), bytes) == 0);
  });
}

TEST_CASE("large products take little more than their bits") {
  for (const Kernel& kernel : kernels())
    CHECK(static_cast<f64>(packed_bytes(kernel, 1024, 1, 1024)) <= (1 / 8.0 + 0.005) * 1024 * 1024);
}

TEST_CASE("sizes beyond memory") {
  for (const Kernel& kernel : kernels()) {
    CHECK(packed_bytes(kernel, 1, PTRDIFF_MAX / 64, 2) == SIZE_MAX);
    CHECK(packed_bytes(kernel, PTRDIFF_MAX / 4, 1, 1 << 12) == SIZE_MAX);
  }
}

TEST_CASE("two values, or one") {
  const auto is = [](std::vector<s8> values, s32 first, s32 step) {
    const auto found = two_values(values);
    return found && found->first == first && found->step == step;
  };
  CHECK(is({1, -1, 1}, -1, 2));
  CHECK(is({90, 90, -127}, -127, 217));
  CHECK(is({5, 5}, 5, 0));
  CHECK(is({-128, 127}, -128, 255));
  CHECK(!two_values({}));
  CHECK(!two_values(std::vector<s8>{0, 1, -1}));
}

TEST_CASE("select names the best kernel of the instruction sets") {
  const auto chosen = [](IsaSet isa) { return std::string(name(select(isa))); };
  CHECK(chosen(IsaSet()) == "gemm_s8w1s32_1x32k8_scalar");
#ifdef WHIT_HAVE_AVX2
  CHECK(chosen(isa_up_to(Isa::avx512vnni)) == "gemm_s8w1s32_1x64k8_avx2");
#endif
#ifdef WHIT_HAVE_NEON
  CHECK(chosen(isa_up_to(Isa::neondot)) == "gemm_s8w1s32_1x32k8_neon");
#endif
}

}  // namespace
}  // namespace whit::gemm_w1
