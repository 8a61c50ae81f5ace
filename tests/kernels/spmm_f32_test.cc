#include "kernels/spmm_f32/spmm_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "f32_support.h"
#include "kernels/spmm_f32/kernel.h"

namespace whit::spmm_f32 {
namespace {

using namespace whit::test;

/// What a product is of. Density in per cent.
struct Case {
  isize n, taps, k, pixels;
  int density;
  Block block = {};
  u32 seed = 1;
};

/// A product with all its operands, each beside a guard page. Rows 3, 10, 17, ... have no weights.
struct Product {
  Case c;
  isize line_stride, acc_stride, reach;
  std::vector<f32> dense;
  Guarded<f32> bias, lines;
  std::vector<s32> offsets;

  Product(const Case& c, Random& random)
      : c(c),
        line_stride(0),
        acc_stride(c.pixels + random.integer(0, 3)),
        reach(c.taps > 1 ? random.integer(1, 20) : 0),
        dense(c.n * c.taps * c.k),
        bias(units(random, c.n)),
        lines(units(random, (stride(random) * std::max<isize>(0, c.k - 1)) + c.pixels + reach)) {
    for (isize t = 0; t < c.taps; ++t) offsets.push_back(static_cast<s32>(random.integer(0, reach)));
    if (c.taps > 1) offsets[0] = 0, offsets[1] = static_cast<s32>(reach);
    const isize depth = c.taps * c.k;
    for (isize i = 0; i < c.n; i += c.block.rows) {
      for (isize j = 0; j < depth; ++j) {
        if (random.integer(0, 99) >= c.density) continue;
        for (isize r = i; r < std::min(c.n, i + c.block.rows); ++r)
          dense[r * depth + j] = r % 7 == 3 ? 0 : 0.01f + random.real(-1, 0.98f);
      }
    }
  }

  isize stride(Random& random) { return line_stride = c.pixels + reach + random.integer(0, 5); }

  const f32* x(isize tap, isize line) const {
    return lines.data() + line * line_stride + (c.taps > 1 ? offsets[tap] : 0);
  }

  PackedBuffer pack(const Kernel& kernel, bool with_bias = true) const {
    const auto csr = spmm::csr_from_dense(dense.data(), c.n, c.taps, c.k);
    REQUIRE(csr);
    REQUIRE(spmm::valid(csr->view()));
    const std::size_t bytes = packed_bytes(kernel, csr->view());
    REQUIRE(bytes < SIZE_MAX);
    PackedBuffer packed(bytes);
    std::fill_n(packed.data(), bytes, std::byte{0xff});
    spmm_f32::pack(kernel, csr->view(), with_bias ? bias.data() : nullptr, packed.data());
    return packed;
  }

  Args args(const PackedBuffer& packed, Guarded<f32>& acc) const {
    return {packed.data(), lines.data(), line_stride, c.taps > 1 ? offsets.data() : nullptr, acc.data(), acc_stride};
  }

  Guarded<f32> new_acc() const { return untouched((c.n - 1) * acc_stride + c.pixels); }

  /// The sum over row i, and that of its terms' magnitudes.
  void exact(isize i, isize p, f64* sum, f64* magnitudes, isize* terms) const {
    *sum = bias[i];
    *magnitudes = std::abs(*sum);
    *terms = 1;
    for (isize t = 0; t < c.taps; ++t) {
      for (isize l = 0; l < c.k; ++l) {
        const f64 product = static_cast<f64>(dense[(i * c.taps + t) * c.k + l]) * x(t, l)[p];
        *sum += product;
        *magnitudes += std::abs(product);
        *terms += product != 0;
      }
    }
  }
};

/// Kernels of one column take nothing else.
bool takes(const Kernel& kernel, const Case& c) { return kernel.places > 0 || (c.pixels == 1 && c.taps == 1); }

/// Elements of acc that are wrong: farther from the exact sum than f32 sums in any order are, or written beside the
/// product. Every step rounds once or, without FMA, twice, by half an ulp of what the magnitudes add up to at most.
isize wrong_elements(const Product& p, const Guarded<f32>& acc) {
  isize wrong = 0;
  for (isize at = 0; at < acc.size(); ++at) {
    const isize i = at / p.acc_stride, pixel = at % p.acc_stride;
    if (pixel >= p.c.pixels) {
      wrong += bits(acc[at]) != kUntouched;
      continue;
    }
    f64 sum, magnitudes;
    isize terms;
    p.exact(i, pixel, &sum, &magnitudes, &terms);
    const f64 bound = std::numeric_limits<f32>::epsilon() * static_cast<f64>(terms) * magnitudes;
    wrong += !(std::abs(acc[at] - sum) <= bound);
  }
  return wrong;
}

void check(const Kernel& kernel, const Case& c) {
  if (!takes(kernel, c)) return;
  CAPTURE(c.n);
  CAPTURE(c.taps);
  CAPTURE(c.k);
  CAPTURE(c.pixels);
  CAPTURE(c.density);
  CAPTURE(c.seed);
  Random random(c.seed);
  Product p(c, random);
  if (kernel.places == 0) p.line_stride = 1;
  const PackedBuffer packed = p.pack(kernel);
  Guarded<f32> acc = p.new_acc();
  run(kernel, p.args(packed, acc), 0, c.n, c.pixels);
  REQUIRE(wrong_elements(p, acc) == 0);
}

TEST_CASE("a kernel's name says its entries, tile and level") {
  for (const Kernel& kernel : kernels()) {
    const std::string tile = std::to_string(kernel.rows) + "x" + std::to_string(pixel_tile(kernel));
    CHECK(name(kernel) == "spmm_f32_" + tile + "_" + isa_name(isa(kernel)));
  }
}

TEST_CASE("every number of pixels") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (isize pixels = 1; pixels <= 2 * pixel_tile(kernel) + 17; ++pixels)
      check(kernel, {9, 1, 21, pixels, 30, {}, static_cast<u32>(pixels)});
  });
}

TEST_CASE("every number of rows, over several bands") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1000;
    for (const isize pixels : {1, 5}) {
      for (isize n = 1; n <= 40; ++n) check(kernel, {n, 1, 13, pixels, 40, {}, seed++});
      for (const isize n : {63, 64, 65, 255, 256, 257, 300, 511, 513, 600, 1030})
        check(kernel, {n, 1, 30, pixels, 15, {}, seed++});
    }
  });
}

TEST_CASE("every number of lines, over several blocks") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 2000;
    for (const isize pixels : {1, 19}) {
      for (isize k = 0; k <= 35; ++k) check(kernel, {11, 1, k, pixels, 40, {}, seed++});
      for (const isize k : {95, 96, 97, 127, 128, 129, 255, 256, 257, 400, 513, 1000})
        check(kernel, {20, 1, k, pixels, 10, {}, seed++});
    }
  });
}

TEST_CASE("taps, also more than a block has places") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 3000;
    for (const isize pixels : {1, 7, 50}) {
      for (const isize taps : {2, 9, 25})
        for (const isize k : {1, 3, 16, 57}) check(kernel, {13, taps, k, pixels, 25, {}, seed++});
      check(kernel, {5, 300, 3, pixels, 25, {}, seed++});
    }
  });
}

TEST_CASE("from no weights to all, anywhere and in blocks") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 4000;
    for (const int density : {0, 1, 5, 50, 95, 100})
      for (const Block block : {Block{1, 1}, Block{4, 1}, Block{8, 1}})
        for (const isize pixels : {1, 33}) check(kernel, {70, 1, 140, pixels, density, block, seed++});
  });
}

TEST_CASE("any split into ranges gives the bits of the whole") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const isize step = row_step(kernel);
    const Case c = {2 * step + 5, 1, 150, kernel.places > 0 ? 2 * pixel_tile(kernel) + 3 : 1, 8, {}, 5000};
    Random random(c.seed);
    Product p(c, random);
    if (kernel.places == 0) p.line_stride = 1;
    const PackedBuffer packed = p.pack(kernel);
    Guarded<f32> whole = p.new_acc(), rows = p.new_acc(), part = p.new_acc(), pixels = p.new_acc();
    run(kernel, p.args(packed, whole), 0, c.n, c.pixels);
    for (isize i = 0; i < c.n; i += step) run(kernel, p.args(packed, rows), i, std::min(c.n, i + step), c.pixels);
    run(kernel, p.args(packed, part), step, 2 * step, c.pixels);
    for (isize i = 0; i < c.pixels; ++i) {
      Args args = p.args(packed, pixels);
      args.lines += i;
      args.acc += i;
      run(kernel, args, 0, c.n, 1);
    }
    for (isize at = 0; at < whole.size(); ++at) {
      const isize row = at / p.acc_stride;
      REQUIRE(bits(rows[at]) == bits(whole[at]));
      REQUIRE(bits(pixels[at]) == bits(whole[at]));
      REQUIRE(bits(part[at]) == (row >= step && row < 2 * step ? bits(whole[at]) : kUntouched));
    }
  });
}

TEST_CASE("kernels of a level have the same bits") {
  const Case c = {90, 1, 300, 1, 20, {}, 5100};
  Random random(c.seed);
  const Product p(c, random);
  std::vector<u32> first[kIsaCount];
  for_each_kernel(kernels(), [&](const Kernel& kernel) {
    Guarded<f32> acc = p.new_acc();
    const PackedBuffer packed = p.pack(kernel);
    Args args = p.args(packed, acc);
    std::vector<f32> x;
    for (isize l = 0; l < c.k; ++l) x.push_back(p.x(0, l)[0]);
    args.lines = x.data();
    args.line_stride = 1;
    run(kernel, args, 0, c.n, 1);
    std::vector<u32> got;
    for (isize i = 0; i < c.n; ++i) got.push_back(bits(acc[i * p.acc_stride]));
    std::vector<u32>& want = first[isa(kernel) == Isa::scalar];
    if (want.empty()) want = got;
    CHECK(got == want);
  });
}

TEST_CASE("zeros see no infinity, NaN stays") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    if (kernel.rows > 1 && kernel.places > 0) return;
    // Row i has weights from column i on; x[0] is infinite.
    constexpr isize n = 20, k = 20;
    std::vector<f32> dense(n * k), x(k, 1.0f), out(n);
    for (isize i = 0; i < n; ++i)
      for (isize l = i; l < k; ++l) dense[i * k + l] = i == 7 && l == 9 ? kNan : 1.0f;
    dense[3 * k] = -0.0f;
    x[0] = kInf;
    const auto csr = spmm::csr_from_dense(dense.data(), n, 1, k);
    REQUIRE(csr);
    PackedBuffer packed(packed_bytes(kernel, csr->view()));
    pack(kernel, csr->view(), nullptr, packed.data());
    run(kernel, {packed.data(), x.data(), 1, nullptr, out.data(), 1}, 0, n, 1);
    for (isize i = 0; i < n; ++i) {
      CAPTURE(i);
      if (i == 7) {
        CHECK(std::isnan(out[i]));
      } else {
        CHECK(out[i] == (i == 0 ? kInf : static_cast<f32>(k - i)));
      }
    }
  });
}

TEST_CASE("a sum of nothing keeps its sign") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const std::vector<f32> dense = {0, 0, 1, 0, 0, 0}, bias = {-0.0f, 2, -0.0f}, x = {1, kNan};
    const auto csr = spmm::csr_from_dense(dense.data(), 3, 1, 2);
    REQUIRE(csr);
    PackedBuffer packed(packed_bytes(kernel, csr->view()));
    pack(kernel, csr->view(), bias.data(), packed.data());
    f32 out[3];
    run(kernel, {packed.data(), x.data(), 1, nullptr, out, 1}, 0, 3, 1);
    if (kernel.rows == 1 || kernel.places == 0) CHECK(bits(out[0]) == bits(-0.0f));
    CHECK(out[1] == 3);
  });
}

TEST_CASE("without a bias sums start from 0") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const Case c = {9, 1, 8, 1, 50, {}, 6000};
    Random random(c.seed);
    Product p(c, random);
    p.line_stride = 1;
    const PackedBuffer packed = p.pack(kernel, false);
    for (f32& b : p.bias.span()) b = 0;
    Guarded<f32> acc = p.new_acc();
    run(kernel, p.args(packed, acc), 0, c.n, 1);
    CHECK(wrong_elements(p, acc) == 0);
  });
}

TEST_CASE("a matrix that a packed form has no room for") {
  const s64 starts[] = {0, 1, 1};
  const s32 columns[] = {70000};
  const f32 values[] = {1};
  for (const Kernel& kernel : kernels()) {
    const Csr<f32> wide = {2, 1, 70001, starts, columns, values};
    REQUIRE(spmm::valid(wide));
    CHECK((packed_bytes(kernel, wide) == SIZE_MAX) == (kernel.places == 0));
  }
}

TEST_CASE("lines from rows") {
  for (const isize k : {1, 3, 4, 17, 64}) {
    for (const isize count : {1, 2, 5, 16, 33}) {
      Random random(static_cast<u64>(7000 + k * 100 + count));
      const isize row_stride = k + random.integer(0, 3), total = count + 2, line_stride = count + random.integer(0, 3);
      const Guarded<f32> base = units(random, (total - 1) * row_stride + k), pad = units(random, k);
      std::vector<s32> offsets;
      for (isize i = 0; i < total; ++i)
        offsets.push_back(coin(random)   ? static_cast<s32>(i * row_stride)
                          : coin(random) ? -1
                                         : static_cast<s32>(random.integer(0, total - 1) * row_stride));
      for (const bool indirect : {false, true}) {
        Guarded<f32> lines = untouched((k - 1) * line_stride + count);
        lines_from_rows({base.data(), row_stride, indirect ? offsets.data() : nullptr, pad.data()}, 2, count, k,
                        lines.data(), line_stride);
        for (isize at = 0; at < lines.size(); ++at) {
          const isize line = at / line_stride, p = at % line_stride;
          u32 want = kUntouched;
          if (p < count) {
            const s32 offset = indirect ? offsets[p + 2] : static_cast<s32>((p + 2) * row_stride);
            want = bits(offset < 0 ? pad[line] : base[offset + line]);
          }
          REQUIRE(bits(lines[at]) == want);
        }
      }
    }
  }
}

TEST_CASE("store is the epilogue, to the bit, and touches nothing else") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const isize pixels : {1, 3, 16, 37}) {
      for (const isize n : {1, 5, 16, 67, 130}) {
        Random random(static_cast<u64>(8000 + pixels * 200 + n));
        const isize acc_stride = pixels + random.integer(0, 3), out_stride = n + random.integer(0, 3);
        const isize first_row = 2, begin = n / 3, end = n - n / 5;
        const Guarded<f32> acc = units(random, (n - 1) * acc_stride + pixels);
        EpilogueF32 e = random_epilogue(random);
        e.residual_stride = out_stride;
        const bool in_place = coin(random), residual = coin(random);
        Guarded<f32> out = units(random, (first_row + pixels - 1) * out_stride + n);
        const Guarded<f32> other = units(random, out.size());
        const std::vector<f32> before(out.data(), out.data() + out.size());
        if (residual) e.residual = in_place ? out.data() : other.data();
        store(kernel, acc.data(), acc_stride, begin, end, pixels, e, out.data(), out_stride, first_row);
        for (isize at = 0; at < out.size(); ++at) {
          const isize p = at / out_stride - first_row, i = at % out_stride;
          f32 want = before[at];
          if (p >= 0 && i >= begin && i < end)
            want = epilogue(e, acc[i * acc_stride + p], in_place ? before[at] : other[at]);
          REQUIRE(bits(out[at]) == bits(want));
        }
      }
    }
  });
}

std::string selected(Isa level, const Problem& problem) { return name(select(problem, isa_up_to(level))); }

TEST_CASE("select is a function of the problem and the levels alone") {
  CHECK(selected(Isa::scalar, {64, 1, 64, 100, {}}) == "spmm_f32_1x4_scalar");
  CHECK(selected(Isa::scalar, {64, 1, 64, 1, {}}) == "spmm_f32_4x1_scalar");
  CHECK(selected(Isa::scalar, {64, 1, 64, 1, {8, 1}}) == "spmm_f32_8x2_scalar");
#ifdef WHIT_HAVE_AVX2
  for (const Isa level : {Isa::avx2, Isa::avxvnni}) {
    CHECK(selected(level, {64, 1, 64, 0, {}}) == "spmm_f32_1x64_avx2");
    CHECK(selected(level, {64, 1, 64, 16, {}}) == "spmm_f32_1x24_avx2");
    CHECK(selected(level, {64, 1, 64, 25, {1, 4}}) == "spmm_f32_1x64_avx2");
    CHECK(selected(level, {64, 1, 64, 196, {4, 1}}) == "spmm_f32_4x24_avx2");
    CHECK(selected(level, {64, 1, 64, 196, {8, 1}}) == "spmm_f32_4x24_avx2");
    CHECK(selected(level, {64, 1, 64, 1, {8, 1}}) == "spmm_f32_8x8_avx2");
    CHECK(selected(level, {64, 1, 64, 1, {}}) == "spmm_f32_8x1_avx2");
    CHECK(selected(level, {64, 1, 70000, 1, {}}) == "spmm_f32_1x24_avx2");
    CHECK(selected(level, {64, 9, 64, 1, {}}) == "spmm_f32_1x24_avx2");
  }
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  CHECK(selected(Isa::amx, {64, 1, 64, 0, {}}) == "spmm_f32_1x80_avx512vnni");
  CHECK(selected(Isa::avx512vnni, {64, 1, 64, 16, {}}) == "spmm_f32_1x16_avx512vnni");
  CHECK(selected(Isa::avx512vnni, {64, 1, 64, 17, {}}) == "spmm_f32_1x80_avx512vnni");
  CHECK(selected(Isa::avx512vnni, {64, 1, 64, 196, {8, 1}}) == "spmm_f32_8x48_avx512vnni");
  CHECK(selected(Isa::avx512vnni, {64, 1, 64, 1, {4, 1}}) == "spmm_f32_16x1_avx512vnni");
  CHECK(selected(Isa::avx512vnni, {64, 1, 64, 1, {8, 1}}) == "spmm_f32_16x1_avx512vnni");
#endif
#ifdef WHIT_HAVE_NEON
  CHECK(selected(Isa::neondot, {64, 1, 64, 49, {}}) == "spmm_f32_1x32_neon");
  CHECK(selected(Isa::neon, {64, 1, 64, 49, {8, 1}}) == "spmm_f32_8x12_neon");
#endif
#ifdef WHIT_HAVE_NEON32
  CHECK(selected(Isa::neon32, {64, 1, 64, 49, {}}) == "spmm_f32_1x32_neon32");
#endif
}

}  // namespace
}  // namespace whit::spmm_f32
