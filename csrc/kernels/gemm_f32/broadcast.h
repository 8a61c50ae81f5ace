#pragma once
// accumulate() of tile.h for ISAs that broadcast a float from memory at the cost of a load.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::gemm_f32 {
namespace {

template <int R, int N, int P>
WHIT_INLINE const f32* accumulate(Vector::Register (&acc)[R][P * N], const f32* const (&lhs)[R], const f32* rhs,
                                  isize panel_stride, isize nr, isize k) {
  for (isize i = 0; i < k; ++i, rhs += nr) {
    Vector::Register w[P * N];
    WHIT_UNROLL for (int v = 0; v < P * N; ++v) w[v] =
        Vector::load(rhs + v / N * panel_stride + v % N * Vector::kLanes);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Vector::Register x = Vector::broadcast(lhs[r][i]);
      WHIT_UNROLL for (int v = 0; v < P * N; ++v) acc[r][v] = Vector::fma(x, w[v], acc[r][v]);
    }
  }
  return rhs;
}

}  // namespace
}  // namespace whit::gemm_f32
