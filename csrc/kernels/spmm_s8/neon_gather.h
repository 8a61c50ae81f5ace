#pragma once
// What neon_column.h gathers by on aarch64. A load takes the place as its index and leaves the rest of a register 0;
// compilers would work out addresses for loads of single lanes, which take the same pipe and one more.

#include <arm_neon.h>

#include "kernels/simd_s8/partial.h"

namespace whit::spmm_s8 {
namespace {

/// What all places reach.
struct Reach {
  s8 bytes[4 * 256];
};

WHIT_INLINE int8x8_t load_byte(const s8* x, u64 places, int i) {
  int8x8_t v;
  __asm__("ldr %b0, [%1, %w2, uxtw]"
          : "=w"(v)
          : "r"(x), "r"(static_cast<u32>(places >> (8 * i) & 255)), "m"(*reinterpret_cast<const Reach*>(x)));
  return v;
}
WHIT_INLINE int32x2_t load_four(const s8* x, u32 places, int i) {
  int32x2_t v;
  __asm__("ldr %s0, [%1, %w2, uxtw #2]"
          : "=w"(v)
          : "r"(x), "r"(places >> (8 * i) & 255), "m"(*reinterpret_cast<const Reach*>(x)));
  return v;
}

WHIT_INLINE int8x8_t gather_bytes(const s8* x, const u8* places) {
  const u64 at = load_as<u64>(places);
  int16x4_t pairs[4];
  WHIT_UNROLL for (int i = 0; i < 4; ++i) pairs[i] =
      vreinterpret_s16_s8(vzip1_s8(load_byte(x, at, 2 * i), load_byte(x, at, 2 * i + 1)));
  const int32x2_t low = vreinterpret_s32_s16(vzip1_s16(pairs[0], pairs[1]));
  const int32x2_t high = vreinterpret_s32_s16(vzip1_s16(pairs[2], pairs[3]));
  return vreinterpret_s8_s32(vzip1_s32(low, high));
}

WHIT_INLINE int8x16_t gather_fours(const s8* x, const u8* places) {
  const u32 at = load_as<u32>(places);
  const int32x2_t low = vzip1_s32(load_four(x, at, 0), load_four(x, at, 1));
  const int32x2_t high = vzip1_s32(load_four(x, at, 2), load_four(x, at, 3));
  return vreinterpretq_s8_s32(vcombine_s32(low, high));
}

}  // namespace
}  // namespace whit::spmm_s8
