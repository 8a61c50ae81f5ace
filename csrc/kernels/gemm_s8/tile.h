#pragma once
// The walk over panels and tiles that the kernels share; local to the file that includes it.
//
//                         panel: nr columns, kr values of k side by side
//                        | c0k0 c0k1 .. | c1k0 c1k1 .. | ...
//     lhs  row 0  k0 k1  |     acc      |     acc      |
//          row 1  k0 k1  |     acc      |     acc      |
//          ... mr rows

#include "kernels/gemm_s8/kernel.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::gemm_s8 {
namespace {

WHIT_INLINE isize panel_bytes(isize nr, isize kr, isize taps, isize k) {
  return nr * static_cast<isize>(sizeof(s32) + sizeof(f32)) + taps * ((k + kr - 1) / kr) * kr * nr +
         mild_bytes(nr, kr, taps, k);
}

/// The k bytes of row i, tap t.
WHIT_INLINE const s8* lhs_values(const Args& args, isize i, isize t) {
  if (!args.lhs.offsets) return args.lhs.base + i * args.lhs.row_stride;
  const s32 offset = args.lhs.offsets[i * args.taps + t];
  return offset >= 0 ? args.lhs.base + offset : args.lhs.pad;
}

/// One tile: R rows from m, `columns` columns from n that fill C vectors (the last one perhaps in part). `block_m` is
/// the first row of the block.
struct Tile {
  const Args& args;
  isize m, n, columns, block_m;
  const s8* panel;
};

/// Body::tile<R, C>(tile, extra) for every tile of a block, panels outside, so that a panel stays in L1 over the rows
/// of the block. Rows are spread evenly: 13 rows are tiles of 7 and 6, not of 12 and 1.
template <class Body, int R, int C, class Extra>
WHIT_INLINE void dispatch(const Tile& tile, int rows, int vectors, const Extra& extra) {
  if constexpr (R > 1) {
    if (rows < R) return dispatch<Body, R - 1, C>(tile, rows, vectors, extra);
  }
  if constexpr (C > 1) {
    if (vectors < C) return dispatch<Body, R, C - 1>(tile, R, vectors, extra);
  }
  Body::template tile<R, C>(tile, extra);
}

template <class Body, class Extra>
WHIT_INLINE void walk(const Args& args, isize m, isize rows, isize n, isize n_end, const Extra& extra) {
  constexpr isize nr = Body::kColumnVectors * Body::kLanes;
  const isize stride = panel_bytes(nr, Body::kGroup, args.taps, args.k);
  const s8* panel = reinterpret_cast<const s8*>(args.packed) + n / nr * stride;
  const isize tiles = (rows + Body::kRows - 1) / Body::kRows;
  for (; n < n_end; n += nr, panel += stride) {
    const isize columns = n_end - n < nr ? n_end - n : nr;
    const int vectors = static_cast<int>((columns + Body::kLanes - 1) / Body::kLanes);
    for (isize i = 0; i < tiles; ++i) {
      const isize begin = rows * i / tiles, end = rows * (i + 1) / tiles;
      dispatch<Body, Body::kRows, Body::kColumnVectors>(Tile{args, m + begin, n, columns, m, panel},
                                                        static_cast<int>(end - begin), vectors, extra);
    }
  }
}

}  // namespace
}  // namespace whit::gemm_s8
