// NEON: 32 registers. 8 x 8 holds 16 accumulators, 8 vectors of lhs (4 k of a row each, used lane by lane, so that a
// load of lhs serves 8 FMLA) and 2 of rhs.

#include "kernels/simd_f32/neon.h"

namespace whit::gemm_f32 {
namespace {

template <int Lane, int R, int N, int P>
WHIT_INLINE const f32* accumulate_lane(float32x4_t (&acc)[R][P * N], const float32x4_t (&x)[R], const f32* rhs,
                                       isize panel_stride, isize nr) {
  WHIT_UNROLL for (int v = 0; v < P * N; ++v) {
    const float32x4_t w = vld1q_f32(rhs + v / N * panel_stride + v % N * 4);
    WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][v] = vfmaq_laneq_f32(acc[r][v], w, x[r], Lane);
  }
  return rhs + nr;
}

template <int R, int N, int P>
WHIT_INLINE const f32* accumulate(float32x4_t (&acc)[R][P * N], const f32* const (&lhs)[R], const f32* rhs,
                                  isize panel_stride, isize nr, isize k) {
  isize i = 0;
  for (; i + 4 <= k; i += 4) {
    float32x4_t x[R];
    WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1q_f32(lhs[r] + i);
    rhs = accumulate_lane<0, R, N, P>(acc, x, rhs, panel_stride, nr);
    rhs = accumulate_lane<1, R, N, P>(acc, x, rhs, panel_stride, nr);
    rhs = accumulate_lane<2, R, N, P>(acc, x, rhs, panel_stride, nr);
    rhs = accumulate_lane<3, R, N, P>(acc, x, rhs, panel_stride, nr);
  }
  for (; i < k; ++i) {
    float32x4_t x[R];
    WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1q_dup_f32(lhs[r] + i);
    rhs = accumulate_lane<0, R, N, P>(acc, x, rhs, panel_stride, nr);
  }
  return rhs;
}

}  // namespace
}  // namespace whit::gemm_f32

#include "kernels/gemm_f32/tile.inc"

namespace whit::gemm_f32 {

void gemm_f32_8x8_neon(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<8, 2>(args, m, rows, n, n_end);
}

void gemm_f32_8x4_neon(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<8, 1>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_f32
