// ARMv7 NEON. Two products of each of 8 lanes fit in s16 (128 * 127 * 2 = 32512), so  vmull.s8, vmlal.s8, vpadal.s16 is
// 16 products in three instructions. Of the 16 registers, 4 rows x 2 columns take 8 for accumulators, whose four lanes
// are added up at the end; 32 k of the 2 columns take 4 and serve all rows, 32 k of a row take 2, and the products 2:
//
//                 columns 0 and 1: q2 q3 (k 0 to 15), q4 q5 (k 16 to 31)
//     row 0  q0 q1   q8   q9
//     row 1  q0 q1   q10  q11        then the same rows times columns 2 and 3 of the panel
//     row 2  q0 q1   q12  q13
//     row 3  q0 q1   q14  q15
//
// Where weights are small enough for four products to fit in s16 (see mild_words), vpadal is left out for every other
// pair. The loop is assembly because nothing may be spilled: compilers know no way to keep all 16 registers occupied.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/gemm_s8/neon32_short.h"
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_s8 {
namespace {

// 32 or 16 k of one row times two columns; `add` stores or adds the first sums of products.
#define WHIT_ROW32(lhs, step, acc0, acc1, add) \
  "vld1.8 {d0-d3}, [" lhs "]" step             \
  "\n"                                         \
  "vmull.s8 q6, d0, d4\n"                      \
  "vmull.s8 q7, d0, d6\n"                      \
  "vmlal.s8 q6, d1, d5\n"                      \
  "vmlal.s8 q7, d1, d7\n"                      \
  "vmull.s8 q0, d2, d8\n" add acc0             \
  ", q6\n"                                     \
  "vmull.s8 q6, d2, d10\n" add acc1            \
  ", q7\n"                                     \
  "vmlal.s8 q0, d3, d9\n"                      \
  "vmlal.s8 q6, d3, d11\n"                     \
  "vpadal.s16 " acc0                           \
  ", q0\n"                                     \
  "vpadal.s16 " acc1 ", q6\n"
#define WHIT_MILD_ROW32(lhs, step, acc0, acc1, add) \
  "vld1.8 {d0-d3}, [" lhs "]" step                  \
  "\n"                                              \
  "vmull.s8 q6, d0, d4\n"                           \
  "vmull.s8 q7, d0, d6\n"                           \
  "vmlal.s8 q6, d1, d5\n"                           \
  "vmlal.s8 q7, d1, d7\n"                           \
  "vmlal.s8 q6, d2, d8\n"                           \
  "vmlal.s8 q7, d2, d10\n"                          \
  "vmlal.s8 q6, d3, d9\n"                           \
  "vmlal.s8 q7, d3, d11\n" add acc0 ", q6\n" add acc1 ", q7\n"
#define WHIT_ROW16(lhs, step, acc0, acc1, add) \
  "vld1.8 {d0-d1}, [" lhs "]" step             \
  "\n"                                         \
  "vmull.s8 q6, d0, d4\n"                      \
  "vmull.s8 q7, d0, d6\n"                      \
  "vmlal.s8 q6, d1, d5\n"                      \
  "vmlal.s8 q7, d1, d7\n" add acc0 ", q6\n" add acc1 ", q7\n"
// Four rows that are `stride` apart; the last load goes `back` to the first row, 32 k on.
#define WHIT_ROWS(row, add)                                                                                   \
  row("%[lhs]", ", %[stride]", "%q[a0]", "%q[a1]", add) row("%[lhs]", ", %[stride]", "%q[a2]", "%q[a3]", add) \
      row("%[lhs]", ", %[stride]", "%q[a4]", "%q[a5]", add) row("%[lhs]", ", %[back]", "%q[a6]", "%q[a7]", add)
// The sums of the lanes of two rows times two columns.
#define WHIT_ADD_LANES(a, b, c, d)           \
  "vpadd.i32 %e[a" a "], %e[a" a "], %e[a" b \
  "]\n"                                      \
  "vpadd.i32 %e[a" b "], %f[a" a "], %f[a" b \
  "]\n"                                      \
  "vpadd.i32 %f[a" a "], %e[a" c "], %e[a" d \
  "]\n"                                      \
  "vpadd.i32 %f[a" b "], %f[a" c "], %f[a" d \
  "]\n"                                      \
  "vadd.i32 %q[a" a "], %q[a" a "], %q[a" b "]\n"
#define WHIT_SCRATCH "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory"

/// Adds `groups` groups of 16 k of one row to acc; lhs and rhs move behind them.
WHIT_INLINE void accumulate(Int (&acc)[1][2], const s8* (&lhs)[1], const s8*& rhs, isize groups) {
  isize count = groups / 2;
  if (count) {
    __asm__ volatile(
        "1:\n"
        "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
        "subs %[count], %[count], #1\n"
        "vld1.8 {d8-d11}, [%[rhs]], %[next]\n" WHIT_ROW32("%[lhs]", "!", "%q[a0]", "%q[a1]", "vpadal.s16 ") "bne 1b\n"
        : [lhs] "+r"(lhs[0]), [rhs] "+r"(rhs), [count] "+r"(count), [a0] "+w"(acc[0][0]), [a1] "+w"(acc[0][1])
        : [next] "r"(kGroupBytes)
        : WHIT_SCRATCH);
  }
  if (groups & 1) {
    __asm__ volatile("vld1.8 {d4-d7}, [%[rhs]], %[next]\n" WHIT_ROW16("%[lhs]", "!", "%q[a0]", "%q[a1]", "vpadal.s16 ")
                     : [lhs] "+r"(lhs[0]), [rhs] "+r"(rhs), [a0] "+w"(acc[0][0]), [a1] "+w"(acc[0][1])
                     : [next] "r"(kGroupBytes)
                     : WHIT_SCRATCH);
  }
}

/// The same for four rows.
WHIT_INLINE void accumulate(Int (&acc)[4][2], const s8* (&lhs)[4], const s8*& rhs, isize groups) {
  isize count = groups / 2;
#define WHIT_OPERANDS                                                                                               \
  [l0] "+r"(lhs[0]), [l1] "+r"(lhs[1]), [l2] "+r"(lhs[2]), [l3] "+r"(lhs[3]), [rhs] "+r"(rhs), [count] "+r"(count), \
      [a0] "+w"(acc[0][0]), [a1] "+w"(acc[0][1]), [a2] "+w"(acc[1][0]), [a3] "+w"(acc[1][1]), [a4] "+w"(acc[2][0]), \
      [a5] "+w"(acc[2][1]), [a6] "+w"(acc[3][0]), [a7] "+w"(acc[3][1])
#define WHIT_ANY_ROWS(row)                                                                                  \
  row("%[l0]", "!", "%q[a0]", "%q[a1]", "vpadal.s16 ") row("%[l1]", "!", "%q[a2]", "%q[a3]", "vpadal.s16 ") \
      row("%[l2]", "!", "%q[a4]", "%q[a5]", "vpadal.s16 ") row("%[l3]", "!", "%q[a6]", "%q[a7]", "vpadal.s16 ")
  if (count) {
    __asm__ volatile(
        "1:\n"
        "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
        "subs %[count], %[count], #1\n"
        "vld1.8 {d8-d11}, [%[rhs]], %[next]\n" WHIT_ANY_ROWS(WHIT_ROW32) "bne 1b\n"
        : WHIT_OPERANDS
        : [next] "r"(kGroupBytes)
        : WHIT_SCRATCH);
  }
  if (groups & 1) {
    __asm__ volatile("vld1.8 {d4-d7}, [%[rhs]], %[next]\n" WHIT_ANY_ROWS(WHIT_ROW16)
                     : WHIT_OPERANDS
                     : [next] "r"(kGroupBytes)
                     : WHIT_SCRATCH);
  }
#undef WHIT_ANY_ROWS
#undef WHIT_OPERANDS
}

/// The same for 8 k that are given in registers; rhs stays.
template <int R>
WHIT_INLINE void accumulate8(Int (&acc)[R][2], const int8x8_t (&x)[R], const s8* rhs) {
  const int8x8_t w0 = vld1_s8(rhs), w1 = vld1_s8(rhs + kGroup);
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    acc[r][0] = vpadalq_s16(acc[r][0], vmull_s8(x[r], w0));
    acc[r][1] = vpadalq_s16(acc[r][1], vmull_s8(x[r], w1));
  }
}

/// The last `rest` of k, 1 <= rest < 16.
template <int R>
WHIT_INLINE void add_rest(Int (&acc)[R][2], const s8* (&lhs)[R], const s8* rhs, isize rest) {
  int8x8_t x[R];
  if (rest >= 8) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1_s8(lhs[r]);
    accumulate8(acc, x, rhs);
    if (rest == 8) return;
    WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] += 8;
    rhs += 8;
    rest -= 8;
  }
  WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vcreate_s8(load_first_u64(lhs[r], rest));
  accumulate8(acc, x, rhs);
}

template <int R>
WHIT_INLINE void add_lanes(const Int (&acc)[R][2], int32x2_t (&sums)[R]) {
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    const int32x2_t low = vpadd_s32(vget_low_s32(acc[r][0]), vget_high_s32(acc[r][0]));
    const int32x2_t high = vpadd_s32(vget_low_s32(acc[r][1]), vget_high_s32(acc[r][1]));
    sums[r] = vpadd_s32(low, high);
  }
}

/// Lane kLane of 4 bytes from or to memory that may be unaligned; p moves on by `step`.
template <int kLane>
WHIT_INLINE void load_word(int32x2_t& x, const s8*& p, isize step) {
  __asm__ volatile("vld1.32 {%P0[%c3]}, [%1], %2" : "+w"(x), "+r"(p) : "r"(step), "i"(kLane) : "memory");
}
template <int kLane>
WHIT_INLINE void store_word(s8*& p, int8x8_t x, isize step) {
  __asm__ volatile("vst1.32 {%P1[%c3]}, [%0], %2" : "+r"(p) : "w"(x), "r"(step), "i"(kLane) : "memory");
}

template <int R>
WHIT_INLINE void find_rows(const Args& args, isize m, isize t, const s8* (&lhs)[R]) {
  if (args.lhs.offsets) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, m + r, t);
  } else {
    const s8* row = args.lhs.base + m * args.lhs.row_stride;
    WHIT_UNROLL for (int r = 0; r < R; ++r, row += args.lhs.row_stride) lhs[r] = row;
  }
}

/// R rows from m times the two columns that begin at rhs.
template <int R>
WHIT_INLINE void two_columns(const Args& args, isize m, const s8* rhs, int32x2_t (&sums)[R]) {
  Int acc[R][2];
  WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = vdupq_n_s32(0);
  for (isize t = 0; t < args.taps; ++t) {
    const s8* lhs[R];
    find_rows(args, m, t, lhs);
    accumulate(acc, lhs, rhs, args.k / kGroup);
    if (const isize rest = args.k % kGroup) {
      add_rest(acc, lhs, rhs, rest);
      rhs += kGroupBytes;
    }
  }
  add_lanes(acc, sums);
}

template <int R>
WHIT_INLINE void tile(const Args& args, const Epilogue& epilogue, isize m, isize n, int columns, const s8* panel) {
  const s8* rhs = panel + kPanelColumns * sizeof(s32);
  int32x2_t low[R], high[R];
  two_columns(args, m, rhs, low);
  if (columns > 2) {
    two_columns(args, m, rhs + 2 * kGroup, high);
  } else {
    WHIT_UNROLL for (int r = 0; r < R; ++r) high[r] = low[r];
  }
  const Int bias = vld1q_s32(reinterpret_cast<const s32*>(panel));
  Int acc[R][1];
  WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][0] = vaddq_s32(bias, vcombine_s32(low[r], high[r]));
  finish(epilogue, acc, Consecutive{m}, n, columns);
}

// --- rows that follow each other in memory, a whole tile, s8 out without hard_swish: nearly all of a real network

enum class Kind { general, clamp, residual };

Kind kind_of(const Args& args) {
  const EpilogueS8& epilogue = args.epilogue;
  if (args.lhs.offsets || args.k < kGroup || args.lhs.row_stride < kGroup ||
      epilogue.output != EpilogueS8::Output::s8 || epilogue.activation != Activation::clamp)
    return Kind::general;
  if (!epilogue.residual) return Kind::clamp;
  return epilogue.residual_zero_point == static_cast<s8>(epilogue.residual_zero_point) ? Kind::residual : Kind::general;
}

/// How results become s8: any; such as need no more than 16 bits before the zero point is added; these with an even
/// zero point, which leaves it to the same ties to be even, and no clamp but that of s8.
enum class Form { any, small, plain };

/// What tiles of a panel need besides its values, for two columns of two rows at a time.
struct Constants {
  explicit Constants(const Epilogue& epilogue)
      : minimum(vdupq_n_s8(epilogue.minimum)),
        maximum(vdupq_n_s8(epilogue.maximum)),
        residual_scale(vdupq_n_f32(epilogue.spec.residual_scale)),
        residual_zero_point(vdup_n_s8(static_cast<s8>(epilogue.spec.residual_zero_point))),
        plain(epilogue.spec.zero_point % 2 == 0 && epilogue.minimum == -128 && epilogue.maximum == 127) {
    for (Pair& pair : pairs) {
      pair.magic = vdupq_n_f32(12582912.0f + static_cast<f32>(plain ? epilogue.spec.zero_point : 0));
      pair.zero_point = vdupq_n_s16(static_cast<s16>(epilogue.spec.zero_point));
    }
  }

  Form set_panel(const Epilogue& epilogue, isize n, const s8* panel, const f32* reach) {
    const s32* bias = reinterpret_cast<const s32*>(panel);
    const f32* scale = epilogue.spec.scale + n;
    constexpr f32 kMost = 0x1.fp14f;
    const f32 rest = epilogue.spec.residual ? kMost - 256.0f * __builtin_fabsf(epilogue.spec.residual_scale) : kMost;
    bool small = true;
    for (int c = 0; c < kPanelColumns; c += 2) {
      const int32x2_t b = vld1_s32(bias + c);
      const float32x2_t s = vld1_f32(scale + c), reaches = vld1_f32(reach + c);
      pairs[c / 2].bias = vcombine_s32(b, b);
      pairs[c / 2].scale = vcombine_f32(s, s);
      const float32x2_t largest = vmul_f32(vadd_f32(reaches, vabs_f32(vcvt_f32_s32(b))), vabs_f32(s));
      small = small && vget_lane_f32(largest, 0) <= rest && vget_lane_f32(largest, 1) <= rest;
    }
    return !small ? Form::any : plain ? Form::plain : Form::small;
  }

  struct Pair {  // of columns; loaded in this order
    Int bias;
    float32x4_t scale, magic;
    int16x8_t zero_point;
  };
  Pair pairs[kPanelColumns / 2];
  int8x16_t minimum, maximum;
  float32x4_t residual_scale;
  int8x8_t residual_zero_point;
  bool plain;
};

/// Four rows, `stride` apart from `lhs` on, times the two columns at rhs, whose `words` words of bits are at `mild`.
/// Rows 0 and 1, 2 and 3 have one vector of sums.
WHIT_INLINE void four_rows(const s8* lhs, isize stride, const s8* rhs, const u32* mild, isize words, Int (&sums)[2]) {
  Int a0, a1, a2, a3, a4, a5, a6, a7;
  u32 bits = *mild++;
  // The first products of an accumulator are stored (vpaddl), the others added (vpadal). A bit shifted out is in C; Z
  // is set if it was the 1 that ends a word, so that HI is a bit of 1 and CC one of 0.
  __asm__ volatile(
      "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
      "lsls %[bits], %[bits], #1\n"
      "bcc 2f\n"
      WHIT_ROWS(WHIT_ROW16, "vpaddl.s16 ")
      "lsls %[bits], %[bits], #1\n"
      "beq 7f\n"
      "sub %[lhs], %[lhs], #16\n"
      "bcs 5f\n"
      "b 6f\n"
      "2:\n"
      "lsls %[bits], %[bits], #1\n"
      "vld1.8 {d8-d11}, [%[rhs]], %[next]\n"
      "bcc 3f\n"
      WHIT_ROWS(WHIT_MILD_ROW32, "vpaddl.s16 ")
      "b 4f\n"
      "3:\n"
      WHIT_ROWS(WHIT_ROW32, "vpaddl.s16 ")
      "4:\n"
      "lsls %[bits], %[bits], #1\n"
      "bcc 6f\n"
      "beq 7f\n"
      "5:\n"
      "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
      "lsls %[bits], %[bits], #1\n"
      "vld1.8 {d8-d11}, [%[rhs]], %[next]\n"
      WHIT_ROWS(WHIT_MILD_ROW32, "vpadal.s16 ")
      "bhi 5b\n"
      "bcs 7f\n"
      "6:\n"
      "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
      "lsls %[bits], %[bits], #1\n"
      "vld1.8 {d8-d11}, [%[rhs]], %[next]\n"
      WHIT_ROWS(WHIT_ROW32, "vpadal.s16 ")
      "bhi 5b\n"
      "bcc 6b\n"
      "7:\n"
      "subs %[words], %[words], #1\n"
      "itt ne\n"
      "ldrne %[bits], [%[mild]], #4\n"
      "bne 4b\n"
      WHIT_ADD_LANES("0", "1", "2", "3")
      WHIT_ADD_LANES("4", "5", "6", "7")
      : [lhs] "+r"(lhs), [rhs] "+r"(rhs), [bits] "+r"(bits), [mild] "+r"(mild), [words] "+r"(words),
        [a0] "=&w"(a0), [a1] "=&w"(a1),
        [a2] "=&w"(a2), [a3] "=&w"(a3), [a4] "=&w"(a4), [a5] "=&w"(a5),
        [a6] "=&w"(a6), [a7] "=&w"(a7)
      : [stride] "r"(stride), [back] "r"(2 * kGroup - 3 * stride), [next] "r"(kGroupBytes)
      : WHIT_SCRATCH);
  sums[0] = a0;
  sums[1] = a4;
}

/// t + x * scale, with both roundings: VMLA is not fused.
WHIT_INLINE float32x4_t add_scaled(float32x4_t t, float32x4_t x, float32x4_t scale) {
  __asm__("vmla.f32 %q0, %q1, %q2" : "+w"(t) : "w"(x), "w"(scale));
  return t;
}

/// Two columns of four rows, row by row: from their sums to s8, rounded. `residual` are those columns of its rows.
template <Kind kKind, Form kForm>
WHIT_INLINE int8x8_t to_s8(const Constants& constants, int columns, const Int (&sums)[2], int8x8_t residual) {
  float32x4_t t[2] = {vreinterpretq_f32_s32(sums[0]), vreinterpretq_f32_s32(sums[1])};
  const Constants::Pair* pair = &constants.pairs[columns];
  __asm__ volatile(
      "vld1.32 {d0-d3}, [%[pair]]!\n"
      "vadd.i32 %q[t0], %q[t0], q0\n"
      "vadd.i32 %q[t1], %q[t1], q0\n"
      "vcvt.f32.s32 %q[t0], %q[t0]\n"
      "vcvt.f32.s32 %q[t1], %q[t1]\n"
      "vmul.f32 %q[t0], %q[t0], q1\n"
      "vmul.f32 %q[t1], %q[t1], q1\n"
      : [t0] "+w"(t[0]), [t1] "+w"(t[1]), [pair] "+r"(pair)
      :
      : "q0", "q1", "memory");
  if constexpr (kKind == Kind::residual) {
    const int16x8_t x = vsubl_s8(residual, constants.residual_zero_point);
    t[0] = add_scaled(t[0], vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))), constants.residual_scale);
    t[1] = add_scaled(t[1], vcvtq_f32_s32(vmovl_s16(vget_high_s16(x))), constants.residual_scale);
  }
  if constexpr (kForm == Form::any) {
    const int16x8_t steps = vcombine_s16(vqmovn_s32(Vector::round(t[0])), vqmovn_s32(Vector::round(t[1])));
    return vqmovn_s16(vqaddq_s16(steps, constants.pairs[columns].zero_point));
  }
  // Adding 1.5 * 2^23 rounds to the integer in the low 16 bits, ties to even.
  int8x8_t y;
  if constexpr (kForm == Form::plain) {
    __asm__ volatile(
        "vld1.32 {d0-d1}, [%[pair]]\n"
        "vadd.f32 %q[t0], q0, %q[t0]\n"
        "vadd.f32 %q[t1], q0, %q[t1]\n"
        "vuzp.16 %q[t0], %q[t1]\n"
        "vqmovn.s16 %P[y], %q[t0]\n"
        : [t0] "+w"(t[0]), [t1] "+w"(t[1]), [y] "=w"(y)
        : [pair] "r"(pair)
        : "q0", "memory");
  } else {
    __asm__ volatile(
        "vld1.32 {d0-d3}, [%[pair]]\n"
        "vadd.f32 %q[t0], q0, %q[t0]\n"
        "vadd.f32 %q[t1], q0, %q[t1]\n"
        "vuzp.16 %q[t0], %q[t1]\n"
        "vadd.i16 %q[t0], q1, %q[t0]\n"
        "vqmovn.s16 %P[y], %q[t0]\n"
        : [t0] "+w"(t[0]), [t1] "+w"(t[1]), [y] "=w"(y)
        : [pair] "r"(pair)
        : "q0", "q1", "memory");
  }
  return y;
}

/// Panel times tiles of four rows from m on. Of the rows, whole groups of 16 values are read, beyond k for zeros in the
/// panel.
template <Kind kKind, Form kForm>
[[gnu::noinline]] void four_columns(const Args& args, const Constants& constants, isize m, isize tiles, isize n,
                                    const s8* panel) {
  const isize lhs_stride = args.lhs.row_stride, out_stride = args.out_stride;
  const isize residual_stride = args.epilogue.residual_stride;
  const s8* lhs = args.lhs.base + m * lhs_stride;
  const s8* residual = kKind == Kind::residual ? args.epilogue.residual + m * residual_stride + n : nullptr;
  s8* out = static_cast<s8*>(args.out) + m * out_stride + n;
  const s8* rhs = panel + kPanelColumns * sizeof(s32);
  const u32* mild = reinterpret_cast<const u32*>(rhs + (args.k + kGroup - 1) / kGroup * kGroupBytes);
  const isize words = mild_words(kGroup, args.k);
  for (; tiles > 0; --tiles, lhs += 4 * lhs_stride) {
    int8x8x2_t x = {};
    int8x8_t y[2];
    Int sums[2];
    four_rows(lhs, lhs_stride, rhs, mild, words, sums);
    if constexpr (kKind == Kind::residual) {
      int32x2_t words[2] = {};
      load_word<0>(words[0], residual, residual_stride);
      load_word<1>(words[0], residual, residual_stride);
      load_word<0>(words[1], residual, residual_stride);
      load_word<1>(words[1], residual, residual_stride);
      const int16x4x2_t pairs = vuzp_s16(vreinterpret_s16_s32(words[0]), vreinterpret_s16_s32(words[1]));
      x = {{vreinterpret_s8_s16(pairs.val[0]), vreinterpret_s8_s16(pairs.val[1])}};
    }
    y[0] = to_s8<kKind, kForm>(constants, 0, sums, x.val[0]);
    four_rows(lhs, lhs_stride, rhs + 2 * kGroup, mild + words, words, sums);
    y[1] = to_s8<kKind, kForm>(constants, 1, sums, x.val[1]);
    int8x16_t z = vcombine_s8(y[0], y[1]);
    if constexpr (kForm != Form::plain) z = vminq_s8(vmaxq_s8(z, constants.minimum), constants.maximum);
    __asm__("vzip.16 %e0, %f0" : "+w"(z));
    store_word<0>(out, vget_low_s8(z), out_stride);
    store_word<1>(out, vget_low_s8(z), out_stride);
    store_word<0>(out, vget_high_s8(z), out_stride);
    store_word<1>(out, vget_high_s8(z), out_stride);
  }
}

}  // namespace

void gemm_s8s8s32_4x4k16_neon32(const Args& args, isize m, isize rows, isize n, isize n_end) {
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  Constants constants(epilogue);
  const Kind kind = kind_of(args);
  const ShortBounds bounds(epilogue);
  const isize stride = panel_bytes(kPanelColumns, kGroup, args.taps, args.k);
  const s8* panel = reinterpret_cast<const s8*>(args.packed) + n / kPanelColumns * stride;
  // Where k is not whole groups, the values read beyond a row are those of the rows after it: the last tile has none.
  const isize tiles = rows / kTileRows - (args.k % kGroup ? 1 : 0);
  for (; n < n_end; n += kPanelColumns, panel += stride) {
    const int columns = n_end - n < kPanelColumns ? static_cast<int>(n_end - n) : kPanelColumns;
    isize i = 0;
    if (rows >= kTileRows && columns == kPanelColumns && kind != Kind::general) {
      const f32* reach = reinterpret_cast<const f32*>(panel + stride) - kPanelColumns;
      const Form form = constants.set_panel(epilogue, n, panel, reach);
      if (form != Form::any && kind == Kind::clamp && is_short(args.k)) {
        const auto& pairs = constants.pairs;
        const ShortColumns short_pairs[2] = {{pairs[0].bias, pairs[0].scale}, {pairs[1].bias, pairs[1].scale}};
        short_columns(args, bounds, short_pairs, m, rows, n, panel);
        continue;
      }
      using enum Form;
      const auto run = kind == Kind::clamp ? (form == plain   ? four_columns<Kind::clamp, plain>
                                              : form == small ? four_columns<Kind::clamp, small>
                                                              : four_columns<Kind::clamp, any>)
                                           : (form == plain   ? four_columns<Kind::residual, plain>
                                              : form == small ? four_columns<Kind::residual, small>
                                                              : four_columns<Kind::residual, any>);
      run(args, constants, m, tiles, n, panel);
      i = tiles * kTileRows;
    }
    for (; i + kTileRows <= rows; i += kTileRows) tile<kTileRows>(args, epilogue, m + i, n, columns, panel);
    for (; i < rows; ++i) tile<1>(args, epilogue, m + i, n, columns, panel);
  }
}

}  // namespace whit::gemm_s8
