#pragma once
// Pixels to lines. A Tile has
//     Bytes                        16 bytes
//     load(p), load_first(p, count)
//     transpose<kChannels>(v)      from v[16], of 16 pixels 16 channels each, to lines of kChannels channels: kChannels
//                                  vectors follow each other that have the pixels of one line
//     store(p, v, offset), store_s16(p, v, offset)

#include "kernels/simd_f32/unroll.h"
#include "kernels/simd_s8/partial.h"
#include "kernels/spmm_s8/kernel.h"

namespace whit::spmm_s8 {
namespace {

/// Row i.
WHIT_INLINE const s8* row_values(const Rows& rows, isize i) {
  if (!rows.offsets) return rows.base + i * rows.row_stride;
  const s32 offset = rows.offsets[i];
  return offset >= 0 ? rows.base + offset : rows.pad;
}

template <class Tile, int kChannels, int kBytes>
void lines_of_rows(u8 offset, const Rows& rows, isize begin, isize count, isize k, s8* lines, isize line_stride) {
  constexpr int kSide = 16, kLines = kSide / kChannels;
  const auto store = [&](s8* line, int i, typename Tile::Bytes v) {
    if constexpr (kBytes == 2) {
      Tile::store_s16(line + i * 2 * kSide, v);
    } else {
      Tile::store(line + i * kSide, v, offset);
    }
  };
  for (isize p = 0; p < count; p += kSide, lines += kSide * kChannels * kBytes) {
    const s8* row[kSide];
    for (isize i = 0; i < kSide; ++i) row[i] = row_values(rows, begin + (p + i < count ? p + i : count - 1));
    s8* line = lines;
    isize channel = 0;
    for (; channel + kSide <= k; channel += kSide, line += kLines * line_stride) {
      typename Tile::Bytes v[kSide];
      WHIT_UNROLL for (int i = 0; i < kSide; ++i) v[i] = Tile::load(row[i] + channel);
      Tile::template transpose<kChannels>(v);
      WHIT_UNROLL for (int i = 0; i < kSide; ++i) store(line + i / kChannels * line_stride, i % kChannels, v[i]);
    }
    if (channel == k) continue;
    typename Tile::Bytes v[kSide];
    WHIT_UNROLL for (int i = 0; i < kSide; ++i) v[i] = Tile::load_first(row[i] + channel, k - channel);
    Tile::template transpose<kChannels>(v);
    for (int i = 0; i < (k - channel + kChannels - 1) / kChannels * kChannels; ++i)
      store(line + i / kChannels * line_stride, i % kChannels, v[i]);
  }
}

template <class Tile>
WHIT_INLINE void lines_of_form(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                               isize line_stride) {
  const u8 offset = static_cast<u8>(form.offset);
  const auto call = [&]<int kChannels, int kBytes>() {
    lines_of_rows<Tile, kChannels, kBytes>(offset, rows, begin, count, k, lines, line_stride);
  };
  if (form.bytes == 2) return form.channels == 1 ? call.template operator()<1, 2>() : call.template operator()<2, 2>();
  switch (form.channels) {
    case 1: return call.template operator()<1, 1>();
    case 2: return call.template operator()<2, 1>();
    default: return call.template operator()<4, 1>();
  }
}

}  // namespace
}  // namespace whit::spmm_s8
