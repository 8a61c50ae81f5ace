#include "kernels/gemm_f32/gemm_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "f32_support.h"
#include "kernels/gemm_f32/kernel.h"

namespace whit::gemm_f32 {
namespace {

using namespace whit::test;

/// A product with all its operands, each ending at a guard page.
struct Product {
  isize m, n, taps, k;
  isize row_stride, out_stride, residual_stride;
  bool indirect;
  Guarded<f32> lhs, pad, values, bias, residual;
  Guarded<s32> offsets;

  Product(isize m, isize n, isize taps, isize k, bool indirect, Random& random)
      : m(m),
        n(n),
        taps(taps),
        k(k),
        row_stride(k + random.integer(0, 3)),
        out_stride(n + random.integer(0, 3)),
        residual_stride(n + random.integer(0, 3)),
        indirect(indirect),
        lhs(units(random, (m - 1) * row_stride + k)),
        pad(units(random, k)),
        values(units(random, n * taps * k)),
        bias(units(random, n)),
        residual(units(random, (m - 1) * residual_stride + n)),
        offsets(indirect ? m * taps : 0) {
    for (s32& offset : offsets.span())
      offset = random.integer(0, 3) == 0 ? -1 : static_cast<s32>(random.integer(0, m - 1) * row_stride);
  }

  const f32* row(isize i, isize tap) const {
    if (!indirect) return lhs.data() + i * row_stride;
    const s32 offset = offsets[i * taps + tap];
    return offset < 0 ? pad.data() : lhs.data() + offset;
  }

  PackedBuffer pack(const Kernel& kernel) const {
    const std::size_t bytes = packed_bytes(kernel, n, taps, k);
    PackedBuffer packed(bytes);
    std::fill_n(packed.data(), bytes, std::byte{0xff});
    gemm_f32::pack(kernel, {values.data(), bias.data(), n, taps, k}, packed.data(), 0, n);
    return packed;
  }

  Args args(const PackedBuffer& packed, const EpilogueF32& epilogue, Guarded<f32>& out) const {
    const Lhs rows = {lhs.data(), row_stride, indirect ? offsets.data() : nullptr, pad.data()};
    return {rows, packed.data(), n, taps, k, epilogue, out.data(), out_stride};
  }

  Guarded<f32> new_out() const { return untouched((m - 1) * out_stride + n); }

  /// The accumulators as this level's kernels must have them, bit for bit.
  std::vector<f32> accumulators(Isa isa) const {
    std::vector<f32> result;
    for (isize i = 0; i < m; ++i) {
      for (isize j = 0; j < n; ++j) {
        f32 acc = bias[j];
        for (isize t = 0; t < taps; ++t)
          for (isize l = 0; l < k; ++l) acc = multiply_add(isa, row(i, t)[l], values[(j * taps + t) * k + l], acc);
        result.push_back(acc);
      }
    }
    return result;
  }

  f64 exact(isize i, isize j) const {
    f64 sum = bias[j];
    for (isize t = 0; t < taps; ++t)
      for (isize l = 0; l < k; ++l) sum += static_cast<f64>(row(i, t)[l]) * values[(j * taps + t) * k + l];
    return sum;
  }
};

/// The number of elements of `out` that are not epilogue(acc), or were written outside [m][n].
isize wrong_elements(const Product& p, const EpilogueF32& e, const std::vector<f32>& acc, const Guarded<f32>& out) {
  isize wrong = 0;
  for (isize at = 0; at < out.size(); ++at) {
    const isize i = at / p.out_stride, j = at % p.out_stride;
    u32 want = kUntouched;
    if (j < p.n) want = bits(epilogue(e, acc[i * p.n + j], p.residual[i * p.residual_stride + j]));
    wrong += bits(out[at]) != want;
  }
  return wrong;
}

void check(const Kernel& kernel, isize m, isize n, isize taps, isize k, bool indirect, u32 seed) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(taps);
  CAPTURE(k);
  CAPTURE(indirect);
  CAPTURE(seed);
  Random random(seed);
  const Product p(m, n, taps, k, indirect, random);
  const PackedBuffer packed = p.pack(kernel);
  const std::vector<f32> acc = p.accumulators(isa(kernel));

  Guarded<f32> plain = p.new_out();
  run(kernel, p.args(packed, no_epilogue(), plain), 0, m, 0, n);
  REQUIRE(wrong_elements(p, no_epilogue(), acc, plain) == 0);
  f64 worst = 0;
  for (isize i = 0; i < m; ++i)
    for (isize j = 0; j < n; ++j) worst = std::max(worst, std::abs(plain[i * p.out_stride + j] - p.exact(i, j)));
  REQUIRE(worst <= sum_bound(taps * k + 1));

  EpilogueF32 e = random_epilogue(random);
  if (coin(random)) {
    e.residual = p.residual.data();
    e.residual_stride = p.residual_stride;
  }
  Guarded<f32> out = p.new_out();
  run(kernel, p.args(packed, e, out), 0, m, 0, n);
  REQUIRE(wrong_elements(p, e, acc, out) == 0);
}

TEST_CASE("a kernel's name says its tile and level") {
  for (const Kernel& kernel : kernels()) {
    const std::string tile = std::to_string(tile_rows(kernel)) + "x" + std::to_string(panel_columns(kernel));
    CHECK(name(kernel) == "gemm_f32_" + tile + "_" + isa_name(isa(kernel)));
  }
}

TEST_CASE("every number of rows") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize nr = panel_columns(kernel);
    u32 seed = 1;
    for (isize m = 1; m <= 2 * tile_rows(kernel) + 1; ++m)
      for (const isize n : {isize{1}, nr - 1, 2 * nr + 1, 5 * nr + nr / 2})
        check(kernel, m, n, 1, 7, seed & 1, seed), ++seed;
  });
}

TEST_CASE("every number of columns") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1000;
    for (isize n = 1; n <= 5 * panel_columns(kernel) + 1; ++n)
      for (const isize m : {isize{1}, isize{2}, isize{3}, tile_rows(kernel)})
        check(kernel, m, n, 1, 3, seed & 1, seed), ++seed;
  });
}

TEST_CASE("every depth, with and without taps") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 2000;
    for (isize k = 1; k <= 35; ++k) {
      check(kernel, tile_rows(kernel) + 1, panel_columns(kernel) + 1, 1, k, false, seed++);
      check(kernel, tile_rows(kernel) + 1, panel_columns(kernel) - 1, 9, k, true, seed++);
      check(kernel, 1, panel_columns(kernel) + 1, 2, k, true, seed++);
    }
  });
}

TEST_CASE("powers of two and their neighbours") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 3000;
    for (const isize size : {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
      check(kernel, size, 33, 1, 17, seed & 1, seed), ++seed;
      check(kernel, 5, size, 1, 31, seed & 1, seed), ++seed;
      check(kernel, 13, 9, 3, size, true, seed), ++seed;
      if (size < 70) check(kernel, size, size, 1, size, seed & 1, seed), ++seed;
    }
  });
}

TEST_CASE("more rows than a cache block holds") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    check(kernel, 77, panel_columns(kernel) + 1, 1, 1025, false, 4000);
    check(kernel, 77, 2 * panel_columns(kernel), 9, 115, true, 4001);
    check(kernel, tile_rows(kernel) + 1, panel_columns(kernel) + 1, 1, 70001, false, 4002);
  });
}

TEST_CASE("no depth gives the bias") {
  for_each_kernel(kernels(),
                  [](const Kernel& kernel) { check(kernel, 3, panel_columns(kernel) + 1, 1, 0, false, 4100); });
}

TEST_CASE("any split into ranges gives the bits of the whole") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize nr = panel_columns(kernel), m = 2 * tile_rows(kernel) + 3, n = 6 * nr - 1;
    for (const bool indirect : {false, true}) {
      Random random(5000 + indirect);
      const Product p(m, n, indirect ? 4 : 1, 19, indirect, random);
      const PackedBuffer packed = p.pack(kernel);
      EpilogueF32 e = no_epilogue();
      e.activation = Activation::hard_swish;
      e.residual = p.residual.data();
      e.residual_stride = p.residual_stride;
      const std::vector<f32> acc = p.accumulators(isa(kernel));
      for (isize rows = 1; rows <= m; ++rows) {
        for (const isize panels : {1, 2, 3, 6}) {
          CAPTURE(rows);
          CAPTURE(panels);
          Guarded<f32> out = p.new_out();
          for (isize i = 0; i < m; i += rows)
            for (isize j = 0; j < n; j += panels * nr)
              run(kernel, p.args(packed, e, out), i, std::min(m, i + rows), j, std::min(n, j + panels * nr));
          REQUIRE(wrong_elements(p, e, acc, out) == 0);
        }
      }
      Guarded<f32> part = p.new_out();  // a range touches nothing else
      run(kernel, p.args(packed, e, part), 2, 4, nr, 2 * nr);
      for (isize at = 0; at < part.size(); ++at) {
        const isize i = at / p.out_stride, j = at % p.out_stride;
        REQUIRE((bits(part[at]) == kUntouched) == !(i >= 2 && i < 4 && j >= nr && j < 2 * nr));
      }
    }
  });
}

TEST_CASE("the residual may be the output") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    Random random(6000);
    const Product p(tile_rows(kernel) + 2, 4 * panel_columns(kernel) + 3, 1, 9, false, random);
    const PackedBuffer packed = p.pack(kernel);
    Guarded<f32> out = units(random, (p.m - 1) * p.out_stride + p.n);
    const std::vector<f32> residual(out.data(), out.data() + out.size());
    EpilogueF32 e = no_epilogue();
    e.clamp_min = 0;
    e.residual = out.data();
    e.residual_stride = p.out_stride;
    run(kernel, p.args(packed, e, out), 0, p.m, 0, p.n);
    const std::vector<f32> acc = p.accumulators(isa(kernel));
    for (isize i = 0; i < p.m; ++i) {
      for (isize j = 0; j < p.n; ++j) {
        const isize at = i * p.out_stride + j;
        REQUIRE(bits(out[at]) == bits(epilogue(e, acc[i * p.n + j], residual[at])));
      }
    }
  });
}

TEST_CASE("NaN stays, infinities are clamped, minus zero is not below zero") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize n = panel_columns(kernel) + 1;
    const f32 rows[] = {kNan, kInf, -kInf, -0.0f, 0.25f};
    const isize m = std::size(rows);
    const std::vector<f32> ones(n, 1.0f), minus_zeros(n, -0.0f);
    PackedBuffer packed(packed_bytes(kernel, n, 1, 1));
    pack(kernel, {ones.data(), minus_zeros.data(), n, 1, 1}, packed.data(), 0, n);
    const auto outputs = [&](const EpilogueF32& e) {
      std::vector<f32> out(m * n);
      run(kernel, {{rows, 1, nullptr, nullptr}, packed.data(), n, 1, 1, e, out.data(), n}, 0, m, 0, n);
      std::vector<u32> first;
      for (isize i = 0; i < m; ++i) {
        first.push_back(std::isnan(out[i * n]) ? bits(kNan) : bits(out[i * n]));
        for (isize j = 1; j < n; ++j)
          REQUIRE((std::isnan(out[i * n + j]) ? bits(kNan) : bits(out[i * n + j])) == first[i]);
      }
      return first;
    };
    const auto want = [](std::initializer_list<f32> values) {
      std::vector<u32> result;
      for (const f32 v : values) result.push_back(bits(v));
      return result;
    };
    EpilogueF32 e = no_epilogue();
    CHECK(outputs(e) == want({kNan, kInf, -kInf, -0.0f, 0.25f}));
    e.clamp_min = 0;
    CHECK(outputs(e) == want({kNan, kInf, 0, -0.0f, 0.25f}));
    e.clamp_max = 6;
    CHECK(outputs(e) == want({kNan, 6, 0, -0.0f, 0.25f}));
    e.clamp_min = -1;
    e.activation = Activation::hard_swish;
    // -inf * 0 is NaN; hard_swish(-0) = -0 * 0.5
    CHECK(outputs(e) == want({kNan, 6, kNan, -0.0f, 0.25f * (0.25f * (1.0f / 6) + 0.5f)}));
  });
}

TEST_CASE("the packed layout") {
  for (const Kernel& kernel : kernels()) {
    INFO("kernel ", std::string(name(kernel)));
    const isize nr = panel_columns(kernel), taps = 3, k = 21, depth = taps * k;
    for (const isize n : {isize{1}, nr, 2 * nr + 1}) {
      Random random(7000);
      const Product p(1, n, taps, k, true, random);
      const PackedBuffer packed = p.pack(kernel);
      const isize panels = ceil_div(n, nr);
      const std::size_t bytes = static_cast<std::size_t>(panels * (1 + depth) * nr) * sizeof(f32);
      REQUIRE(packed_bytes(kernel, n, taps, k) == bytes);
      const f32* at = reinterpret_cast<const f32*>(packed.data());
      for (isize panel = 0; panel < panels; ++panel) {
        for (isize l = -1; l < depth; ++l) {
          for (isize j = panel * nr; j < (panel + 1) * nr; ++j, ++at) {
            const f32 want = j >= n ? 0 : l < 0 ? p.bias[j] : p.values[j * depth + l];
            REQUIRE(bits(*at) == bits(want));
          }
        }
      }
      PackedBuffer pieces(bytes);
      const Rhs rhs = {p.values.data(), p.bias.data(), n, taps, k};
      for (isize j = 0; j < n; j += nr) pack(kernel, rhs, pieces.data(), j, std::min(n, j + nr));
      CHECK(std::equal(packed.data(), packed.data() + bytes, pieces.data()));
      pack(kernel, {p.values.data(), nullptr, n, taps, k}, pieces.data(), 0, n);
      const f32* no_bias = reinterpret_cast<const f32*>(pieces.data());
      CHECK(std::all_of(no_bias, no_bias + nr, [](f32 v) { return bits(v) == 0; }));
    }
  }
}

std::string selected(Isa level, isize m, isize n) { return name(select({m, n, 1, 64}, isa_up_to(level))); }

TEST_CASE("select is a function of the problem and the levels alone") {
  CHECK(selected(Isa::scalar, 100, 100) == "gemm_f32_4x4_scalar");
  CHECK(selected(Isa::scalar, 1, 1) == "gemm_f32_4x4_scalar");
#ifdef WHIT_HAVE_AVX2
  for (const isize m : {0, 1, 100}) {
    CHECK(selected(Isa::avx2, m, 1) == "gemm_f32_12x8_avx2");
    CHECK(selected(Isa::avx2, m, 8) == "gemm_f32_12x8_avx2");
    CHECK(selected(Isa::avx2, m, 9) == "gemm_f32_6x16_avx2");
    CHECK(selected(Isa::avx2, m, 1000) == "gemm_f32_6x16_avx2");
    CHECK(selected(Isa::avxvnni, m, 1000) == "gemm_f32_6x16_avx2");
  }
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  for (const Isa level : {Isa::avx512vnni, Isa::avx512icl, Isa::amx}) {
    CHECK(selected(level, 1, 1) == "gemm_f32_12x16_avx512vnni");
    CHECK(selected(level, 0, 16) == "gemm_f32_12x16_avx512vnni");
    CHECK(selected(level, 1, 17) == "gemm_f32_12x32_avx512vnni");
    CHECK(selected(level, 100, 1000) == "gemm_f32_12x32_avx512vnni");
  }
#endif
#ifdef WHIT_HAVE_NEON32
  CHECK(selected(Isa::neon32, 1, 4) == "gemm_f32_8x4_neon32");
  CHECK(selected(Isa::neon32, 1, 5) == "gemm_f32_6x8_neon32");
  CHECK(selected(Isa::neon32, 100, 1000) == "gemm_f32_6x8_neon32");
#endif
#ifdef WHIT_HAVE_NEON
  for (const Isa level : {Isa::neon, Isa::neondot, Isa::i8mm}) {
    CHECK(selected(level, 1, 4) == "gemm_f32_8x4_neon");
    CHECK(selected(level, 1, 5) == "gemm_f32_8x8_neon");
    CHECK(selected(level, 100, 1000) == "gemm_f32_8x8_neon");
  }
#else
  CHECK(selected(Isa::neon, 100, 100) == "gemm_f32_4x4_scalar");
#endif
}

}  // namespace
}  // namespace whit::gemm_f32
