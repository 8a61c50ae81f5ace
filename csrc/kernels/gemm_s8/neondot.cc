// ARMv8.2 dot products. SDOT by lane adds the products of 4 k of a row with 4 k of 4 columns to 4 accumulators.

#include "kernels/gemm_s8/neon_walk.h"

namespace whit::gemm_s8 {
namespace {

struct Dots {
  static constexpr int kGroup = 4;
  static constexpr bool kInterleaves = false, kReadsRows = false;

  template <int R, int C>
  using Accumulators = Int[R][C];

  template <int R, int C>
  WHIT_INLINE static void start(Int (&acc)[R][C], const s32* from) {
    WHIT_UNROLL for (int r = 0; r < R; ++r, from = again(from)) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = vld1q_s32(from + 4 * c);
    }
  }

  template <int kLane, int R, int C>
  WHIT_INLINE static void dot(Int (&acc)[R][C], const Lhs8& x, const s8* rhs) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const int8x16_t w = vld1q_s8(rhs + 16 * c);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = vdotq_lane_s32(acc[r][c], w, x[r], kLane);
      keep_order();
    }
  }

  template <int R, int C>
  WHIT_INLINE static void step(Int (&acc)[R][C], const Lhs8& x, const s8* rhs) {
    dot<0>(acc, x, rhs);
    dot<1>(acc, x, rhs + 4 * kPanelColumns);
  }

  template <int R, int C>
  WHIT_INLINE static void last_step(Int (&acc)[R][C], const Lhs8& x, const s8* rhs, isize count) {
    dot<0>(acc, x, rhs);
    if (count > 4) dot<1>(acc, x, rhs + 4 * kPanelColumns);
  }
};

}  // namespace

void gemm_s8s8s32_4x16k4_neondot(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk_panels<Dots>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_s8
