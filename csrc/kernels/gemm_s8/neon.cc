// ARMv8.0 NEON. Two products of s8 fit in s16 (128 * 127 * 2 = 32512), and SADALP adds neighbouring pairs of s16 to
// s32:
//     smull   products of 2 k of 4 columns        smlal   those of the next 2 k        sadalp   to 4 accumulators
// are 16 products in three instructions, 8 a cycle where multiplication and SADALP have a pipe each (Cortex-A72). Where
// the weights of a step of 8 k are mild (see kernel.h), SADALP is left out after every other pair of multiplications,
// which helps CPUs that issue no more than one of these a cycle (Cortex-A53). LD1R spreads the 2 k of a row over a
// register, which serves 16 columns; since pairs of k lie side by side in the panel, no sum is left to be made across a
// register at the end, and k need only be even.

#include "kernels/gemm_s8/neon_walk.h"

namespace whit::gemm_s8 {
namespace {

struct Pairs {
  static constexpr int kGroup = 2;
  static constexpr bool kInterleaves = false, kReadsRows = true;

  template <int R, int C>
  using Accumulators = Int[R][C];

  template <int R, int C>
  WHIT_INLINE static void start(Int (&acc)[R][C], const s32* from) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int b = vld1q_s32(from + 4 * c);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = b;
    }
  }

  // Registers of products: those of operands are others in all that follows, or compilers would copy.
#define PRODUCTS "v0", "v1", "v2", "v3"

  /// The first two pairs of k of a row, each in all lanes.
  WHIT_INLINE static void spread(int8x16_t& x0, int8x16_t& x1, const s8*& row) {
    __asm__ volatile("ld1r {%0.8h}, [%2], #2\n\tld1r {%1.8h}, [%2], #2"
                     : "=&w"(x0), "=w"(x1), "+r"(row)
                     :
                     : PRODUCTS, "memory");
  }

  /// 8 k of a row times 8 or 16 columns, pairs of k x0 and x1 with w, the first of which are there; `row` is at the
  /// third and moves on. As one piece, so that the products take no more than four registers and no copy, and that x0
  /// and x1 become the next pairs, in the end the first ones of the row `next`, as soon as they are free, which on CPUs
  /// that keep the order hides the time that loading takes. kLast: there is no next row.
#define PRODUCTS_8(add, x, w) \
  "sm" add " v0.8h, %[" x "].8b, %[" w "].8b\n\tsm" add "2 v1.8h, %[" x "].16b, %[" w "].16b\n\t"
#define PRODUCTS_16(add, x, w, v) \
  PRODUCTS_8(add, x, w)           \
  "sm" add " v2.8h, %[" x "].8b, %[" v "].8b\n\tsm" add "2 v3.8h, %[" x "].16b, %[" v "].16b\n\t"
#define SUM_8 "sadalp %[a0].4s, v0.8h\n\tsadalp %[a1].4s, v1.8h\n\t"
#define SUM_16 SUM_8 "sadalp %[a2].4s, v2.8h\n\tsadalp %[a3].4s, v3.8h\n\t"
#define SPREAD(x, row) "ld1r {%[" x "].8h}, [%[" row "]], #2\n\t"
#define ROW_8(sum, add)         \
  PRODUCTS_8("ull", "x0", "w0") \
  SPREAD("x0", "row") PRODUCTS_8("lal", "x1", "w1") SPREAD("x1", "row") sum PRODUCTS_8(add, "x0", "w2")
#define ROW_16(sum, add)               \
  PRODUCTS_16("ull", "x0", "w0", "v0") \
  SPREAD("x0", "row")                  \
  PRODUCTS_16("lal", "x1", "w1", "v1") SPREAD("x1", "row") sum PRODUCTS_16(add, "x0", "w2", "v2")

  template <bool kMild, bool kLast>
  WHIT_INLINE static void multiply(Int (&acc)[2], int8x16_t& x0, int8x16_t& x1, const s8*& row, const s8*& next,
                                   const int8x16_t (&w)[4][1]) {
#define MULTIPLY(code)                                                                                         \
  __asm__ volatile(                                                                                            \
      code                                                                                                     \
      : [a0] "+w"(acc[0]), [a1] "+w"(acc[1]), [x0] "+w"(x0), [x1] "+w"(x1), [row] "+r"(row), [next] "+r"(next) \
      : [w0] "w"(w[0][0]), [w1] "w"(w[1][0]), [w2] "w"(w[2][0]), [w3] "w"(w[3][0])                             \
      : PRODUCTS, "memory")
#define FINISH_LAST PRODUCTS_8("lal", "x1", "w3") SUM_8
#define FINISH SPREAD("x0", "next") PRODUCTS_8("lal", "x1", "w3") SPREAD("x1", "next") SUM_8
    if constexpr (kMild && kLast) {
      MULTIPLY(ROW_8("", "lal") FINISH_LAST);
    } else if constexpr (kMild) {
      MULTIPLY(ROW_8("", "lal") FINISH);
    } else if constexpr (kLast) {
      MULTIPLY(ROW_8(SUM_8, "ull") FINISH_LAST);
    } else {
      MULTIPLY(ROW_8(SUM_8, "ull") FINISH);
    }
#undef MULTIPLY
#undef FINISH_LAST
#undef FINISH
  }

  template <bool kMild, bool kLast>
  WHIT_INLINE static void multiply(Int (&acc)[4], int8x16_t& x0, int8x16_t& x1, const s8*& row, const s8*& next,
                                   const int8x16_t (&w)[4][2]) {
#define MULTIPLY(code)                                                                                              \
  __asm__ volatile(code                                                                                             \
                   : [a0] "+w"(acc[0]), [a1] "+w"(acc[1]), [a2] "+w"(acc[2]), [a3] "+w"(acc[3]), [x0] "+w"(x0),     \
                     [x1] "+w"(x1), [row] "+r"(row), [next] "+r"(next)                                              \
                   : [w0] "w"(w[0][0]), [w1] "w"(w[1][0]), [w2] "w"(w[2][0]), [w3] "w"(w[3][0]), [v0] "w"(w[0][1]), \
                     [v1] "w"(w[1][1]), [v2] "w"(w[2][1]), [v3] "w"(w[3][1])                                        \
                   : PRODUCTS, "memory")
#define FINISH_LAST PRODUCTS_16("lal", "x1", "w3", "v3") SUM_16
#define FINISH SPREAD("x0", "next") PRODUCTS_16("lal", "x1", "w3", "v3") SPREAD("x1", "next") SUM_16
    if constexpr (kMild && kLast) {
      MULTIPLY(ROW_16("", "lal") FINISH_LAST);
    } else if constexpr (kMild) {
      MULTIPLY(ROW_16("", "lal") FINISH);
    } else if constexpr (kLast) {
      MULTIPLY(ROW_16(SUM_16, "ull") FINISH_LAST);
    } else {
      MULTIPLY(ROW_16(SUM_16, "ull") FINISH);
    }
#undef MULTIPLY
#undef FINISH_LAST
#undef FINISH
  }

#undef PRODUCTS_8
#undef PRODUCTS_16
#undef SUM_8
#undef SUM_16
#undef SPREAD
#undef ROW_8
#undef ROW_16

  /// Four pairs of k of all columns.
  WHIT_INLINE static void load(int8x16_t (&w)[4][2], const s8*& rhs) {
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      __asm__ volatile("ldp %q0, %q1, [%2], #32" : "=w"(w[i][0]), "=w"(w[i][1]), "+r"(rhs) : : PRODUCTS, "memory");
    }
  }
  WHIT_INLINE static void load(int8x16_t (&w)[4][1], const s8*& rhs) {
    WHIT_UNROLL for (int i = 0; i < 4;
                     ++i) __asm__ volatile("ldr %q0, [%1], #32" : "=w"(w[i][0]), "+r"(rhs) : : PRODUCTS, "memory");
  }
#undef PRODUCTS

  /// A run of steps, at least one.
  template <bool kMild, int R, int C>
  WHIT_INLINE static void run(Int (&acc)[R][C], const s8* (&lhs)[R], const s8*& rhs, isize count) {
    do {
      int8x16_t w[4][C / 2], x0, x1;
      load(w, rhs);
      spread(x0, x1, lhs[0]);
      WHIT_UNROLL for (int r = 0; r + 1 < R; ++r) multiply<kMild, false>(acc[r], x0, x1, lhs[r], lhs[r + 1], w);
      multiply<kMild, true>(acc[R - 1], x0, x1, lhs[R - 1], rhs, w);  // for `next`, of which nothing is read
    } while (--count);
  }

  /// The whole steps of a tap. `begin` is called in both branches, where the first multiplications hide what it takes.
  template <int R, int C, class Begin>
  WHIT_INLINE static void steps(Int (&acc)[R][C], const s8* (&lhs)[R], const s8*& rhs, const u8*& runs, Begin begin) {
    isize mild = runs[0], others = runs[1];
    runs += 2;
    if (mild != 0) {
      begin();
      goto some_mild;
    }
    begin();
    do {
      {
        // Before the run, which hides what loading takes.
        const isize count = others;
        mild = runs[0], others = runs[1];
        runs += 2;
        run<false>(acc, lhs, rhs, count);
      }
      if (mild != 0) {
      some_mild:
        run<true>(acc, lhs, rhs, mild);
      }
    } while (others != 0);
  }

  /// Pair kPair of k of x, and with kTwo the next one.
  template <int kPair, bool kTwo, int R, int C>
  WHIT_INLINE static void pairs(Int (&acc)[R][C], const Lhs8& x, const s8* rhs) {
    // From intrinsics, compilers take the lane through general registers or split the DUP.
    const auto spread_lane = [&]<int kLane>(int r) __attribute__((always_inline)) {
      int8x16_t pair;
      __asm__ volatile("dup %0.8h, %1.h[%2]" : "=w"(pair) : "w"(x[r]), "i"(kLane));
      return pair;
    };
    WHIT_UNROLL for (int h = 0; h < C / 2; ++h) {
      const s8* p = rhs + 2 * kPanelColumns * kPair + 16 * h;
      const int8x16_t w0 = vld1q_s8(p), w1 = vld1q_s8(kTwo ? p + 2 * kPanelColumns : p);
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        const int8x16_t x0 = spread_lane.template operator()<kPair>(r);
        int16x8_t low = vmull_s8(vget_low_s8(x0), vget_low_s8(w0)), high = vmull_high_s8(x0, w0);
        if constexpr (kTwo) {
          const int8x16_t x1 = spread_lane.template operator()<kPair + 1>(r);
          low = vmlal_s8(low, vget_low_s8(x1), vget_low_s8(w1));
          high = vmlal_high_s8(high, x1, w1);
        }
        acc[r][2 * h] = vpadalq_s16(acc[r][2 * h], low);
        acc[r][2 * h + 1] = vpadalq_s16(acc[r][2 * h + 1], high);
      }
    }
  }

  template <int R, int C>
  WHIT_INLINE static void last_step(Int (&acc)[R][C], const Lhs8& x, const s8* rhs, isize count) {
    if (count <= 2) return pairs<0, false>(acc, x, rhs);
    pairs<0, true>(acc, x, rhs);
    if (count > 6) return pairs<2, true>(acc, x, rhs);
    if (count > 4) return pairs<2, false>(acc, x, rhs);
  }
};

}  // namespace

void gemm_s8s8s32_4x16k2_neon(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk_panels<Pairs>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_s8
