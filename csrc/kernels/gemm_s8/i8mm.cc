// ARMv8.2 matrix multiplication. SMMLA multiplies 8 k of two rows with 8 k of two columns and adds to their 2 x 2
// accumulators. Two rows are put side by side by ZIP; a row alone stands beside itself. On the way out ZIP takes the
// rows apart again.

#include "kernels/gemm_s8/neon_walk.h"

namespace whit::gemm_s8 {
namespace {

struct Matrices {
  static constexpr int kGroup = 8;
  static constexpr bool kBiased = true;

  /// acc[i][c]: rows 2i, 2i + 1 and columns 2c, 2c + 1.
  template <int R, int C>
  using Accumulators = Int[(R + 1) / 2][2 * C];

  template <int P, int C>
  WHIT_INLINE static void start(Int (&acc)[P][C], const s32* bias, Int add) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const int64x2_t pair_bits = vld1q_dup_s64(reinterpret_cast<const s64*>(bias + 2 * c));
      const Int pair = vaddq_s32(vreinterpretq_s32_s64(pair_bits), add);
      WHIT_UNROLL for (int i = 0; i < P; ++i) acc[i][c] = pair;
    }
  }

  template <int P, int C>
  WHIT_INLINE static void step(Int (&acc)[P][C], const Lhs8& x, const s8* rhs) {
    int8x16_t rows[P];
    WHIT_UNROLL for (int i = 0; i < P; ++i) {
      rows[i] = vcombine_s8(x[2 * i], x[2 * i + 1]);
    }
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const int8x16_t w = vld1q_s8(rhs + 16 * c);
      WHIT_UNROLL for (int i = 0; i < P; ++i) acc[i][c] = vmmlaq_s32(acc[i][c], rows[i], w);
    }
    keep_order();
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
