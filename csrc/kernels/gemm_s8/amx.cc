// AMX. The time of a product goes with its rows, so rows are spread evenly over tiles: 49 rows are 4 tiles of 13. Where
// there is but one tile, two sets of accumulators take every other 64 k, since one product takes longer than it keeps
// the unit busy. Sums leave through memory; while the epilogue takes those of one block of tiles to s8, the next are
// multiplied.

#include "kernels/simd_s8/amx.h"
#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_s8 {
namespace {

using namespace amx;
using Int = Vector::Int;

constexpr isize kMaxRows = kMaxTilesPerBlock * kTileRows;

/// How the k of all taps lie before the tiles: `body` tiles of 64, and a last one that overlaps the one before it, with
/// zeros in the rows of the lhs where it does. Less than 64 k are one tile of fewer groups.
struct Depth {
  explicit Depth(isize groups)
      : groups_per_tile(groups < kTileGroups ? groups : kTileGroups),
        body(groups / groups_per_tile),
        rest(groups % groups_per_tile),
        tail_rhs((groups - groups_per_tile) * kGroupStride) {}
  isize groups_per_tile, body, rest, tail_rhs;
};

/// Rows as tiles are loaded from them.
struct Rows {
  const s8* body;
  isize body_stride;
  const s8* tail;  // null if none
  isize tail_stride;
};

WHIT_INLINE Int load_bytes(const s8* p, isize count) {
  return count >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((__mmask64{1} << count) - 1, p);
}
/// 64 bytes that end with the `count` bytes at p, padded with zeros on both sides to a multiple of a group.
WHIT_INLINE void store_tail(const s8* p, isize count, s8* out) {
  const isize begin = kTileBytes - (count + kGroup - 1) / kGroup * kGroup;
  _mm512_storeu_si512(out, _mm512_setzero_si512());
  _mm512_mask_storeu_epi8(out + begin, (__mmask64{1} << count) - 1, load_bytes(p, count));
}

/// Rows [m, m + rows) with the k of their taps side by side.
Rows gather(const Args& args, const Depth& depth, isize m, isize rows, s8* out) {
  const isize stride = gathered_stride(kGroup, args.taps, args.k), tap_bytes = (args.k + kGroup - 1) / kGroup * kGroup;
  s8* row = out;
  for (isize i = 0; i < rows; ++i, row += stride) {
    s8* to = row;
    for (isize t = 0; t < args.taps; ++t, to += tap_bytes) {
      const s8* from = lhs_values(args, m + i, t);
      // Zeros up to 64 bytes behind a tap, which the next one overwrites; the last one ends with its row at most.
      for (isize k = 0; k < args.k; k += 64) {
        const Int bytes = load_bytes(from + k, args.k - k);
        const isize room = row + stride - (to + k);
        if (room >= 64) {
          _mm512_storeu_si512(to + k, bytes);
        } else {
          _mm512_mask_storeu_epi8(to + k, (__mmask64{1} << room) - 1, bytes);
        }
      }
    }
    if (depth.rest) {
      s8* tail = row + depth.body * kTileBytes;
      const isize count = depth.rest * kGroup;
      const Int bytes = load_bytes(tail, count);
      _mm512_storeu_si512(tail, _mm512_setzero_si512());
      _mm512_mask_storeu_epi8(tail + kTileBytes - count, (__mmask64{1} << count) - 1, bytes);
    }
  }
  return {out, stride, depth.rest ? out + depth.body * kTileBytes : nullptr, stride};
}

/// Rows where they are, but for the k of the last tile.
Rows in_place(const Args& args, Depth& depth, isize m, isize rows, s8* tails) {
  const s8* first = args.lhs.base + m * args.lhs.row_stride;
  Rows result{first, args.lhs.row_stride, nullptr, kTileBytes};
  if (depth.groups_per_tile < kTileGroups || args.k == kTileBytes) {
    if (args.k % kGroup == 0) return result;
    depth.body = 0;
  } else {
    depth.body = args.k / kTileBytes;
  }
  const isize whole = depth.body * kTileBytes, count = args.k - whole;
  if (count == 0) return result;
  result.tail = tails;
  for (isize i = 0; i < rows; ++i, first += args.lhs.row_stride, tails += kTileBytes) {
    if (depth.body > 0) {
      store_tail(first + whole, count, tails);
    } else {
      _mm512_storeu_si512(tails, load_bytes(first, count));
    }
  }
  return result;
}

using Sums = s32[2][2][kTileRows][Vector::kLanes];  // tiles a0 a1, b0 b1

/// All k of R x C tiles, rows from `first` and `second` on.
template <int R, int C>
WHIT_INLINE void multiply(const Rows& rows, const Depth& depth, isize first, isize second, const s8* rhs) {
  _tile_zero(0);
  _tile_zero(2);
  if constexpr (C == 2) {
    _tile_zero(1);
    _tile_zero(3);
  }
  const s8 *a0 = rows.body + first * rows.body_stride, *a1 = rows.body + second * rows.body_stride, *b = rhs;
  const auto next = [&] { a0 += kTileBytes, a1 += kTileBytes, b += kTileGroups * kGroupStride; };
  isize i = depth.body;
  for (; R == 1 && i >= 2; i -= 2) {
    step<R, C, 0>(a0, a1, rows.body_stride, b);
    next();
    step<R, C, R == 1 ? 2 : 0>(a0, a1, rows.body_stride, b);
    next();
  }
  for (; i > 0; --i, next()) step<R, C, 0>(a0, a1, rows.body_stride, b);
  if (rows.tail) {
    const s8* tail = rows.tail;
    step<R, C, R == 1 ? 2 : 0>(tail + first * rows.tail_stride, tail + second * rows.tail_stride, rows.tail_stride,
                               rhs + depth.tail_rhs);
  }
}

template <int C>
WHIT_INLINE void store_sums(Sums& sums) {
  settle_memory();
  _tile_stored(0, sums[0][0], kTileBytes);
  _tile_stored(2, sums[1][0], kTileBytes);
  if constexpr (C == 2) {
    _tile_stored(1, sums[0][1], kTileBytes);
    _tile_stored(3, sums[1][1], kTileBytes);
  }
  settle_memory();
}

/// Rows that follow each other, some of the kStep that the epilogue takes at a time.
struct FirstOf {
  isize first, count;
  WHIT_INLINE bool has(int r) const { return r < count; }
  WHIT_INLINE isize operator[](int r) const { return first + r; }
};

/// Tiles whose sums wait in memory for their epilogue: rows [skip[i], rows) of tile i are rows from m[i] on.
struct Pending {
  const s8* panel;
  isize n, columns, rows, m[2], skip[2];
  int tiles;
};

template <int C>
WHIT_INLINE void finish_tiles(const Epilogue& epilogue, const Pending& pending, const Sums& sums) {
  constexpr int kStep = 4;
  const int last = static_cast<int>(pending.columns - (C - 1) * Vector::kLanes);
  Int bias[C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) bias[c] = Vector::load(reinterpret_cast<const s32*>(pending.panel) + 16 * c);
  for (int i = 0; i < pending.tiles; ++i) {
    const isize skip = pending.skip[i];
    for (isize row = skip; row < pending.rows; row += kStep) {
      Int acc[kStep][C];
      WHIT_UNROLL for (int r = 0; r < kStep; ++r) {
        // Rows behind the last one of the tile are its last one again.
        const isize at = row + r < pending.rows ? row + r : pending.rows - 1;
        WHIT_UNROLL for (int c = 0; c < C; ++c) {
          acc[r][c] = Vector::add(bias[c], Vector::load(sums[i][c][at]));
          if (pending.tiles == 1) acc[r][c] = Vector::add(acc[r][c], Vector::load(sums[1][c][at]));
        }
      }
      finish(epilogue, acc, FirstOf{pending.m[i] + row - skip, pending.rows - row}, pending.n, last);
    }
  }
}

void finish_pending(const Epilogue& epilogue, const Pending& pending, const Sums& sums) {
  if (pending.columns > Vector::kLanes) {
    finish_tiles<2>(epilogue, pending, sums);
  } else if (pending.columns > 0) {
    finish_tiles<1>(epilogue, pending, sums);
  }
}

}  // namespace

void gemm_s8s8s32_16x32k4_amx(const Args& args, isize m, isize rows, isize n, isize n_end) {
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  Depth depth(args.taps * ((args.k + kGroup - 1) / kGroup));
  alignas(64) s8 tails[kMaxRows * kTileBytes];
  const Rows lhs = args.lhs.offsets ? gather(args, depth, m, rows, reinterpret_cast<s8*>(args.scratch))
                                    : in_place(args, depth, m, rows, tails);
  const isize tiles = (rows + kTileRows - 1) / kTileRows, tile_rows = (rows + tiles - 1) / tiles;
  const Configuration configuration(static_cast<int>(tile_rows), static_cast<int>(depth.groups_per_tile));
  settle_memory();
  _tile_loadconfig(&configuration);

  // The last tile ends with the last row, and computes some of the rows of the one before again.
  const auto begin_of = [&](isize i) { return i < tiles - 1 ? i * tile_rows : rows - tile_rows; };
  const isize stride = panel_bytes(kPanelColumns, kGroup, args.taps, args.k);
  const s8* panel = reinterpret_cast<const s8*>(args.packed) + n / kPanelColumns * stride;
  alignas(64) Sums sums[2];
  Pending pending{.panel = panel, .n = n, .columns = 0, .rows = tile_rows, .m = {}, .skip = {}, .tiles = 0};
  int current = 0;
  for (; n < n_end; n += kPanelColumns, panel += stride) {
    const isize columns = n_end - n < kPanelColumns ? n_end - n : kPanelColumns;
    const s8* rhs = panel + kPanelColumns * sizeof(s32);
    for (isize i = 0; i < tiles; i += 2) {
      const int together = i + 1 < tiles ? 2 : 1;
      const isize first = begin_of(i), second = together == 2 ? begin_of(i + 1) : first;
      const bool wide = columns > Vector::kLanes;
      if (together == 2) {
        wide ? multiply<2, 2>(lhs, depth, first, second, rhs) : multiply<2, 1>(lhs, depth, first, second, rhs);
      } else {
        wide ? multiply<1, 2>(lhs, depth, first, first, rhs) : multiply<1, 1>(lhs, depth, first, first, rhs);
      }
      finish_pending(epilogue, pending, sums[1 - current]);
      wide ? store_sums<2>(sums[current]) : store_sums<1>(sums[current]);
      pending.panel = panel, pending.n = n, pending.columns = columns, pending.tiles = together;
      pending.m[0] = m + i * tile_rows, pending.m[1] = m + (i + 1) * tile_rows;
      pending.skip[0] = i * tile_rows - first, pending.skip[1] = (i + 1) * tile_rows - second;
      current = 1 - current;
    }
  }
  finish_pending(epilogue, pending, sums[1 - current]);
  _tile_release();
}

}  // namespace whit::gemm_s8
