// The reference: portable C++ that every other kernel equals to the bit.

#include <cstring>

#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/scalar.h"

namespace whit::gemm_s8 {
namespace {

struct Scalar {
  static constexpr int kRows = 4, kColumnVectors = 1, kLanes = 8, kGroup = 1;

  template <int R, int>
  static void tile(const Tile& tile, int) {
    const Args& args = tile.args;
    u32 acc[R][kLanes];  // unsigned, so that sums too large for s32 wrap as they do in vectors
    for (int r = 0; r < R; ++r) std::memcpy(acc[r], tile.panel, sizeof(acc[r]));
    const s8* rhs = tile.panel + sizeof(acc[0]);
    for (isize t = 0; t < args.taps; ++t) {
      const s8* lhs[R];
      for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
      for (isize k = 0; k < args.k; ++k, rhs += kLanes) {
        for (int r = 0; r < R; ++r)
          for (int c = 0; c < kLanes; ++c) acc[r][c] += static_cast<u32>(lhs[r][k] * rhs[c]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int c = 0; c < tile.columns; ++c)
        finish(args.epilogue, static_cast<s32>(acc[r][c]), tile.m + r, tile.n + c, args.out, args.out_stride);
    }
  }
};

}  // namespace

void gemm_s8s8s32_4x8k1_scalar(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk<Scalar>(args, m, rows, n, n_end, 0);
}

}  // namespace whit::gemm_s8
