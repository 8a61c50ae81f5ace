#pragma once
// Products of 16, 24 or 32 k on ARMv7 NEON, four rows after four rows: rows that follow each other in memory, s8 out,
// only a clamp. There is so little to add up that the way from products to results decides: two columns of the panel
// and all they need stay in registers for all rows.
//
//     q0 - q3          columns 0 and 1: k 0 to 15 (d0 d1, d2 d3), k 16 to 31 (d4 d5, d6 d7)
//     q4 q5            a row
//     q6 q7 (q4 q15)   its products
//     q8 q9, q10 q11   rows 0 and 1, 2 and 3: sums of half of the products of columns 0 and 1, and of the others
//     q12 q13 q14      bias, scale, what rounds
//
// Include simd_s8/neon32.h before.

#include "kernels/gemm_s8/kernel.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kTileRows = 4, kPanelColumns = 4, kGroup = 16;
constexpr isize kGroupBytes = kPanelColumns * kGroup;

// clang-format off
#define WHIT_SHORT_HALF                                                         \
  "vmull.s8 q6, d8, d0\n"                                                       \
  "vmull.s8 q7, d8, d2\n"                                                       \
  "vmlal.s8 q6, d9, d1\n"                                                       \
  "vmlal.s8 q7, d9, d3\n"
#define WHIT_SHORT_ADD                                                          \
  "vpaddl.s16 q6, q6\n"                                                         \
  "vpaddl.s16 q7, q7\n"
#define WHIT_SHORT_16 "vld1.8 {d8-d9}, [%[lhs]], %[stride]\n" WHIT_SHORT_HALF WHIT_SHORT_ADD
#define WHIT_SHORT_24                                                           \
  "vld1.8 {d8-d10}, [%[lhs]], %[stride]\n" WHIT_SHORT_HALF                      \
  "vmull.s8 q4, d10, d4\n"                                                      \
  "vmull.s8 q15, d10, d6\n" WHIT_SHORT_ADD                                      \
  "vpadal.s16 q6, q4\n"                                                         \
  "vpadal.s16 q7, q15\n"
#define WHIT_SHORT_32                                                           \
  "vld1.8 {d8-d11}, [%[lhs]], %[stride]\n" WHIT_SHORT_HALF                      \
  "vmull.s8 q4, d10, d4\n"                                                      \
  "vmull.s8 q15, d10, d6\n"                                                     \
  "vmlal.s8 q4, d11, d5\n"                                                      \
  "vmlal.s8 q15, d11, d7\n" WHIT_SHORT_ADD                                      \
  "vpadal.s16 q6, q4\n"                                                         \
  "vpadal.s16 q7, q15\n"
// The same where all products fit in s16 together (see mild_words).
#define WHIT_SHORT_MILD_24                                                      \
  "vld1.8 {d8-d10}, [%[lhs]], %[stride]\n" WHIT_SHORT_HALF                      \
  "vmlal.s8 q6, d10, d4\n"                                                      \
  "vmlal.s8 q7, d10, d6\n" WHIT_SHORT_ADD
#define WHIT_SHORT_MILD_32                                                      \
  "vld1.8 {d8-d11}, [%[lhs]], %[stride]\n" WHIT_SHORT_HALF                      \
  "vmlal.s8 q6, d10, d4\n"                                                      \
  "vmlal.s8 q7, d10, d6\n"                                                      \
  "vmlal.s8 q6, d11, d5\n"                                                      \
  "vmlal.s8 q7, d11, d7\n" WHIT_SHORT_ADD
#define WHIT_SHORT_SUMS(first, second)                                          \
  "vpadd.i32 " first ", d12, d14\n"                                             \
  "vpadd.i32 " second ", d13, d15\n"
// Adding 1.5 * 2^23, or with it an even zero point, rounds to the integer in the low 16 bits, ties to even.
#define WHIT_SHORT_ROUND                                                        \
  "vadd.i32 q8, q8, q9\n"                                                       \
  "vadd.i32 q10, q10, q11\n"                                                    \
  "vadd.i32 q8, q8, q12\n"                                                      \
  "vadd.i32 q10, q10, q12\n"                                                    \
  "vcvt.f32.s32 q8, q8\n"                                                       \
  "vcvt.f32.s32 q10, q10\n"                                                     \
  "vmul.f32 q8, q8, q13\n"                                                      \
  "vmul.f32 q10, q10, q13\n"                                                    \
  "vadd.f32 q8, q8, q14\n"                                                      \
  "vadd.f32 q10, q10, q14\n"                                                    \
  "vuzp.16 q8, q10\n"
#define WHIT_SHORT_STEPS WHIT_SHORT_ROUND "vqmovn.s16 d16, q8\n"
#define WHIT_SHORT_CLAMPED                                                      \
  WHIT_SHORT_ROUND                                                              \
  "vldr d8, [%[bounds], #16]\n"                                                 \
  "vldr d9, [%[bounds], #24]\n"                                                 \
  "vadd.i16 q8, q8, q4\n"                                                       \
  "vldr d10, [%[bounds], #32]\n"                                                \
  "vqmovn.s16 d16, q8\n"                                                        \
  "vldr d11, [%[bounds], #40]\n"                                                \
  "vmax.s8 d16, d16, d10\n"                                                     \
  "vmin.s8 d16, d16, d11\n"
#define WHIT_SHORT_TWO_GROUPS                                                   \
  "add %[rhs], %[rhs], #64\n"                                                   \
  "vld1.8 {d4-d7}, [%[rhs]]\n"
#define WHIT_SHORT_TILES(second_group, row, finish)                             \
  "vld1.8 {d0-d3}, [%[rhs]]\n"                                                  \
  "vld1.32 {d24-d27}, [%[columns]]\n"                                           \
  "vld1.32 {d28-d29}, [%[bounds]]\n"                                            \
  second_group                                                                  \
  "1:\n"                                                                        \
  row WHIT_SHORT_SUMS("d16", "d18")                                             \
  row WHIT_SHORT_SUMS("d17", "d19")                                             \
  row WHIT_SHORT_SUMS("d20", "d22")                                             \
  row WHIT_SHORT_SUMS("d21", "d23")                                             \
  "subs %[tiles], %[tiles], #1\n"                                               \
  finish                                                                        \
  "vst1.16 {d16[0]}, [%[out]], %[out_stride]\n"                                 \
  "vst1.16 {d16[1]}, [%[out]], %[out_stride]\n"                                 \
  "vst1.16 {d16[2]}, [%[out]], %[out_stride]\n"                                 \
  "vst1.16 {d16[3]}, [%[out]], %[out_stride]\n"                                 \
  "bne 1b\n"
// clang-format on

/// What the assembly reads of an epilogue and of two columns, for two rows at a time, as it is laid out here.
struct ShortBounds {
  explicit ShortBounds(const Epilogue& epilogue)
      // An even zero point leaves it to the same ties to be even.
      : plain(epilogue.spec.zero_point % 2 == 0 && epilogue.minimum == -128 && epilogue.maximum == 127),
        magic(vdupq_n_f32(12582912.0f + static_cast<f32>(plain ? epilogue.spec.zero_point : 0))) {
    zero_point = vdupq_n_s16(static_cast<s16>(epilogue.spec.zero_point));
    minimum = vdup_n_s8(epilogue.minimum);
    maximum = vdup_n_s8(epilogue.maximum);
  }

  bool plain;  // nothing is left to do after saturation
  float32x4_t magic;
  int16x8_t zero_point;
  int8x8_t minimum, maximum;
};
struct ShortColumns {
  Int bias;
  float32x4_t scale;
};

/// `tiles` times four rows, from m on, times the two columns from n on, whose values are at rhs. No result, without the
/// zero point, needs more than 16 bits.
[[gnu::noinline]] void short_tiles(const Args& args, const ShortBounds& spec, const ShortColumns& columns, isize m,
                                   isize tiles, isize n, const s8* rhs, bool mild) {
  const s8* lhs = args.lhs.base + m * args.lhs.row_stride;
  s8* out = static_cast<s8*>(args.out) + m * args.out_stride + n;
#define WHIT_RUN(second_group, row)                       \
  if (spec.plain) {                                       \
    WHIT_RUN_WITH(second_group, row, WHIT_SHORT_STEPS);   \
  } else {                                                \
    WHIT_RUN_WITH(second_group, row, WHIT_SHORT_CLAMPED); \
  }
#define WHIT_RUN_WITH(second_group, row, finish)                                                                    \
  __asm__ volatile(WHIT_SHORT_TILES(second_group, row, finish)                                                      \
                   : [lhs] "+r"(lhs), [rhs] "+r"(rhs), [tiles] "+r"(tiles), [out] "+r"(out)                         \
                   : [stride] "r"(args.lhs.row_stride), [out_stride] "r"(args.out_stride), [columns] "r"(&columns), \
                     [bounds] "r"(&spec.magic)                                                                      \
                   : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", \
                     "q15", "cc", "memory")
  if (args.k == 16) {
    WHIT_RUN("", WHIT_SHORT_16)
  } else if (args.k == 24) {
    if (mild) {
      WHIT_RUN(WHIT_SHORT_TWO_GROUPS, WHIT_SHORT_MILD_24)
    } else {
      WHIT_RUN(WHIT_SHORT_TWO_GROUPS, WHIT_SHORT_24)
    }
  } else if (mild) {
    WHIT_RUN(WHIT_SHORT_TWO_GROUPS, WHIT_SHORT_MILD_32)
  } else {
    WHIT_RUN(WHIT_SHORT_TWO_GROUPS, WHIT_SHORT_32)
  }
#undef WHIT_RUN_WITH
#undef WHIT_RUN
}

WHIT_INLINE bool is_short(isize k) { return k == 16 || k == 24 || k == 32; }

/// Rows [m, m + rows), at least four, of a panel. The last tile may compute rows again that the one before has done.
WHIT_INLINE void short_columns(const Args& args, const ShortBounds& spec, const ShortColumns (&columns)[2], isize m,
                               isize rows, isize n, const s8* panel) {
  const s8* rhs = panel + kPanelColumns * sizeof(s32);
  const u32* mild = reinterpret_cast<const u32*>(rhs + (args.k + kGroup - 1) / kGroup * kGroupBytes);
  for (int pair = 0; pair < 2; ++pair, rhs += 2 * kGroup, n += 2) {
    // Of 24 or 32 k, the first bit tells that the number of groups is even, the second one is that of the two groups.
    const bool is_mild = mild[pair] >> 30 & 1;
    short_tiles(args, spec, columns[pair], m, rows / 4, n, rhs, is_mild);
    if (rows % 4) short_tiles(args, spec, columns[pair], m + rows - 4, 1, n, rhs, is_mild);
  }
}

}  // namespace
}  // namespace whit::gemm_s8
