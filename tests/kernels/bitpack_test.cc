// Values to bits and the maximum of bits, against both value by value.
#include "kernels/bitpack/bitpack.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/table_support.h"

namespace whit::bitpack {
namespace {

using test::Guarded;

/// No subnormal numbers for neon32, which may take them for zeros.
template <class T>
void fill(test::Random& random, Isa isa, std::span<T> values) {
  if constexpr (sizeof(T) == 1) {
    random.fill_integers(values, -128, 127);
  } else {
    const std::vector<f32> special = test::special_values();
    for (T& value : values) {
      value = random.integer(0, 2) ? random.real(-2, 2)
                                   : special[static_cast<std::size_t>(random.integer(0, std::ssize(special) - 1))];
      if (isa == Isa::neon32) value = test::flushed(value);
    }
  }
}

template <class T, class Pack>
void check_rows(const Table& table, Pack pack) {
  test::Random random(3);
  for (const isize k : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 256, 1000}) {
    for (const bool by_channel : {false, true}) {
      const isize rows = 5, stride = k + random.integer(0, 3), bytes = (k + 7) / 8;
      const isize bits_stride = bytes + random.integer(0, 2);
      Guarded<T> x((rows - 1) * stride + k), thresholds(k);
      Guarded<u8> bits((rows - 1) * bits_stride + bytes), wanted((rows - 1) * bits_stride + bytes);
      fill(random, table.isa, x.span());
      fill(random, table.isa, thresholds.span());
      for (isize i = 0; i < k; i += 3) thresholds[i] = x[stride + i];  // equal is not below
      const Args<T> args{x.data(),          stride,      k,          by_channel ? thresholds.data() : nullptr,
                         thresholds[k / 2], bits.data(), bits_stride};
      pack(table, args, 0, 2);
      pack(table, args, 2, 2);
      pack(table, args, 2, rows);
      for (isize row = 0; row < rows; ++row) {
        std::memset(wanted.data() + row * bits_stride, 0, static_cast<std::size_t>(bytes));
        for (isize c = 0; c < k; ++c) {
          const bool below = x[row * stride + c] < (by_channel ? thresholds[c] : args.threshold);
          wanted[row * bits_stride + c / 8] |= static_cast<u8>(below << c % 8);
        }
      }
      INFO("k ", k, " by channel ", by_channel);
      CHECK(test::first_difference(wanted.span(), bits.span()) == -1);
    }
  }
}

TEST_CASE("bits are 1 below the threshold, in rows of every length") {
  test::for_each_level(tables(), [](const Table& table) {
    check_rows<f32>(
        table, [](const Table& t, const Args<f32>& args, isize begin, isize end) { t.pack_f32(args, begin, end); });
    check_rows<s8>(table,
                   [](const Table& t, const Args<s8>& args, isize begin, isize end) { t.pack_s8(args, begin, end); });
  });
}

TEST_CASE("select takes the best level") {
  CHECK(select(IsaSet()).isa == Isa::scalar);
#ifdef WHIT_HAVE_AVX2
  CHECK(select(isa_up_to(Isa::amx)).isa == Isa::avx2);
#endif
#ifdef WHIT_HAVE_NEON
  CHECK(select(isa_up_to(Isa::i8mm)).isa == Isa::neon);
#endif
#ifdef WHIT_HAVE_NEON32
  CHECK(select(isa_up_to(Isa::neon32)).isa == Isa::neon32);
#endif
}

TEST_CASE("the maximum of +1 and -1 over every window that exists") {
  test::Random random(9);
  const pool::Geometry geometries[] = {
      // in, out, bytes, kernel, stride, dilation, padding
      {7, 9, 4, 5, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1},   {8, 6, 4, 3, 8, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0},
      {5, 5, 5, 5, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},   {9, 9, 7, 7, 2, 3, 3, 1, 1, 2, 2, 1, 1, 1, 1},
      {1, 1, 1, 1, 1, 6, 2, 2, 1, 1, 3, 3, 1, 1, 2},  // no pixel at all
      {4, 4, 1, 1, 130, 4, 4, 1, 1, 1, 1, 0, 0, 0, 0},
  };
  for (const pool::Geometry& g : geometries) {
    constexpr isize kImages = 2;
    Guarded<u8> x(kImages * g.in_h * g.in_w * g.channels), y(kImages * g.out_h * g.out_w * g.channels);
    random.fill_integers(x.span(), 0, 255);
    max_pool(g, x.data(), y.data(), 0, 1);
    max_pool(g, x.data(), y.data(), 1, kImages * g.out_h);
    for (isize image = 0; image < kImages; ++image) {
      for (isize i = 0; i < g.out_h * g.out_w * g.channels * 8; ++i) {
        const isize channel = i % (g.channels * 8), pixel = i / (g.channels * 8);
        int largest = -1;
        for (isize tap = 0; tap < g.kernel_h * g.kernel_w; ++tap) {
          const isize h = pixel / g.out_w * g.stride_h - g.pad_top + tap / g.kernel_w * g.dilation_h;
          const isize w = pixel % g.out_w * g.stride_w - g.pad_left + tap % g.kernel_w * g.dilation_w;
          if (h < 0 || h >= g.in_h || w < 0 || w >= g.in_w) continue;
          const u8 byte = x[((image * g.in_h + h) * g.in_w + w) * g.channels + channel / 8];
          largest = std::max(largest, byte >> channel % 8 & 1 ? -1 : 1);
        }
        const u8 byte = y[(image * g.out_h * g.out_w + pixel) * g.channels + channel / 8];
        REQUIRE((byte >> channel % 8 & 1 ? -1 : 1) == largest);
      }
    }
  }
}

}  // namespace
}  // namespace whit::bitpack
