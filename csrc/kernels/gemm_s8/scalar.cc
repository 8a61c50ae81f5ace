// The reference: portable C++ that every other kernel equals to the bit.

#include "kernels/simd_s8/scalar.h"

#include "kernels/gemm_s8/tile.h"

namespace whit::gemm_s8 {
namespace {

struct Scalar {
  static constexpr int kRows = 4, kColumnVectors = 8, kLanes = 1, kGroup = 1;

  template <int R, int C>
  static void tile(const Tile& tile, int) {
    if constexpr (C < kColumnVectors) {  // columns differ in what is stored alone
      Scalar::tile<R, kColumnVectors>(tile, 0);
    } else {
      const Args& args = tile.args;
      u32 acc[R][C];  // unsigned, so that sums too large for s32 wrap as they do in vectors
      for (int c = 0; c < C; ++c) {
        const u32 bias = reinterpret_cast<const u32*>(tile.panel)[c];
        for (int r = 0; r < R; ++r) acc[r][c] = bias;
      }
      const s8* rhs = tile.panel + C * sizeof(s32);
      for (isize t = 0; t < args.taps; ++t) {
        const s8* lhs[R];
        for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
        for (isize k = 0; k < args.k; ++k, rhs += C) {
          for (int r = 0; r < R; ++r)
            for (int c = 0; c < C; ++c) acc[r][c] += static_cast<u32>(lhs[r][k] * rhs[c]);
        }
      }
      for (int r = 0; r < R; ++r) {
        for (int c = 0; c < tile.columns; ++c)
          finish(args.epilogue, static_cast<s32>(acc[r][c]), tile.m + r, tile.n + c, args.out, args.out_stride);
      }
    }
  }
};

}  // namespace

void gemm_s8s8s32_4x8k1_scalar(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk<Scalar>(args, m, rows, n, n_end, 0);
}

}  // namespace whit::gemm_s8
