// ARMv8.2 matrix multiplication. SMMLA multiplies 8 k of two rows with 8 k of two columns and adds to their 2 x 2
// accumulators. Rows stand side by side in the buffer that they are copied to, once for all panels; for few panels they
// are read in place and combined. A row alone stands beside itself. On the way out ZIP takes the rows apart again.

#include "kernels/gemm_s8/neon_walk.h"

namespace whit::gemm_s8 {
namespace {

struct Matrices {
  static constexpr int kGroup = 8;
  static constexpr bool kInterleaves = true, kReadsRows = false;

  /// acc[i][c]: rows 2i, 2i + 1 and columns 2c, 2c + 1.
  template <int R, int C>
  using Accumulators = Int[(R + 1) / 2][2 * C];

  template <int P, int C>
  WHIT_INLINE static void start(Int (&acc)[P][C], const s32* from) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int pair = vreinterpretq_s32_s64(vld1q_dup_s64(reinterpret_cast<const s64*>(from + 2 * c)));
      WHIT_UNROLL for (int i = 0; i < P; ++i) acc[i][c] = pair;
    }
  }

  template <int P, int C>
  WHIT_INLINE static void multiply(Int (&acc)[P][C], int8x16_t first, int8x16_t second, const s8* rhs) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const int8x16_t w = vld1q_s8(rhs + 16 * c);
      acc[0][c] = vmmlaq_s32(acc[0][c], first, w);
      if (P > 1) acc[P - 1][c] = vmmlaq_s32(acc[P - 1][c], second, w);
    }
    keep_order();
  }

  template <int P, int C>
  WHIT_INLINE static void step(Int (&acc)[P][C], const Lhs8& x, const s8* rhs) {
    multiply(acc, vcombine_s8(x[0], x[1]), vcombine_s8(x[2], x[3]), rhs);
  }

  template <int P, int C>
  WHIT_INLINE static void step(Int (&acc)[P][C], const s8* side_by_side, const s8* rhs) {
    multiply(acc, vld1q_s8(side_by_side), vld1q_s8(side_by_side + 16), rhs);
  }

  template <int P, int C>
  WHIT_INLINE static void last_step(Int (&acc)[P][C], const Lhs8& x, const s8* rhs, isize) {
    step(acc, x, rhs);
  }

  template <int P, int C2, int R, int C>
  WHIT_INLINE static void sums(Int (&acc)[P][C2], Int (&sums)[R][C]) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const int64x2_t left = vreinterpretq_s64_s32(acc[r / 2][2 * c]);
        const int64x2_t right = vreinterpretq_s64_s32(acc[r / 2][2 * c + 1]);
        sums[r][c] = vreinterpretq_s32_s64(r % 2 ? vzip2q_s64(left, right) : vzip1q_s64(left, right));
      }
    }
  }
};

}  // namespace

void gemm_s8s8s32_4x16k8_i8mm(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk_panels<Matrices>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_s8
