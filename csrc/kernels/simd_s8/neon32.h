#pragma once
// s32 accumulators and their way to s8 on ARMv7 NEON, which has 16 registers of 128 bits, no instruction that rounds to
// nearest and none that adds up a register. For files named neon32.cc alone.

#include <arm_neon.h>

#include "base/types.h"
#include "kernels/simd_s8/partial.h"

namespace whit {
namespace {

/// Instructions stay on their side of this. Compilers like to start everything at once, and run out of registers.
WHIT_INLINE void keep_order() { __asm__ volatile(""); }

struct Vector {
  using Int = int32x4_t;
  using Float = float32x4_t;
  using Bytes = int8x16_t;
  static constexpr int kLanes = 4;
  static constexpr bool kMasked = false;

  WHIT_INLINE static Int load(const s32* p) { return vld1q_s32(p); }
  WHIT_INLINE static Float load(const f32* p) { return vld1q_f32(p); }
  WHIT_INLINE static Float load_first(const f32* p, int count) {
    f32 lanes[kLanes] = {};
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
  }
  WHIT_INLINE static Int load_s8(const s8* p) { return widen(load_as<u32>(p)); }
  WHIT_INLINE static Int load_s8_first(const s8* p, int count) { return widen(load_first_u32(p, count)); }
  WHIT_INLINE static void store(s32* p, Int x) { vst1q_s32(p, x); }
  WHIT_INLINE static void store(f32* p, Float x) { vst1q_f32(p, x); }
  WHIT_INLINE static void store_first(s32* p, Int x, int count) {
    s32 lanes[kLanes];
    vst1q_s32(lanes, x);
    for (int i = 0; i < count; ++i) p[i] = lanes[i];
  }
  WHIT_INLINE static void store_first(f32* p, Float x, int count) {
    f32 lanes[kLanes];
    vst1q_f32(lanes, x);
    for (int i = 0; i < count; ++i) p[i] = lanes[i];
  }

  /// What of the clamp of an s8 output is left to do in f32: nothing, see round().
  WHIT_INLINE static Float bound(Float t, Float, Float) { return t; }
  /// x[i] + zero_point within [minimum, maximum] as s8, 4 bytes of each.
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], s32 zero_point, s8 minimum, s8 maximum) {
    const int16x8_t offset = vdupq_n_s16(static_cast<s16>(zero_point));
    const int16x8_t low = vqaddq_s16(vcombine_s16(vqmovn_s32(x[0]), vqmovn_s32(x[1])), offset);
    const int16x8_t high = vqaddq_s16(vcombine_s16(vqmovn_s32(x[2]), vqmovn_s32(x[3])), offset);
    const Bytes bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
    return vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(minimum)), vdupq_n_s8(maximum));
  }
  /// The first `count` bytes of x[i] after narrow().
  WHIT_INLINE static void store_part(s8* p, Bytes bytes, int i, int count) {
    const uint32x2_t half = vreinterpret_u32_s8(i < 2 ? vget_low_s8(bytes) : vget_high_s8(bytes));
    if (count == kLanes) {
      i % 2 ? store_lane<1>(p, half) : store_lane<0>(p, half);
    } else {
      store_first_u64(p, i % 2 ? vget_lane_u32(half, 1) : vget_lane_u32(half, 0), count);
    }
  }
  /// All bytes of x[2 * half] and x[2 * half + 1].
  WHIT_INLINE static void store_half(s8* p, Bytes bytes, int half, int) {
    vst1_s8(p, half ? vget_high_s8(bytes) : vget_low_s8(bytes));
  }

  WHIT_INLINE static Int broadcast(s32 x) { return vdupq_n_s32(x); }
  WHIT_INLINE static Float broadcast(f32 x) { return vdupq_n_f32(x); }
  WHIT_INLINE static Int add(Int a, Int b) { return vaddq_s32(a, b); }
  WHIT_INLINE static Int sub(Int a, Int b) { return vsubq_s32(a, b); }
  WHIT_INLINE static Float add(Float a, Float b) { return vaddq_f32(a, b); }
  WHIT_INLINE static Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  /// t > x ? t : x and t < x ? t : x. Not VMAX and VMIN, which keep a NaN and order the zeros.
  WHIT_INLINE static Float max(Float t, Float x) { return vbslq_f32(vcgtq_f32(t, x), t, x); }
  WHIT_INLINE static Float min(Float t, Float x) { return vbslq_f32(vcltq_f32(t, x), t, x); }
  WHIT_INLINE static Float to_float(Int x) { return vcvtq_f32_s32(x); }
  /// To nearest, ties to even, for |x| < 2^22: 1.5 * 2^23 - x has no bits below 1, and its low bits count down from
  /// those of 1.5 * 2^23. The bits of floats are ordered as integers, so a larger x gives a larger number, a smaller
  /// one a smaller number, and a NaN (the positive one that NEON makes) the smallest: all beyond s16, where narrow()
  /// saturates.
  WHIT_INLINE static Int round(Float x) {
    const Float magic = vdupq_n_f32(12582912.0f);
    return vqsubq_s32(vreinterpretq_s32_f32(magic), vreinterpretq_s32_f32(vsubq_f32(magic, x)));
  }

  WHIT_INLINE static void settle(Int& x) { __asm__("" : "+w"(x)); }

 private:
  WHIT_INLINE static Int widen(u32 bytes) { return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes)))); }
  /// Through memory that may be unaligned.
  template <int kLane>
  WHIT_INLINE static void store_lane(s8* p, uint32x2_t x) {
    __asm__ volatile("vst1.32 {%P1[%c2]}, [%0]" : : "r"(p), "w"(x), "i"(kLane) : "memory");
  }
};

}  // namespace
}  // namespace whit
