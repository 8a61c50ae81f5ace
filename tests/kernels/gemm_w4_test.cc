#include "kernels/gemm_w4/gemm_w4.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "coded_product.h"
#include "kernels/gemm_s8/kernel.h"
#include "kernels/gemm_w4/grouped_kernel.h"
#include "kernels/gemm_w4/kernel.h"
#include "test_support.h"

namespace whit::gemm_w4 {
namespace {

using test::Fill;
using test::Guarded;
using test::Output;
using test::PackedBuffer;
using test::Random;

// integers, consecutive: linear ones, around 0 and not; palette: values over all of s8, 0 among them; no_zero: without.
enum class Book { integers, consecutive, palette, no_zero };
constexpr Book kBooks[] = {Book::integers, Book::consecutive, Book::palette, Book::no_zero};

Codebook make_codebook(Book book, int bits, Random& random) {
  Codebook result = integers(bits);
  if (book == Book::integers) return result;
  const s8 first = static_cast<s8>(random.integer(-127, 112));
  for (isize i = 0; i < result.size(); ++i) {
    const isize spread = 254 * i / (result.size() - 1) - 127;
    result.values[i] = static_cast<s8>(book == Book::consecutive ? first + i : spread);
  }
  if (book == Book::palette) result.values[random.integer(1, result.size() - 2)] = 0;
  return result;
}

struct Case {
  int bits;
  isize m, n, taps, k;
  Book book = Book::integers;
  bool indirect = false;
  Fill fill = Fill::random;
  EpilogueS8::Output output = EpilogueS8::Output::s32;
  bool residual = false;
  Activation activation = Activation::clamp;
  u64 seed = 1;
};

class Fixture : public test::CodedProduct {
 public:
  explicit Fixture(const Case& c) : Fixture(c, Random(c.seed)) {}

  bool pack(const Kernel& kernel, std::byte* packed, isize n_begin, isize n_end) const {
    return gemm_w4::pack(kernel, {weights(), codebook_}, packed, n_begin, n_end);
  }
  std::size_t packed_bytes(const Kernel& kernel) const { return gemm_w4::packed_bytes(kernel, c_.n, c_.taps, c_.k); }
  std::size_t scratch_bytes(const Kernel& kernel) const { return gemm_w4::scratch_bytes(kernel, c_.taps, c_.k); }
  Output result(const Kernel& kernel) const {
    PackedBuffer packed(packed_bytes(kernel)), scratch(scratch_bytes(kernel));
    REQUIRE(pack(kernel, packed.data(), 0, c_.n));
    Output out = new_output();
    run(kernel, args(packed.data(), out, scratch.data()), 0, c_.m, 0, c_.n);
    return out;
  }

 private:
  Fixture(const Case& c, Random random) : Fixture(c, make_codebook(c.book, c.bits, random), random) {}
  Fixture(const Case& c, const Codebook& codebook, const Random& random)
      : CodedProduct({c.m, c.n, c.taps, c.k, c.indirect, c.fill, c.output, c.residual, c.activation, c.seed},
                     {codebook.values, codebook.values + codebook.size()}, random),
        c_(c),
        codebook_(codebook) {}

  Case c_;
  Codebook codebook_;
};

void check(const Kernel& kernel, const Case& c) {
  INFO("m ", c.m, " n ", c.n, " taps ", c.taps, " k ", c.k, " book ", static_cast<int>(c.book), " indirect ",
       c.indirect, " fill ", static_cast<int>(c.fill), " output ", static_cast<int>(c.output), " residual ", c.residual,
       " activation ", static_cast<int>(c.activation), " seed ", c.seed);
  const Fixture fixture(c);
  const Output out = fixture.result(kernel);
  INFO("first wrong byte ", out.first_difference(fixture.expected()));
  REQUIRE(fixture.expected().agrees(out, isa(kernel)));
}

/// A case of this size, everything else drawn from the seed.
Case any_case(const Kernel& kernel, isize m, isize n, isize taps, isize k, u64 seed) {
  Random random(seed);
  return {.bits = bits(kernel),
          .m = m,
          .n = n,
          .taps = taps,
          .k = k,
          .book = kBooks[random.integer(0, 3)],
          .indirect = taps > 1 || random.integer(0, 1),
          .output = static_cast<EpilogueS8::Output>(random.integer(0, 2)),
          .residual = random.integer(0, 1) == 1,
          .activation = static_cast<Activation>(random.integer(0, 1)),
          .seed = seed};
}

/// The sizes of its panels.
struct Sizes {
  explicit Sizes(const Kernel& kernel) : nr(panel_columns(kernel)), kr(k_group(kernel)), mr(tile_rows(kernel)) {}
  isize nr, kr, mr;
};

TEST_CASE("every kernel: every tail of rows, columns and k, of every codebook") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const Sizes s(kernel);
    u64 seed = 100;
    for (isize m = 1; m <= 2 * s.mr + 1; ++m) check(kernel, any_case(kernel, m, s.nr + 3, 1, 37, ++seed));
    for (isize n = 1; n <= 2 * s.nr + 1; ++n) {
      check(kernel, any_case(kernel, s.mr + 1, n, 1, s.kr + 3, ++seed));
      check(kernel, any_case(kernel, 1 + n % kFewRows, n, 1, 32, ++seed));
    }
    for (isize k = 1; k <= 2 * kStep + 2; ++k) {
      check(kernel, any_case(kernel, s.mr + 2, s.nr + 1, 3, k, ++seed));
      for (isize m = 1; m <= kFewRows + 1; ++m) {
        for (const Book book : kBooks) {
          Case c = any_case(kernel, m, s.nr + m, 1, k, ++seed);
          c.book = book;
          check(kernel, c);
        }
      }
    }
  });
}

TEST_CASE("every kernel: a few rows of several taps, of whole steps and not") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 900;
    for (const isize k : {31, 32, 64, 65}) {
      for (isize m = 1; m <= kFewRows + 1; ++m)
        check(kernel, any_case(kernel, m, panel_columns(kernel) + 5, 9, k, ++seed));
    }
  });
}

// Kernels of gemm_s8 may read rows beyond their k, where they take panels to hold zeros.
TEST_CASE("every kernel: rows that follow each other, of k that end within a group") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 1500;
    for (const Book book : kBooks) {
      for (const isize k : {17, 19, 31, 45, 95})
        check(kernel, {.bits = bits(kernel),
                       .m = 3 * tile_rows(kernel) + 1,
                       .n = 2 * panel_columns(kernel),
                       .taps = 1,
                       .k = k,
                       .book = book,
                       .output = EpilogueS8::Output::s8,
                       .seed = ++seed});
    }
  });
}

TEST_CASE("every kernel: sizes around powers of two") {
  constexpr isize kSizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
  test::for_each_kernel(kernels(), [&](const Kernel& kernel) {
    Random random(7);
    const auto size = [&] { return kSizes[random.integer(0, std::size(kSizes) - 1)]; };
    for (u64 seed = 1000; seed < 1060; ++seed)
      check(kernel, any_case(kernel, size(), size(), random.integer(1, 5), size(), seed));
    for (const isize m : {1, 2, 3, 4, 5}) check(kernel, any_case(kernel, m, 257, 1, 1025, 2000 + static_cast<u64>(m)));
    check(kernel, any_case(kernel, 131, 333, 1, 513, 2006));  // several times as many panels as are expanded at once
    check(kernel, any_case(kernel, 40, 33, 9, 257, 2007));
  });
}

TEST_CASE("every kernel: extreme values of rows and of codebooks") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 3000;
    for (const Book book : kBooks) {
      for (const Fill fill : {Fill::lowest, Fill::highest}) {
        for (const isize k : {1, 31, 32, 64, 1153}) {
          for (const isize m : {1, 2, 3, 4, 5, 13}) {
            for (int twice = 0; twice < 2; ++twice)
              check(kernel, {.bits = bits(kernel),
                             .m = m,
                             .n = 17,
                             .taps = 1,
                             .k = k,
                             .book = book,
                             .fill = fill,
                             .seed = ++seed});
          }
        }
        check(kernel, {.bits = bits(kernel),
                       .m = 5,
                       .n = 9,
                       .taps = 9,
                       .k = 33,
                       .book = book,
                       .indirect = true,
                       .fill = fill,
                       .seed = ++seed});
      }
    }
  });
}

TEST_CASE("every kernel: more k than a few rows may have in registers, and as many") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const isize k : {isize{1} << 16, (isize{1} << 16) + 1}) {
      for (const Fill fill : {Fill::lowest, Fill::highest}) {
        for (u64 seed = 0; seed < 4; ++seed)
          check(kernel, {.bits = bits(kernel),
                         .m = 1,
                         .n = 2 * panel_columns(kernel),
                         .taps = 1,
                         .k = k,
                         .fill = fill,
                         .seed = seed});
      }
    }
  });
}

TEST_CASE("every kernel: every epilogue") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 5000;
    for (const EpilogueS8::Output output : {EpilogueS8::Output::s32, EpilogueS8::Output::s8, EpilogueS8::Output::f32}) {
      for (const bool residual : {false, true}) {
        for (const Activation activation : {Activation::clamp, Activation::hard_swish}) {
          for (const isize m : {1, 4, 9}) {
            for (const isize n : {isize{3}, panel_columns(kernel), 2 * panel_columns(kernel) + 5})
              check(kernel, {.bits = bits(kernel),
                             .m = m,
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
    }
  });
}

TEST_CASE("every kernel: ranges of rows and columns, and nothing outside of them") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const Sizes s(kernel);
    const isize m = 3 * s.mr + 2, n = 3 * s.nr + 1;
    const Fixture fixture({.bits = bits(kernel),
                           .m = m,
                           .n = n,
                           .taps = 1,
                           .k = 75,
                           .book = Book::palette,
                           .output = EpilogueS8::Output::s8,
                           .residual = true});
    PackedBuffer packed(fixture.packed_bytes(kernel)), scratch(fixture.scratch_bytes(kernel));
    REQUIRE(fixture.pack(kernel, packed.data(), 0, n));
    Output pieces = fixture.new_output();
    for (const auto& [m_begin, m_end] : {std::pair<isize, isize>{0, 1}, {1, 5}, {5, m}}) {
      for (const auto& [n_begin, n_end] : {std::pair<isize, isize>{0, s.nr}, {s.nr, n}})
        run(kernel, fixture.args(packed.data(), pieces, scratch.data()), m_begin, m_end, n_begin, n_end);
    }
    CHECK(pieces == fixture.expected());
    for (const isize rows : {isize{3}, m - 2}) {
      Output part = fixture.new_output(), wanted = fixture.new_output();
      run(kernel, fixture.args(packed.data(), part, scratch.data()), 1, 1 + rows, s.nr, 2 * s.nr);
      for (isize row = 1; row < 1 + rows; ++row)
        for (isize column = s.nr; column < 2 * s.nr; ++column)
          wanted.set(row, column, fixture.expected_value(row, column));
      CHECK(part == wanted);
    }
    Output nothing = fixture.new_output();
    run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 3, 3, 0, n);
    run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 0, m, s.nr, s.nr);
    CHECK(nothing == fixture.new_output());
  });
}

TEST_CASE("every kernel: packing in ranges gives the same bytes, and every byte is written") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize nr = panel_columns(kernel), n = 4 * nr + 1;
    const Fixture fixture({.bits = bits(kernel), .m = 1, .n = n, .taps = 3, .k = 17, .indirect = true});
    const std::size_t bytes = fixture.packed_bytes(kernel);
    PackedBuffer whole(bytes), pieces(bytes);
    std::memset(whole.data(), 0x11, bytes);
    std::memset(pieces.data(), 0x22, bytes);
    REQUIRE(fixture.pack(kernel, whole.data(), 0, n));
    REQUIRE(fixture.pack(kernel, pieces.data(), nr, 3 * nr));
    REQUIRE(fixture.pack(kernel, pieces.data(), 3 * nr, n));
    REQUIRE(fixture.pack(kernel, pieces.data(), 0, nr));
    CHECK(std::memcmp(whole.data(), pieces.data(), bytes) == 0);
  });
}

TEST_CASE("every kernel: rows may be given with k up to a whole group, whatever is there") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize kr = k_group(kernel), k = 3 * kr - 1;
    for (const isize m : {1, 4, 14}) {
      for (const Book book : kBooks) {
        const Fixture fixture({.bits = bits(kernel), .m = m, .n = 37, .taps = 1, .k = k, .book = book});
        PackedBuffer packed(fixture.packed_bytes(kernel)), scratch(fixture.scratch_bytes(kernel));
        REQUIRE(fixture.pack(kernel, packed.data(), 0, 37));
        Output out = fixture.new_output();
        Args args = fixture.args(packed.data(), out, scratch.data());
        std::vector<s8> rows(static_cast<std::size_t>(m * 3 * kr), s8{99});
        for (isize i = 0; i < m; ++i)
          std::copy_n(args.lhs.base + i * args.lhs.row_stride, k, &rows[static_cast<std::size_t>(i * 3 * kr)]);
        args.lhs.base = rows.data();
        args.lhs.row_stride = args.k = 3 * kr;
        run(kernel, args, 0, m, 0, 37);
        CHECK(out == fixture.expected());
      }
    }
  });
}

TEST_CASE("large products take little more than their codes") {
  for (const Kernel& kernel : kernels()) {
    const f64 weights = 1024 * 1024;
    INFO(std::string(name(kernel)));
    CHECK(static_cast<f64>(packed_bytes(kernel, 1024, 1, 1024)) <= (bits(kernel) == 4 ? 0.52 : 0.27) * weights);
  }
}

TEST_CASE("sizes beyond memory") {
  for (const Kernel& kernel : kernels()) {
    CHECK(packed_bytes(kernel, 1, PTRDIFF_MAX / 64, 2) == SIZE_MAX);
    CHECK(packed_bytes(kernel, PTRDIFF_MAX / 4, 1, 1 << 10) == SIZE_MAX);
    CHECK(scratch_bytes(kernel, 2, PTRDIFF_MAX / 64) == SIZE_MAX);
  }
}

TEST_CASE("codebooks are those of the fewest bits, integers where all are") {
  const auto found = [](std::vector<s8> values) { return codebook(values); };
  const auto is = [](const std::optional<Codebook>& book, int bits, std::vector<s8> values) {
    return book && book->bits == bits && std::equal(values.begin(), values.end(), book->values);
  };
  CHECK(is(found({}), 2, {-2, -1, 0, 1}));
  CHECK(is(found({1, -1, 0, 1}), 2, {-2, -1, 0, 1}));
  CHECK(is(found({2, 0}), 2, {0, 2, 2, 2}));
  CHECK(is(found({90, -90, 30, -30, 90}), 2, {-90, -30, 30, 90}));
  CHECK(is(found({7, 1, 2, 3, 4}), 4, {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7}));
  CHECK(is(found({100, 1, 2, 3, -4}), 4, {-4, 1, 2, 3, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100}));
  std::vector<s8> many;
  for (int i = 0; i < 17; ++i) many.push_back(static_cast<s8>(i));
  CHECK(!found(many));
  many.pop_back();
  CHECK(is(found(many), 4, many));
  CHECK(!found({0, -128}));
  CHECK(integers(4).is_linear());
  CHECK(found(many)->is_linear());
  CHECK(!found({90, -90})->is_linear());
}

TEST_CASE("select names the best kernel for the bits and the instruction sets") {
  const auto chosen = [](int bits, IsaSet isa) { return std::string(name(select({0, 64, 1, 64, bits}, isa))); };
  CHECK(chosen(4, IsaSet()) == "gemm_s8w4s32_4x8k1_scalar");
  CHECK(chosen(2, IsaSet().with(Isa::scalar)) == "gemm_s8w2s32_4x8k1_scalar");
#ifdef WHIT_HAVE_AVX2
  CHECK(chosen(4, isa_up_to(Isa::avx2)) == "gemm_s8w4s32_4x16k4_avx2");
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  CHECK(chosen(2, isa_up_to(Isa::avx512vnni)) == "gemm_s8w2s32_4x32k4_avx512vnni");
#endif
#ifdef WHIT_HAVE_NEON
  CHECK(chosen(4, isa_up_to(Isa::neon)) == "gemm_s8w4s32_4x16k2_neon");
  CHECK(chosen(4, isa_up_to(Isa::neondot)) == "gemm_s8w4s32_4x16k4_neondot");
  CHECK(chosen(4, isa_up_to(Isa::i8mm)) == "gemm_s8w4s32_4x16k8_i8mm");
#endif
#ifdef WHIT_HAVE_NEON32
  CHECK(chosen(4, isa_up_to(Isa::neon32)) == "gemm_s8w4s32_4x4k16_neon32");
#endif
}

// --- scales for groups of k

/// f16 bits of a finite number, and its value.
f32 value_of_f16(u16 bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const f32 magnitude = exponent ? std::ldexp(1024.0f + static_cast<f32>(fraction), exponent - 25)
                                 : std::ldexp(static_cast<f32>(fraction), -24);
  return bits >> 15 ? -magnitude : magnitude;
}

struct GroupedCase {
  isize m, n, k;
  bool zero_points = true, any_scale = false;
  Fill fill = Fill::random;
  u64 seed = 1;
};

void check_grouped(const GroupedKernel& kernel, const GroupedCase& c) {
  INFO("m ", c.m, " n ", c.n, " k ", c.k, " zero points ", c.zero_points, " any scale ", c.any_scale, " fill ",
       static_cast<int>(c.fill), " seed ", c.seed);
  Random random(c.seed);
  const isize row_stride = c.k + random.integer(0, 3), groups = ceil_div(c.k, kScaleGroup);
  Guarded<s8> x((c.m - 1) * row_stride + c.k), w(c.n * c.k);
  Guarded<u16> scales(c.n * groups);
  Guarded<f32> bias(c.n), lhs_scale(c.m);
  Guarded<s32> zero_point(c.m);
  random.fill_integers(x.span(), -128, 127);
  random.fill_integers(w.span(), -8, 7);
  if (c.fill != Fill::random) {
    std::ranges::fill(x.span(), c.fill == Fill::lowest ? s8{-128} : s8{127});
    std::ranges::fill(w.span(), random.integer(0, 1) ? s8{-8} : s8{7});
  }
  for (u16& s : scales.span()) {  // up to 2 and down to 2^-7; or any finite one
    s = static_cast<u16>(c.any_scale ? random.integer(0, 0x7bff) : random.integer(0x2000, 0x4000));
    if (random.integer(0, 3) == 0) s = static_cast<u16>(s | 0x8000);
  }
  random.fill_reals(bias.span(), -10, 10);
  random.fill_reals(lhs_scale.span(), 0.001f, 0.1f);
  random.fill_integers(zero_point.span(), -128, 127);
  if (c.fill == Fill::lowest) std::ranges::fill(zero_point.span(), 127);

  PackedBuffer packed(packed_bytes(kernel, c.n, c.k)), scratch(scratch_bytes(kernel, c.k));
  const bool has_bias = random.integer(0, 3) > 0;
  pack(kernel, {w.data(), scales.data(), has_bias ? bias.data() : nullptr, c.n, c.k}, packed.data(), 0, c.n);
  const isize out_stride = c.n + random.integer(0, 2);
  Output out(EpilogueS8::Output::f32, c.m, c.n, out_stride), expected(EpilogueS8::Output::f32, c.m, c.n, out_stride);
  run(kernel,
      {x.data(), row_stride, lhs_scale.data(), c.zero_points ? zero_point.data() : nullptr, packed.data(), c.n, c.k,
       static_cast<f32*>(out.data()), out_stride, scratch.data()},
      0, c.m, 0, c.n);
  for (isize m = 0; m < c.m; ++m) {
    for (isize n = 0; n < c.n; ++n) {
      f32 y = 0;
      for (isize g = 0; g < groups; ++g) {
        s32 sum = 0;
        for (isize k = g * kScaleGroup; k < std::min(c.k, (g + 1) * kScaleGroup); ++k)
          sum += (x[m * row_stride + k] - (c.zero_points ? zero_point[m] : 0)) * w[n * c.k + k];
        const f32 product = static_cast<f32>(sum) * value_of_f16(scales[n * groups + g]);
        y = y + product;
      }
      const f32 t = y * lhs_scale[m];
      expected.set(m, n, t + (has_bias ? bias[n] : 0));
    }
  }
  INFO("first wrong byte ", out.first_difference(expected));
  REQUIRE(out == expected);
}

TEST_CASE("every kernel of groups: every tail of rows, columns and k") {
  test::for_each_kernel(grouped_kernels(), [](const GroupedKernel& kernel) {
    u64 seed = 100;
    for (isize k = 1; k <= 2 * kScaleGroup + 1; ++k)
      check_grouped(kernel, {1 + k % 9, kernel.nr + 3, k, k % 3 > 0, k % 4 == 0, Fill::random, ++seed});
    for (isize n = 1; n <= 2 * kernel.nr + 1; ++n)
      check_grouped(kernel, {1 + n % 2, n, 70, n % 3 > 0, false, Fill::random, ++seed});
    for (const Fill fill : {Fill::lowest, Fill::highest}) {
      for (const isize k : {31, 32, 33, 1024, 1100}) {
        for (const bool zero_points : {false, true}) {
          check_grouped(kernel, {1, 17, k, zero_points, false, fill, ++seed});
          check_grouped(kernel, {5, 33, k, zero_points, true, fill, ++seed});
        }
      }
    }
    check_grouped(kernel, {3, 257, 4097, true, false, Fill::random, ++seed});
  });
}

TEST_CASE("every kernel of groups: ranges") {
  test::for_each_kernel(grouped_kernels(), [](const GroupedKernel& kernel) {
    constexpr isize kM = 7, kK = 75;
    const isize n = 3 * kernel.nr + 1, groups = ceil_div(kK, kScaleGroup);
    Random random(3);
    std::vector<s8> x(kM * kK), w(static_cast<std::size_t>(n * kK));
    std::vector<u16> scales(static_cast<std::size_t>(n * groups));
    const std::vector<f32> lhs_scale(kM, 0.25f);
    random.fill_integers(std::span(x), -128, 127);
    random.fill_integers(std::span(w), -8, 7);
    random.fill_integers(std::span(scales), 0x2000, 0x4000);
    const std::size_t bytes = packed_bytes(kernel, n, kK);
    PackedBuffer packed(bytes), pieces(bytes), scratch(scratch_bytes(kernel, kK));
    const GroupedRhs rhs{w.data(), scales.data(), nullptr, n, kK};
    std::memset(packed.data(), 0x11, bytes);
    pack(kernel, rhs, packed.data(), 0, n);
    pack(kernel, rhs, pieces.data(), kernel.nr, n);
    pack(kernel, rhs, pieces.data(), 0, kernel.nr);
    CHECK(std::memcmp(packed.data(), pieces.data(), bytes) == 0);
    Output whole(EpilogueS8::Output::f32, kM, n, n), parts(EpilogueS8::Output::f32, kM, n, n);
    GroupedArgs args{
        x.data(),      kK, lhs_scale.data(), nullptr, packed.data(), n, kK, static_cast<f32*>(whole.data()), n,
        scratch.data()};
    run(kernel, args, 0, kM, 0, n);
    args.out = static_cast<f32*>(parts.data());
    run(kernel, args, 2, 2, 0, n);
    run(kernel, args, 0, 1, 0, n);
    run(kernel, args, 1, kM, kernel.nr, n);
    CHECK(!(parts == whole));
    run(kernel, args, 1, kM, 0, kernel.nr);
    CHECK(parts == whole);
  });
}

TEST_CASE("groups of large products take at most 0.57 bytes a weight") {
  for (const GroupedKernel& kernel : grouped_kernels())
    CHECK(static_cast<f64>(packed_bytes(kernel, 1024, 1024)) <= 0.57 * 1024 * 1024);
  CHECK(select_grouped(IsaSet()).isa == Isa::scalar);
  CHECK(select_grouped(test::runnable_isa()).isa == select({0, 1, 1, 1, 4}, test::runnable_isa()).isa);
}

}  // namespace
}  // namespace whit::gemm_w4
