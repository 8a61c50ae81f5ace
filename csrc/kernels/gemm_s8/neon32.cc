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
// The loop is assembly because nothing may be spilled: compilers know no way to keep all 16 registers occupied.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kTileRows = 4, kPanelColumns = 4, kGroup = 16;
constexpr isize kGroupBytes = kPanelColumns * kGroup;

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
// ------

enum class Kind { general, clamp, residual };

Kind kind_of(const Args& args) {
  const EpilogueS8& epilogue = args.epilogue;
  if (args.lhs.offsets || args.k < kGroup || epilogue.output != EpilogueS8::Output::s8 ||
      epilogue.activation != Activation::clamp)
    return Kind::general;
  if (!epilogue.residual) return Kind::clamp;
  return epilogue.residual_zero_point == static_cast<s8>(epilogue.residual_zero_point) ? Kind::residual : Kind::general;
}

/// What a tile needs besides its panel.
struct Constants {
  explicit Constants(const Epilogue& epilogue)
      : zero_point(vdupq_n_s16(static_cast<s16>(epilogue.spec.zero_point))),
        minimum(vdupq_n_s8(epilogue.minimum)),
        maximum(vdupq_n_s8(epilogue.maximum)),
        residual_zero_point(vdup_n_s8(static_cast<s8>(epilogue.spec.residual_zero_point))),
        residual_scale(epilogue.spec.residual_scale) {}
  int16x8_t zero_point;
  int8x16_t minimum, maximum;
  int8x8_t residual_zero_point;
  f32 residual_scale;
};

/// Four rows, `stride` apart from `lhs` on, times the two columns at rhs: at least 16 k.
WHIT_INLINE void four_rows(const s8* lhs, isize stride, isize k, const s8* rhs, int32x2_t (&sums)[4]) {
  Int acc[4][2];
  isize count = k / kGroup;
  // The first products of an accumulator are stored (vpaddl), the others added (vpadal).
  __asm__ volatile(
      "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
      "lsrs %[count], %[count], #1\n"
      "bcc 2f\n"  // an even number of groups
      WHIT_ROWS(WHIT_ROW16, "vpaddl.s16 ")
      "sub %[lhs], %[lhs], #16\n"
      "beq 4f\n"
      "b 1f\n"
      "2:\n"
      "vld1.8 {d8-d11}, [%[rhs]], %[next]\n"
      WHIT_ROWS(WHIT_ROW32, "vpaddl.s16 ")
      "subs %[count], %[count], #1\n"
      "beq 4f\n"
      "1:\n"
      "vld1.8 {d4-d7}, [%[rhs]], %[next]\n"
      "subs %[count], %[count], #1\n"
      "vld1.8 {d8-d11}, [%[rhs]], %[next]\n"
      WHIT_ROWS(WHIT_ROW32, "vpadal.s16 ")
      "bne 1b\n"
      "4:\n"
      : [lhs] "+r"(lhs), [rhs] "+r"(rhs), [count] "+r"(count), [a0] "=&w"(acc[0][0]), [a1] "=&w"(acc[0][1]),
        [a2] "=&w"(acc[1][0]), [a3] "=&w"(acc[1][1]), [a4] "=&w"(acc[2][0]), [a5] "=&w"(acc[2][1]),
        [a6] "=&w"(acc[3][0]), [a7] "=&w"(acc[3][1])
      : [stride] "r"(stride), [back] "r"(2 * kGroup - 3 * stride), [next] "r"(kGroupBytes)
      : WHIT_SCRATCH);
  if (const isize rest = k % kGroup) {
    const s8* rows[4] = {lhs, lhs + stride, lhs + 2 * stride, lhs + 3 * stride};
    add_rest(acc, rows, rhs, rest);
  }
  add_lanes(acc, sums);
}

/// Panel times tiles of four rows from m on.
template <Kind kKind>
[[gnu::noinline]] void four_columns(const Args& args, const Constants& constants, isize m, isize tiles, isize n,
                                    const s8* panel) {
  const isize lhs_stride = args.lhs.row_stride, out_stride = args.out_stride;
  const isize residual_stride = args.epilogue.residual_stride;
  const s8* lhs = args.lhs.base + m * lhs_stride;
  const s8* residual = kKind == Kind::residual ? args.epilogue.residual + m * residual_stride + n : nullptr;
  s8* out = static_cast<s8*>(args.out) + m * out_stride + n;
  const s8* rhs = panel + kPanelColumns * sizeof(s32);
  const f32* scales = args.epilogue.scale + n;
  for (; tiles > 0; --tiles, lhs += 4 * lhs_stride) {
    int32x2_t low[4], high[4];
    four_rows(lhs, lhs_stride, args.k, rhs, low);
    four_rows(lhs, lhs_stride, args.k, rhs + 2 * kGroup, high);
    const Int bias = vld1q_s32(reinterpret_cast<const s32*>(panel));
    const float32x4_t scale = vld1q_f32(scales);
    float32x4_t t[4];
    WHIT_UNROLL for (int r = 0; r < 4; ++r) t[r] =
        vmulq_f32(vcvtq_f32_s32(vaddq_s32(bias, vcombine_s32(low[r], high[r]))), scale);
    if constexpr (kKind == Kind::residual) {
      int32x2_t words[2] = {};
      load_word<0>(words[0], residual, residual_stride);
      load_word<1>(words[0], residual, residual_stride);
      load_word<0>(words[1], residual, residual_stride);
      load_word<1>(words[1], residual, residual_stride);
      const float32x4_t residual_scale = vdupq_n_f32(constants.residual_scale);
      WHIT_UNROLL for (int r = 0; r < 4; r += 2) {
        const int16x8_t x = vsubl_s8(vreinterpret_s8_s32(words[r / 2]), constants.residual_zero_point);
        const float32x4_t x0 = vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))),
                          x1 = vcvtq_f32_s32(vmovl_s16(vget_high_s16(x)));
        t[r] = vaddq_f32(t[r], vmulq_f32(x0, residual_scale));
        t[r + 1] = vaddq_f32(t[r + 1], vmulq_f32(x1, residual_scale));
      }
    }
    int8x8_t bytes[2];
    WHIT_UNROLL for (int r = 0; r < 4; r += 2) {
      const int16x8_t steps = vcombine_s16(vqmovn_s32(Vector::round(t[r])), vqmovn_s32(Vector::round(t[r + 1])));
      bytes[r / 2] = vqmovn_s16(vqaddq_s16(steps, constants.zero_point));
    }
    const int8x16_t y = vminq_s8(vmaxq_s8(vcombine_s8(bytes[0], bytes[1]), constants.minimum), constants.maximum);
    store_word<0>(out, vget_low_s8(y), out_stride);
    store_word<1>(out, vget_low_s8(y), out_stride);
    store_word<0>(out, vget_high_s8(y), out_stride);
    store_word<1>(out, vget_high_s8(y), out_stride);
  }
}

}  // namespace

void gemm_s8s8s32_4x4k16_neon32(const Args& args, isize m, isize rows, isize n, isize n_end) {
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  const Constants constants(epilogue);
  const Kind kind = kind_of(args);
  const isize stride = panel_bytes(kPanelColumns, kGroup, args.taps, args.k);
  const s8* panel = reinterpret_cast<const s8*>(args.packed) + n / kPanelColumns * stride;
  for (; n < n_end; n += kPanelColumns, panel += stride) {
    const int columns = n_end - n < kPanelColumns ? static_cast<int>(n_end - n) : kPanelColumns;
    isize i = 0;
    if (columns == kPanelColumns && kind != Kind::general) {
      const isize tiles = rows / kTileRows;
      if (kind == Kind::clamp)
        four_columns<Kind::clamp>(args, constants, m, tiles, n, panel);
      else
        four_columns<Kind::residual>(args, constants, m, tiles, n, panel);
      i = tiles * kTileRows;
    }
    for (; i + kTileRows <= rows; i += kTileRows) tile<kTileRows>(args, epilogue, m + i, n, columns, panel);
    for (; i < rows; ++i) tile<1>(args, epilogue, m + i, n, columns, panel);
  }
}

}  // namespace whit::gemm_s8
