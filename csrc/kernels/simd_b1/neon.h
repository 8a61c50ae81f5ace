#pragma once
// Comparisons to bits on NEON, of ARMv8 and ARMv7. For files compiled for one of these alone.

#include <arm_neon.h>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

/// Bit i of `below` is 1 where a < b in lane i, of four vectors of 32 bits or one of bytes. Nothing is below a NaN, and
/// a NaN below nothing.
struct Bits {
  using Word = u16;

  WHIT_INLINE static Word below(const int32x4_t (&a)[4], const int32x4_t (&b)[4]) {
    return bits(vcltq_s32(a[0], b[0]), vcltq_s32(a[1], b[1]), vcltq_s32(a[2], b[2]), vcltq_s32(a[3], b[3]));
  }
  WHIT_INLINE static Word below(const float32x4_t (&a)[4], const float32x4_t (&b)[4]) {
    return bits(vcltq_f32(a[0], b[0]), vcltq_f32(a[1], b[1]), vcltq_f32(a[2], b[2]), vcltq_f32(a[3], b[3]));
  }
  WHIT_INLINE static Word below(int8x16_t a, int8x16_t b) { return bits(vcltq_s8(a, b)); }

 private:
  WHIT_INLINE static Word bits(uint32x4_t m0, uint32x4_t m1, uint32x4_t m2, uint32x4_t m3) {
    const uint16x8_t low = vcombine_u16(vmovn_u32(m0), vmovn_u32(m1));
    const uint16x8_t high = vcombine_u16(vmovn_u32(m2), vmovn_u32(m3));
    return bits(vcombine_u8(vmovn_u16(low), vmovn_u16(high)));
  }
  /// Of each byte the bit of its place, then sums of eight.
  WHIT_INLINE static Word bits(uint8x16_t mask) {
    const uint8x8_t place = vcreate_u8(0x8040201008040201);
    uint8x8_t sums = vpadd_u8(vand_u8(vget_low_u8(mask), place), vand_u8(vget_high_u8(mask), place));
    sums = vpadd_u8(sums, sums);
    sums = vpadd_u8(sums, sums);
    return vget_lane_u16(vreinterpret_u16_u8(sums), 0);
  }
};

}  // namespace
}  // namespace whit
