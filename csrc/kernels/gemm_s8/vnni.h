#pragma once
// vpdpbusd multiplies u8 with s8: the weights are the u8 operand (packed as w + 128, so that nothing is done to either
// operand in the loop) and every row starts at  bias - 128 * (sum of its lhs), computed once per block. Its latency is
// 5 cycles on two ports: tiles of few rows split k over several accumulators.
//
// Include a file before that defines Vector (see simd_s8) and struct Dot with
//     kRows, kColumnVectors                        of a tile
//     Int dot4(Int acc, Int w, Int x)              acc + the four products of every lane, w of u8
//     sum_rows(args, m, rows, s32* sums)           128 * (sum of all taps of each row), and up to three more sums

#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"
#include "kernels/simd_s8/partial.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

struct Block {
  Epilogue epilogue;
  s32 row_sums[kMaxTilesPerBlock * Dot::kRows + 3];
};

struct Vnni {
  static constexpr int kRows = Dot::kRows, kColumnVectors = Dot::kColumnVectors, kLanes = Vector::kLanes, kGroup = 4;
  static constexpr isize kNr = kColumnVectors * kLanes;

  template <int R, int C>
  WHIT_INLINE static void step(Int (&acc)[R][C], const u32 (&lhs)[R], const s8* rhs) {
    Int w[C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) w[c] = Vector::load(reinterpret_cast<const s32*>(rhs) + c * kLanes);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Int x = Vector::broadcast(static_cast<s32>(lhs[r]));
      WHIT_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = Dot::dot4(acc[r][c], w[c], x);
    }
  }

  template <int R, int C>
  static void tile(const Tile& tile, const Block& block) {
    constexpr int kSplit = R * C >= 10 ? 1 : R * C >= 4 ? 2 : 4;
    const Args& args = tile.args;
    Int acc[kSplit][R][C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int bias = Vector::load(reinterpret_cast<const s32*>(tile.panel) + c * kLanes);
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        acc[0][r][c] = Vector::sub(bias, Vector::broadcast(block.row_sums[tile.m - tile.block_m + r]));
        WHIT_UNROLL for (int s = 1; s < kSplit; ++s) acc[s][r][c] = Vector::broadcast(s32{0});
      }
    }
    const s8* rhs = tile.panel + kNr * sizeof(s32);
    const isize rest = args.k % kGroup, whole = args.k - rest;
    for (isize t = 0; t < args.taps; ++t) {
      const s8* lhs[R];
      u32 x[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
      isize k = 0;
      for (; k + kSplit * kGroup <= whole; k += kSplit * kGroup) {
        WHIT_UNROLL for (int s = 0; s < kSplit; ++s) {
          WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r] + k + s * kGroup);
          step(acc[s], x, rhs);
          rhs += kNr * kGroup;
        }
      }
      if constexpr (kSplit > 1) {
        for (; k < whole; k += kGroup, rhs += kNr * kGroup) {
          WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r] + k);
          step(acc[0], x, rhs);
        }
      }
      if (rest) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_first_u32(lhs[r] + whole, rest);
        step(acc[0], x, rhs);
        rhs += kNr * kGroup;
      }
    }
    WHIT_UNROLL for (int s = 1; s < kSplit; ++s) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        WHIT_UNROLL for (int c = 0; c < C; ++c) acc[0][r][c] = Vector::add(acc[0][r][c], acc[s][r][c]);
      }
    }
    finish(block.epilogue, acc[0], Consecutive{tile.m}, tile.n, static_cast<int>(tile.columns - (C - 1) * kLanes));
  }
};

WHIT_INLINE void multiply_vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  Block block{.epilogue = {args.epilogue, args.out, args.out_stride}, .row_sums = {}};
  Dot::sum_rows(args, m, rows, block.row_sums);
  walk<Vnni>(args, m, rows, n, n_end, block);
}

}  // namespace
}  // namespace whit::gemm_s8
