// AVX2, exact: four products per lane through |lhs| * (rhs with the sign of lhs), see Vector::dot4.
// 16 registers: 4 x 16 holds 8 accumulators, 2 vectors of rhs, lhs and |lhs|, the ones that sum pairs, and scratch.
// The multipliers' two ports bind: psignb, pmaddubsw and pmaddwd on each of them for 32 products.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_s8 {
namespace {

struct Avx2 {
  static constexpr int kRows = 4, kColumnVectors = 2, kLanes = 8, kGroup = 4;
  using Int = Vector::Int;

  template <int R, int C>
  WHIT_INLINE static void step(Int (&acc)[R][C], const u32 (&lhs)[R], const s8* rhs) {
    Int w[C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) w[c] = Vector::load(reinterpret_cast<const s32*>(rhs) + c * kLanes);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Vector::Operand x = Vector::operand(Vector::broadcast(static_cast<s32>(lhs[r])));
      WHIT_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = Vector::dot4(acc[r][c], x, w[c]);
    }
  }

  template <int R, int C>
  static void tile(const Tile& tile, const Epilogue& epilogue) {
    constexpr isize kNr = kColumnVectors * kLanes;
    const Args& args = tile.args;
    Int acc[R][C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int bias = Vector::load(reinterpret_cast<const s32*>(tile.panel) + c * kLanes);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = bias;
    }
    const s8* rhs = tile.panel + kNr * sizeof(s32);
    const isize rest = args.k % kGroup, whole = args.k - rest;
    for (isize t = 0; t < args.taps; ++t) {
      const s8* lhs[R];
      u32 x[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
      for (isize k = 0; k < whole; k += kGroup, rhs += kNr * kGroup) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r] + k);
        step(acc, x, rhs);
      }
      if (rest) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_first_u32(lhs[r] + whole, rest);
        step(acc, x, rhs);
        rhs += kNr * kGroup;
      }
    }
    finish(epilogue, acc, Consecutive{tile.m}, tile.n, static_cast<int>(tile.columns - (C - 1) * kLanes));
  }
};

}  // namespace

void gemm_s8s8s32_4x16k4_avx2(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk<Avx2>(args, m, rows, n, n_end, Epilogue(args.epilogue, args.out, args.out_stride));
}

}  // namespace whit::gemm_s8
