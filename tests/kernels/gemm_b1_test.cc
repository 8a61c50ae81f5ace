// Every binary product against the definition, value by value.
#include "kernels/gemm_b1/gemm_b1.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "kernels/gemm_b1/kernel.h"
#include "test_support.h"

namespace whit::gemm_b1 {
namespace {

using test::Guarded;
using test::PackedBuffer;
using test::Random;
using Output = EpilogueB1::Output;

enum class Fill { random, same, opposite };
enum class Padding { plus, minus, zero };
enum class Scales { usual, ties, special };

struct Case {
  isize m, n, taps, k;
  bool indirect = false;
  Fill fill = Fill::random;
  Padding padding = Padding::plus;
  Output output = Output::s32;
  Scales scales = Scales::usual;
  u64 seed = 1;
};

isize element_bytes(Output output) { return output == Output::s32 || output == Output::f32 ? 4 : 1; }

/// What `epilogue` makes of acc, but for b1, where it is the bit.
f32 reference_epilogue(const EpilogueB1& e, s32 acc, isize n) {
  if (e.output == Output::b1) return acc < e.threshold[n] ? 1 : 0;
  const f32 product = static_cast<f32>(acc) * e.scale[n];
  f32 t = product + e.bias[n];
  t = t > e.clamp_min ? t : e.clamp_min;
  return t < e.clamp_max ? t : e.clamp_max;
}

/// A product with all its operands at guard pages, and its result by the definition.
class Fixture {
 public:
  explicit Fixture(const Case& c)
      : c_(c),
        random_(c.seed),
        tap_bytes_(bit_bytes(c.k)),
        pixels_(c.indirect ? std::max<isize>(1, c.m / 2) : c.m),
        row_stride_(tap_bytes_ + random_.integer(0, 3)),
        lhs_((pixels_ - 1) * row_stride_ + tap_bytes_,
             random_.integer(0, 3) ? Guarded<u8>::Side::end : Guarded<u8>::Side::begin),
        pad_(tap_bytes_),
        offsets_(c.indirect ? c.m * c.taps : 0),
        rhs_(c.n * c.taps * tap_bytes_),
        scale_(c.n),
        bias_(c.n),
        threshold_(c.n),
        out_stride_((c.output == Output::b1 ? bit_bytes(c.n) : c.n) + random_.integer(0, 3)),
        classes_(c.m) {
    fill();
    fill_epilogue();
    compute();
  }

  std::size_t packed_bytes(const Kernel& kernel) const { return gemm_b1::packed_bytes(kernel, c_.n, c_.taps, c_.k); }
  std::size_t scratch_bytes(const Kernel& kernel) const { return gemm_b1::scratch_bytes(kernel, c_.taps, c_.k); }
  Rhs rhs() const { return {rhs_.data(), c_.n, c_.taps, c_.k}; }
  Guarded<u8> new_output() const {
    const isize row = c_.output == Output::b1 ? bit_bytes(c_.n) : c_.n;
    return Guarded<u8>(((c_.m - 1) * out_stride_ + row) * element_bytes(c_.output));
  }
  Args args(const std::byte* packed, Guarded<u8>& out, std::byte* scratch) const {
    return {.lhs = {.base = lhs_.data(),
                    .row_stride = row_stride_,
                    .offsets = c_.indirect ? offsets_.data() : nullptr,
                    .pad = pad_.data()},
            .packed = packed,
            .n = c_.n,
            .taps = c_.taps,
            .k = c_.k,
            .border = border_.empty() ? Border{} : Border{border_.data(), classes_.data()},
            .epilogue = epilogue_,
            .out = out.data(),
            .out_stride = out_stride_,
            .scratch = scratch};
  }
  Guarded<u8> result(const Kernel& kernel) const {
    PackedBuffer packed(packed_bytes(kernel)), scratch(scratch_bytes(kernel));
    pack(kernel, rhs(), packed.data(), 0, c_.n);
    Guarded<u8> out = new_output();
    run(kernel, args(packed.data(), out, scratch.data()), 0, c_.m, 0, c_.n);
    return out;
  }

  /// Writes what row m, column n shall be.
  void expect(Guarded<u8>& out, isize m, isize n) const {
    const s32 acc = acc_[static_cast<std::size_t>(m * c_.n + n)];
    u8* row = out.data() + m * out_stride_ * element_bytes(c_.output);
    if (c_.output == Output::s32) {
      std::memcpy(row + 4 * n, &acc, 4);
    } else if (const f32 t = reference_epilogue(epilogue_, acc, n); c_.output == Output::f32) {
      std::memcpy(row + 4 * n, &t, 4);
    } else if (c_.output == Output::s8) {
      const f64 q = f64{std::nearbyint(t)} + epilogue_.zero_point;
      row[n] = static_cast<u8>(static_cast<s8>(std::clamp(q, -128.0, 127.0)));
    } else {
      if (n % 8 == 0) row[n / 8] = 0;
      row[n / 8] = static_cast<u8>(row[n / 8] | static_cast<int>(t) << n % 8);
    }
  }
  Guarded<u8> expected() const {
    Guarded<u8> out = new_output();
    for (isize m = 0; m < c_.m; ++m)
      for (isize n = 0; n < c_.n; ++n) expect(out, m, n);
    return out;
  }
  /// The first byte that differs, or -1. f32 values of neon32, which takes subnormal scales for zero, may lose 2^31 *
  /// 2^-126.
  isize difference(const Guarded<u8>& wanted, const Guarded<u8>& got, Isa isa) const {
    for (isize i = 0; i < wanted.size(); ++i) {
      if (wanted[i] == got[i]) continue;
      if (isa != Isa::neon32 || c_.output != Output::f32) return i;
      f32 a, b;
      std::memcpy(&a, wanted.data() + i / 4 * 4, 4);
      std::memcpy(&b, got.data() + i / 4 * 4, 4);
      if (!(std::fabs(a - b) <= 0x1p-95f)) return i;
    }
    return -1;
  }

 private:
  int value(const u8* bits, isize k) const { return bits[k / 8] >> k % 8 & 1 ? -1 : 1; }

  void fill() {
    random_.fill_integers(lhs_.span(), 0, 255);
    random_.fill_integers(rhs_.span(), 0, 255);
    if (c_.fill != Fill::random) {
      std::ranges::fill(lhs_.span(), u8{0xa5});
      std::ranges::fill(rhs_.span(), c_.fill == Fill::same ? u8{0xa5} : u8{0x5a});
    }
    std::ranges::fill(pad_.span(), c_.padding == Padding::minus ? u8{0xff} : u8{0});
    if (c_.k % 8 != 0) pad_[tap_bytes_ - 1] ^= static_cast<u8>(0xff << c_.k % 8);  // beyond k: anything
    for (s32& offset : offsets_.span())
      offset = random_.integer(0, 3) ? static_cast<s32>(random_.integer(0, pixels_ - 1) * row_stride_) : -1;
    std::ranges::fill(classes_.span(), u16{0});
    if (c_.padding == Padding::zero) fill_border();
  }

  /// A class for every row with padding, the first one for those without.
  void fill_border() {
    border_.assign(static_cast<std::size_t>((c_.m + 1) * c_.n), 0);
    for (isize m = 0; m < c_.m; ++m) {
      const auto padded = [&](isize t) { return c_.indirect && offsets_[m * c_.taps + t] < 0; };
      for (isize t = 0; t < c_.taps; ++t)
        if (padded(t)) classes_[m] = static_cast<u16>(m + 1);
      for (isize n = 0; n < c_.n; ++n) {
        s32 sum = 0;
        for (isize t = 0; t < c_.taps; ++t) {
          for (isize k = 0; k < c_.k && padded(t); ++k) sum += value(rhs_.data() + (n * c_.taps + t) * tap_bytes_, k);
        }
        border_[static_cast<std::size_t>((m + 1) * c_.n + n)] = -sum;
      }
    }
  }

  void fill_epilogue() {
    constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
    constexpr f32 kSpecial[] = {0.0f, -0.0f, kInfinity, -kInfinity, 1e38f, -1e38f, 1e-40f, NAN};
    const f32 size = std::sqrt(static_cast<f32>(c_.taps * c_.k));
    for (isize n = 0; n < c_.n; ++n) {
      scale_[n] = random_.real(-1.5f, 1.5f) * 60 / size;
      bias_[n] = random_.real(-40, 40);
      if (c_.scales == Scales::ties) scale_[n] = 0.25f, bias_[n] = static_cast<f32>(random_.integer(-20, 20)) / 4;
      if (c_.scales == Scales::special) {
        scale_[n] = kSpecial[random_.integer(0, std::size(kSpecial) - 1)];
        if (random_.integer(0, 1)) bias_[n] = kSpecial[random_.integer(0, std::size(kSpecial) - 1)];
      }
      threshold_[n] = static_cast<s32>(random_.integer(-2, 2) * std::lround(size) / 2);
      if (random_.integer(0, 9) == 0) threshold_[n] = random_.integer(0, 1) ? INT32_MIN : INT32_MAX;
    }
    const s32 zero_point = static_cast<s32>(random_.integer(-128, 127));
    const bool tight = random_.integer(0, 1);
    epilogue_ = {.output = c_.output,
                 .scale = scale_.data(),
                 .bias = bias_.data(),
                 .clamp_min = static_cast<f32>((tight ? random_.integer(-128, 0) : -128) - zero_point),
                 .clamp_max = static_cast<f32>((tight ? random_.integer(0, 127) : 127) - zero_point),
                 .zero_point = zero_point,
                 .threshold = threshold_.data()};
    if (c_.output == Output::f32 && !tight) epilogue_.clamp_min = -kInfinity, epilogue_.clamp_max = kInfinity;
  }

  void compute() {
    for (isize m = 0; m < c_.m; ++m) {
      for (isize n = 0; n < c_.n; ++n) {
        s32 acc = 0;
        for (isize t = 0; t < c_.taps; ++t) {
          const isize offset = c_.indirect ? offsets_[m * c_.taps + t] : m * row_stride_;
          if (offset < 0 && c_.padding == Padding::zero) continue;
          const u8* x = offset >= 0 ? lhs_.data() + offset : pad_.data();
          const u8* w = rhs_.data() + (n * c_.taps + t) * tap_bytes_;
          isize k = 0;
          for (; k + 8 <= c_.k; k += 8) acc += 8 - 2 * std::popcount(static_cast<u8>(x[k / 8] ^ w[k / 8]));
          for (; k < c_.k; ++k) acc += value(x, k) * value(w, k);
        }
        acc_.push_back(acc);
      }
    }
  }

  Case c_;
  Random random_;
  isize tap_bytes_, pixels_, row_stride_;
  Guarded<u8> lhs_, pad_;
  Guarded<s32> offsets_;
  Guarded<u8> rhs_;
  Guarded<f32> scale_, bias_;
  Guarded<s32> threshold_;
  isize out_stride_;
  Guarded<u16> classes_;
  std::vector<s32> border_;
  EpilogueB1 epilogue_;
  std::vector<s32> acc_;
};

void check(const Kernel& kernel, const Case& c) {
  INFO("m ", c.m, " n ", c.n, " taps ", c.taps, " k ", c.k, " indirect ", c.indirect, " fill ",
       static_cast<int>(c.fill), " padding ", static_cast<int>(c.padding), " output ", static_cast<int>(c.output),
       " scales ", static_cast<int>(c.scales), " seed ", c.seed);
  const Fixture fixture(c);
  const isize wrong = fixture.difference(fixture.expected(), fixture.result(kernel), isa(kernel));
  INFO("first wrong byte ", wrong);
  REQUIRE(wrong == -1);
}

/// A case of this size, everything else drawn from the seed.
Case any_case(isize m, isize n, isize taps, isize k, u64 seed) {
  Random random(seed);
  return {.m = m,
          .n = n,
          .taps = taps,
          .k = k,
          .indirect = taps > 1 || random.integer(0, 1),
          .padding = static_cast<Padding>(random.integer(0, 2)),
          .output = static_cast<Output>(random.integer(0, 3)),
          .seed = seed};
}

TEST_CASE("every kernel: every tail of rows, columns and k") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 100;
    const isize group = 8 * kernel.row_group;
    for (isize m = 1; m <= 3 * kernel.mr + 1; ++m) {
      check(kernel, any_case(m, kernel.nr + 3, 1, 2 * group, ++seed));
      check(kernel, any_case(m, kernel.nr + 3, 3, group + 1, ++seed));
      check(kernel, any_case(m, kernel.nr + 3, 3, group, ++seed));
    }
    for (isize n = 1; n <= 2 * kernel.nr + 1; ++n) {
      check(kernel, any_case(kernel.mr + 1, n, 1, group + 3, ++seed));
      check(kernel, any_case(1, n, 2, group, ++seed));
    }
    for (isize k = 1; k <= 2 * group + 9; ++k) {
      check(kernel, any_case(kernel.mr + 2, kernel.nr + 1, 3, k, ++seed));
      check(kernel, any_case(1, 9, 1, k, ++seed));
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
    check(kernel, any_case(255, 3, 9, 65, 2004));
    check(kernel, any_case(500, 20, 9, 256, 2005));  // several blocks of rows
    for (const isize k : {8, 16, 24, 32, 48, 64, 128, 192, 256, 512})
      check(kernel, any_case(70, 40, 9, k, 2100 + static_cast<u64>(k)));
  });
}

TEST_CASE("every kernel: rows that share an epilogue, and a few more") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 2500;
    for (const isize rows : {8 * kernel.mr - 1, 8 * kernel.mr, 8 * kernel.mr + 1, 17 * kernel.mr + 2}) {
      for (const isize n : {8, 24, 40, kernel.nr + 8}) {
        check(kernel, any_case(rows, n, 2, 8 * kernel.row_group, ++seed));
        check(kernel, any_case(rows, n, 2, 40, ++seed));
      }
    }
  });
}

TEST_CASE("every kernel: counts beyond what bytes and u16 hold") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 3000;
    for (const Fill fill : {Fill::random, Fill::same, Fill::opposite}) {
      for (const isize k : {192, 384, 392, 3968, 3969, 4096, 8000, 65472, 65480, 65536, 140000}) {
        for (const isize m : {isize{1}, isize{kernel.mr} + 1}) {
          check(kernel, {.m = m, .n = 11, .taps = 1, .k = k, .fill = fill, .seed = ++seed});
          check(kernel, {.m = m, .n = 5, .taps = 2, .k = k, .indirect = true, .fill = fill, .seed = ++seed});
        }
      }
    }
  });
}

TEST_CASE("every kernel: every output, with every padding") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 5000;
    for (const Output output : {Output::s32, Output::f32, Output::s8, Output::b1}) {
      for (const Padding padding : {Padding::plus, Padding::minus, Padding::zero}) {
        for (const Scales scales : {Scales::usual, Scales::ties, Scales::special}) {
          for (const isize n : {1, 7, 8, 9, 16, 24, 32, 33, 40, 64, 72, 128, 130}) {
            check(kernel, {.m = kernel.mr + 1,
                           .n = n,
                           .taps = 4,
                           .k = 37,
                           .indirect = true,
                           .padding = padding,
                           .output = output,
                           .scales = scales,
                           .seed = ++seed});
          }
        }
      }
    }
  });
}

TEST_CASE("every kernel: ranges of rows and columns, and nothing outside of them") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const Output output : {Output::s32, Output::s8, Output::b1}) {
      const isize m = 3 * kernel.mr + 2, n = 3 * kernel.nr + 1;
      const Case c{.m = m, .n = n, .taps = 2, .k = 19, .indirect = true, .padding = Padding::zero, .output = output};
      const Fixture fixture(c);
      PackedBuffer packed(fixture.packed_bytes(kernel)), scratch(fixture.scratch_bytes(kernel));
      pack(kernel, fixture.rhs(), packed.data(), 0, n);

      Guarded<u8> pieces = fixture.new_output();
      for (const auto& [m_begin, m_end] : {std::pair<isize, isize>{0, 1}, {1, kernel.mr + 2}, {kernel.mr + 2, m}}) {
        for (const auto& [n_begin, n_end] : {std::pair<isize, isize>{0, kernel.nr}, {kernel.nr, n}})
          run(kernel, fixture.args(packed.data(), pieces, scratch.data()), m_begin, m_end, n_begin, n_end);
      }
      CHECK(fixture.difference(fixture.expected(), pieces, isa(kernel)) == -1);

      const isize m_begin = kernel.mr - 1, m_end = m - 2, n_begin = kernel.nr, n_end = 2 * kernel.nr;
      Guarded<u8> part = fixture.new_output(), wanted = fixture.new_output();
      run(kernel, fixture.args(packed.data(), part, scratch.data()), m_begin, m_end, n_begin, n_end);
      for (isize row = m_begin; row < m_end; ++row)
        for (isize column = n_begin; column < n_end; ++column) fixture.expect(wanted, row, column);
      CHECK(fixture.difference(wanted, part, isa(kernel)) == -1);

      Guarded<u8> nothing = fixture.new_output();
      run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 3, 3, 0, n);
      run(kernel, fixture.args(packed.data(), nothing, scratch.data()), 0, m, n_begin, n_begin);
      CHECK(fixture.difference(fixture.new_output(), nothing, isa(kernel)) == -1);
    }
  });
}

TEST_CASE("every kernel: packing in ranges gives the same bytes, and every byte is written") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const isize k : {isize{8 * kernel.row_group}, isize{8 * kernel.row_group + 1}}) {
      const isize n = 4 * kernel.nr + 1;
      const Fixture fixture({.m = 1, .n = n, .taps = 3, .k = k, .indirect = true});
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
      CHECK(panel_columns(kernel) % 8 == 0);
      CHECK(tile_rows(kernel) == kernel.mr);
    }
  });
}

TEST_CASE("select names the best kernel of the instruction sets") {
  const auto chosen = [](IsaSet isa, isize m = 0) {
    return std::string(name(select({.m = m, .n = 64, .taps = 9, .k = 64}, isa)));
  };
  CHECK(chosen(IsaSet()) == "gemm_b1b1s32_1x8k64_scalar");
  CHECK(chosen(isa_up_to(Isa::scalar)) == "gemm_b1b1s32_1x8k64_scalar");
#ifdef WHIT_HAVE_AVX2
  for (const Isa level : {Isa::avx2, Isa::avxvnni, Isa::avx512vnni})
    CHECK(chosen(isa_up_to(level)) == "gemm_b1b1s32_4x64k4_avx2");
#endif
#ifdef WHIT_HAVE_AVX512ICL
  for (const Isa level : {Isa::avx512icl, Isa::amx})
    CHECK(chosen(isa_up_to(level)) == "gemm_b1b1s32_3x64k32_avx512icl");
#endif
#ifdef WHIT_HAVE_AMX  // for rows enough to pay for weights of a byte
  CHECK(chosen(isa_up_to(Isa::amx), 1) == "gemm_b1b1s32_3x64k32_avx512icl");
  CHECK(chosen(isa_up_to(Isa::amx), 49) == "gemm_b1b1s32_32x64k64_amx");
#endif
#ifdef WHIT_HAVE_NEON
  for (const Isa level : {Isa::neon, Isa::neondot, Isa::i8mm})
    CHECK(chosen(isa_up_to(level)) == "gemm_b1b1s32_4x16k128_neon");
#endif
#ifdef WHIT_HAVE_NEON32
  CHECK(chosen(isa_up_to(Isa::neon32)) == "gemm_b1b1s32_2x16k128_neon32");
#endif
}

}  // namespace
}  // namespace whit::gemm_b1
