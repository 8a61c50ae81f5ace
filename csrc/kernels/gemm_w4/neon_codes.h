#pragma once
// Codes of few.h and lanes of grouped_rows.h in registers of ARMv8. For files compiled for aarch64 alone.

#include "kernels/gemm_w4/kernel.h"
#include "kernels/simd_s8/neon.h"

namespace whit::gemm_w4 {
namespace {

struct Codes {
  using Block = uint8x16_t;
  static constexpr isize kBlock = 16;

  WHIT_INLINE static Block load(const u8* p) { return vld1q_u8(p); }
  WHIT_INLINE static void store(u8* p, Block x) { vst1q_u8(p, x); }
  WHIT_INLINE static Block table(const u8* p) { return vld1q_u8(p); }
  WHIT_INLINE static Block lookup(Block table, Block codes) { return vqtbl1q_u8(table, codes); }

  template <int kBits>
  WHIT_INLINE static void unpack(Block block, Block (&parts)[8 / kBits]) {
    const Block mask = vdupq_n_u8((1 << kBits) - 1);
    parts[0] = vandq_u8(block, mask);
    if constexpr (kBits == 2) {
      parts[1] = vandq_u8(vshrq_n_u8(block, 2), mask);
      parts[2] = vandq_u8(vshrq_n_u8(block, 4), mask);
    }
    parts[8 / kBits - 1] = vshrq_n_u8(block, 8 - kBits);
  }
};

struct Lanes : Vector {
  static constexpr int kRows = 2;
  WHIT_INLINE static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  WHIT_INLINE static Float load_f16(const u16* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
};

}  // namespace
}  // namespace whit::gemm_w4
