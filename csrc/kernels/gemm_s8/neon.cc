// ARMv8.0 NEON. Two products of s8 fit in s16 (128 * 127 * 2 = 32512), and SADALP adds neighbouring pairs of s16 to
// s32:
//     smull   products of 2 k of 4 columns        smlal   those of the next 2 k        sadalp   to 4 accumulators
// are 16 products in three instructions, 8 a cycle where multiplication and SADALP have a pipe each (Cortex-A72). The
// 2 k of a row are spread over a register by DUP, which serves 16 columns; since pairs of k lie side by side in the
// panel, no sum is left to be made across a register at the end, and k need only be even.

#include "kernels/gemm_s8/neon_walk.h"

namespace whit::gemm_s8 {
namespace {

struct Pairs {
  static constexpr int kGroup = 2;
  static constexpr bool kInterleaves = false;

  template <int R, int C>
  using Accumulators = Int[R][C];

  template <int R, int C>
  WHIT_INLINE static void start(Int (&acc)[R][C], const s32* from) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int b = vld1q_s32(from + 4 * c);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = b;
    }
  }

  /// A pair of k in all lanes. (From intrinsics, compilers take the lane through general registers or split the DUP.)
  template <int kPair>
  WHIT_INLINE static int8x16_t spread(int8x8_t x) {
    int8x16_t pair;
    __asm__ volatile("dup %0.8h, %1.h[%2]" : "=w"(pair) : "w"(x), "i"(kPair));
    return pair;
  }

  /// A row times 8 or 16 columns: pairs of k x0 with w0, x1 with w1. As one piece, so that the products take no more
  /// than four registers and no copy, and that x0 and x1 become pairs kNext and kNext + 1 of the next row as soon as
  /// they are free, which on CPUs that keep the order hides the time that DUP takes. kNext < 0: there is no next row.
#define FIRST_8 "smull %[p0].8h, %[x0].8b, %[w0].8b\n\tsmull2 %[p1].8h, %[x0].16b, %[w0].16b\n\t"
#define NEXT_8 "smlal %[p0].8h, %[x1].8b, %[w1].8b\n\tsmlal2 %[p1].8h, %[x1].16b, %[w1].16b\n\t"
#define SUM_8 "sadalp %[a0].4s, %[p0].8h\n\tsadalp %[a1].4s, %[p1].8h\n\t"
#define FIRST_16 FIRST_8 "smull %[p2].8h, %[x0].8b, %[v0].8b\n\tsmull2 %[p3].8h, %[x0].16b, %[v0].16b\n\t"
#define NEXT_16 NEXT_8 "smlal %[p2].8h, %[x1].8b, %[v1].8b\n\tsmlal2 %[p3].8h, %[x1].16b, %[v1].16b\n\t"
#define SUM_16 SUM_8 "sadalp %[a2].4s, %[p2].8h\n\tsadalp %[a3].4s, %[p3].8h\n\t"
#define SPREAD_0 "dup %[x0].8h, %[next].h[%[lane]]\n\t"
#define SPREAD_1 "dup %[x1].8h, %[next].h[%[lane] + 1]\n\t"

  template <int kNext>
  WHIT_INLINE static void multiply(Int (&acc)[2], int8x16_t& x0, int8x16_t& x1, int8x8_t next, const int8x16_t (&w0)[1],
                                   const int8x16_t (&w1)[1]) {
    int16x8_t p0, p1;
    if constexpr (kNext >= 0) {
      __asm__ volatile(
          FIRST_8 SPREAD_0 NEXT_8 SPREAD_1 SUM_8
          : [p0] "=&w"(p0), [p1] "=&w"(p1), [a0] "+w"(acc[0]), [a1] "+w"(acc[1]), [x0] "+w"(x0), [x1] "+w"(x1)
          : [w0] "w"(w0[0]), [w1] "w"(w1[0]), [next] "w"(next), [lane] "i"(kNext));
    } else {
      __asm__ volatile(FIRST_8 NEXT_8 SUM_8
                       : [p0] "=&w"(p0), [p1] "=&w"(p1), [a0] "+w"(acc[0]), [a1] "+w"(acc[1])
                       : [x0] "w"(x0), [x1] "w"(x1), [w0] "w"(w0[0]), [w1] "w"(w1[0]));
    }
  }

  template <int kNext>
  WHIT_INLINE static void multiply(Int (&acc)[4], int8x16_t& x0, int8x16_t& x1, int8x8_t next, const int8x16_t (&w0)[2],
                                   const int8x16_t (&w1)[2]) {
    int16x8_t p0, p1, p2, p3;
    if constexpr (kNext >= 0) {
      __asm__ volatile(
          FIRST_16 SPREAD_0 NEXT_16 SPREAD_1 SUM_16
          : [p0] "=&w"(p0), [p1] "=&w"(p1), [p2] "=&w"(p2), [p3] "=&w"(p3), [a0] "+w"(acc[0]), [a1] "+w"(acc[1]),
            [a2] "+w"(acc[2]), [a3] "+w"(acc[3]), [x0] "+w"(x0), [x1] "+w"(x1)
          : [w0] "w"(w0[0]), [w1] "w"(w1[0]), [v0] "w"(w0[1]), [v1] "w"(w1[1]), [next] "w"(next), [lane] "i"(kNext));
    } else {
      __asm__ volatile(
          FIRST_16 NEXT_16 SUM_16
          : [p0] "=&w"(p0), [p1] "=&w"(p1), [p2] "=&w"(p2), [p3] "=&w"(p3), [a0] "+w"(acc[0]), [a1] "+w"(acc[1]),
            [a2] "+w"(acc[2]), [a3] "+w"(acc[3])
          : [x0] "w"(x0), [x1] "w"(x1), [w0] "w"(w0[0]), [w1] "w"(w1[0]), [v0] "w"(w0[1]), [v1] "w"(w1[1]));
    }
  }

  /// k = 2 * kPair ... + 4 of x.
  template <int kPair, int R, int C>
  WHIT_INLINE static void pairs(Int (&acc)[R][C], const Lhs8& x, const s8* rhs) {
    int8x16_t w0[C / 2], w1[C / 2];
    WHIT_UNROLL for (int h = 0; h < C / 2; ++h) {
      w0[h] = vld1q_s8(rhs + 16 * h);
      w1[h] = vld1q_s8(rhs + 2 * kPanelColumns + 16 * h);
    }
    int8x16_t x0 = spread<kPair>(x[0]), x1 = spread<kPair + 1>(x[0]);
    WHIT_UNROLL for (int r = 0; r + 1 < R; ++r) multiply<kPair>(acc[r], x0, x1, x[r + 1], w0, w1);
    multiply<-1>(acc[R - 1], x0, x1, x[0], w0, w1);
  }

  /// k = 2 * kPair and the next one.
  template <int kPair, int R, int C>
  WHIT_INLINE static void pair(Int (&acc)[R][C], const Lhs8& x, const s8* rhs) {
    WHIT_UNROLL for (int h = 0; h < C / 2; ++h) {
      const int8x16_t w = vld1q_s8(rhs + 16 * h);
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        const int8x16_t x0 = spread<kPair>(x[r]);
        acc[r][2 * h] = vpadalq_s16(acc[r][2 * h], vmull_s8(vget_low_s8(x0), vget_low_s8(w)));
        acc[r][2 * h + 1] = vpadalq_s16(acc[r][2 * h + 1], vmull_high_s8(x0, w));
      }
    }
  }

  template <int R, int C>
  WHIT_INLINE static void step(Int (&acc)[R][C], const Lhs8& x, const s8* rhs) {
    pairs<0>(acc, x, rhs);
    pairs<2>(acc, x, rhs + 4 * kPanelColumns);
  }

  template <int R, int C>
  WHIT_INLINE static void last_step(Int (&acc)[R][C], const Lhs8& x, const s8* rhs, isize count) {
    if (count <= 2) return pair<0>(acc, x, rhs);
    pairs<0>(acc, x, rhs);
    if (count > 6) return pairs<2>(acc, x, rhs + 4 * kPanelColumns);
    if (count > 4) return pair<2>(acc, x, rhs + 4 * kPanelColumns);
  }
};

#undef FIRST_8
#undef NEXT_8
#undef SUM_8
#undef FIRST_16
#undef NEXT_16
#undef SUM_16
#undef SPREAD_0
#undef SPREAD_1

}  // namespace

void gemm_s8s8s32_4x16k2_neon(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk_panels<Pairs>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_s8
