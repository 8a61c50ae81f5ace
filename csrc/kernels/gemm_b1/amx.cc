// AMX, whose products of s8 are four times as many as VPOPCNTDQ's of bits: the bits of rows become s8, 1 for -1 and 0
// for +1, and weights +1 and -1. Where x are the former and w the latter, and w has `minus` values of -1,
//     popcount = minus + sum_k x[k] * w[k]
// so accumulators begin with `minus` and end as the counts that the epilogue takes. It does while the next tiles are
// multiplied.

#include "kernels/simd_s8/amx.h"
#include "kernels/simd_b1/avx512.h"
// after the vectors
#include "kernels/gemm_b1/finish.h"

namespace whit::gemm_b1 {
namespace {

using namespace amx;

constexpr isize kMr = 2 * kTileRows, kNr = 2 * kPanelColumns;

/// A value for each bit, of rows of multiples of 64 bits.
void expand(const Rows& rows, isize row_bytes, isize count, isize stride, s8* out) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (isize i = 0; i < count; ++i, out += stride) {
    const u8* bits = rows.bits + i * rows.stride;
    s8* to = out;
    for (isize k = 0; k < row_bytes; k += 8, to += 64) {
      u64 mask;
      std::memcpy(&mask, bits + k, sizeof(mask));
      _mm512_store_si512(to, _mm512_maskz_mov_epi8(mask, ones));
    }
  }
}

using Counts = s32[kMr][kNr];

/// Two tiles of rows times 32 columns: the counts of columns from `column` on.
WHIT_INLINE void multiply(const s8* a0, const s8* a1, isize stride, isize tiles, const s8* b, const s32* minus) {
  // A row of accumulators is as the one before.
  _tile_loadd(0, minus, 0);
  _tile_loadd(1, minus + kTileRows, 0);
  _tile_loadd(2, minus, 0);
  _tile_loadd(3, minus + kTileRows, 0);
  for (; tiles > 0; --tiles, a0 += kTileBytes, a1 += kTileBytes, b += kTileGroups * kGroupStride)
    step<2, 2, 0>(a0, a1, stride, b);
}

WHIT_INLINE void store(Counts& counts, isize column) {
  settle_memory();
  _tile_stored(0, counts[0] + column, sizeof(counts[0]));
  _tile_stored(1, counts[0] + column + kTileRows, sizeof(counts[0]));
  _tile_stored(2, counts[kTileRows] + column, sizeof(counts[0]));
  _tile_stored(3, counts[kTileRows] + column + kTileRows, sizeof(counts[0]));
  settle_memory();
}

/// Two tiles whose counts wait for their epilogue: rows [skip[i], rows) of tile i are those from m[i] on.
struct Pending {
  isize n, columns, m[2], skip[2];
};

}  // namespace

void gemm_b1b1s32_32x64k64_amx(const Args& args, const Rows& bits, isize row_bytes, isize m, isize count, isize n,
                               isize n_end) {
  const isize stride = value_stride(row_bytes), depth = row_bytes / 8;
  s8* values = reinterpret_cast<s8*>(args.scratch) + block_rows(kMr, row_bytes) * row_bytes;
  expand(bits, row_bytes, count, stride, values);
  // Two tiles are multiplied together; the last one ends with the last row, and computes some of those before again.
  const isize tiles = (count + kMr - 1) / kMr * 2, rows = (count + tiles - 1) / tiles;
  const auto begin_of = [&](isize i) { return i * rows + rows < count ? i * rows : count - rows; };
  const Configuration configuration(static_cast<int>(rows), static_cast<int>(kTileGroups));
  settle_memory();
  _tile_loadconfig(&configuration);

  const isize panel_stride = panel_bytes(Layout::values, kNr, row_bytes);
  const s8* panel = reinterpret_cast<const s8*>(args.packed) + n / kNr * panel_stride;
  alignas(64) Counts counts[2];
  Pending pending{};
  int current = 0;
  const auto finish_tile = [&](int i) {
    const isize skip = pending.skip[i];
    if (pending.columns > 0 && skip < rows)
      finish<kNr>(args, counts[1 - current][i * kTileRows + skip], rows - skip, pending.m[i], pending.n,
                  pending.columns);
  };
  for (; n < n_end; n += kNr, panel += panel_stride) {
    const s32* minus = reinterpret_cast<const s32*>(panel);
    const s8* left = panel + kNr * sizeof(s32);
    const s8* right = left + kPanelColumns * row_bytes * 8;
    const isize columns = n_end - n < kNr ? n_end - n : kNr;
    for (isize i = 0; i < tiles; i += 2) {
      const isize first = begin_of(i), second = begin_of(i + 1);
      const s8 *a0 = values + first * stride, *a1 = values + second * stride;
      multiply(a0, a1, stride, depth, left, minus);
      finish_tile(0);
      store(counts[current], 0);
      if (columns > kPanelColumns) multiply(a0, a1, stride, depth, right, minus + kPanelColumns);
      finish_tile(1);
      if (columns > kPanelColumns) store(counts[current], kPanelColumns);
      const isize end0 = first + rows;
      pending = {n, columns, {m + first, m + (second < end0 ? end0 : second)}, {0, second < end0 ? end0 - second : 0}};
      current = 1 - current;
    }
  }
  finish_tile(0);
  finish_tile(1);
  _tile_release();
}

}  // namespace whit::gemm_b1
