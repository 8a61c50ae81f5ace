#include "kernels/bitpack/bitpack.h"

#include <algorithm>

#include "kernels/bitpack/levels.h"

namespace whit::bitpack {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX2
    &bitpack_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &bitpack_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &bitpack_table_neon32,
#endif
    &bitpack_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return bitpack_table_scalar;
}

void max_pool(const pool::Geometry& g, const u8* x, u8* y, isize begin, isize end) {
  const isize bytes = g.channels;
  for (isize row = begin; row < end; ++row) {
    const u8* image = x + row / g.out_h * g.in_h * g.in_w * bytes;
    const isize top = row % g.out_h * g.stride_h - g.pad_top;
    u8* out = y + row * g.out_w * bytes;
    for (isize j = 0; j < g.out_w; ++j, out += bytes) {
      const isize left = j * g.stride_w - g.pad_left;
      std::fill_n(out, bytes, u8{0xff});
      for (isize th = 0; th < g.kernel_h; ++th) {
        const isize h = top + th * g.dilation_h;
        if (h < 0 || h >= g.in_h) continue;
        for (isize tw = 0; tw < g.kernel_w; ++tw) {
          const isize w = left + tw * g.dilation_w;
          if (w < 0 || w >= g.in_w) continue;
          const u8* pixel = image + (h * g.in_w + w) * bytes;
          for (isize i = 0; i < bytes; ++i) out[i] &= pixel[i];
        }
      }
    }
  }
}

}  // namespace whit::bitpack
