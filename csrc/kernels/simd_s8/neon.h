#pragma once
// s32 accumulators and their way to s8 on ARMv8 NEON. For files compiled for aarch64 alone.

#include <arm_neon.h>

#include "base/types.h"
#include "kernels/simd_s8/partial.h"

namespace whit {
namespace {

/// Instructions stay on their side of this. Compilers like to start everything at once, and run out of registers.
WHIT_INLINE void keep_order() { __asm__ volatile(""); }

/// The lower 16 bits of each lane.
WHIT_INLINE int16x8_t lower_halves(float32x4_t a, float32x4_t b) {
#ifdef __ARM_FEATURE_DOTPROD
  return vuzp1q_s16(vreinterpretq_s16_f32(a), vreinterpretq_s16_f32(b));
#else
  // Not UZP1, which takes the A72 three times as long; compilers would make it of the intrinsics.
  int16x8_t halves;
  __asm__("xtn %0.4h, %1.4s\n\txtn2 %0.8h, %2.4s" : "=&w"(halves) : "w"(a), "w"(b));
  return halves;
#endif
}

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

  /// What of the clamp of an s8 output is left to do in f32: NaN becomes minimum, narrow() does the maximum.
  WHIT_INLINE static Float bound(Float t, Float minimum, Float) { return vmaxnmq_f32(t, minimum); }
  /// x[i] + zero_point, at most maximum, as s8, 4 bytes of each.
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], s32 zero_point, s8, s8 maximum) {
    const int16x8_t offset = vdupq_n_s16(static_cast<s16>(zero_point));
    const int16x8_t low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(x[0]), x[1]), offset);
    const int16x8_t high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(x[2]), x[3]), offset);
    return vminq_s8(vqmovn_high_s16(vqmovn_s16(low), high), vdupq_n_s8(maximum));
  }
  /// The first `count` bytes of x[i] after narrow().
  WHIT_INLINE static void store_part(s8* p, Bytes bytes, int i, int count) {
    u32 part;
    switch (const uint32x4_t parts = vreinterpretq_u32_s8(bytes); i) {
      case 0: part = vgetq_lane_u32(parts, 0); break;
      case 1: part = vgetq_lane_u32(parts, 1); break;
      case 2: part = vgetq_lane_u32(parts, 2); break;
      default: part = vgetq_lane_u32(parts, 3); break;
    }
    store_first_u64(p, part, count);
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
  /// t > x ? t : x and t < x ? t : x. Not FMAX and FMIN, which keep a NaN and order the zeros.
  WHIT_INLINE static Float max(Float t, Float x) { return vbslq_f32(vcgtq_f32(t, x), t, x); }
  WHIT_INLINE static Float min(Float t, Float x) { return vbslq_f32(vcltq_f32(t, x), t, x); }
  WHIT_INLINE static Float to_float(Int x) { return vcvtq_f32_s32(x); }
  /// To nearest, ties to even.
  WHIT_INLINE static Int round(Float x) { return vcvtnq_s32_f32(x); }

  WHIT_INLINE static void settle(Int& x) { __asm__("" : "+w"(x)); }

 private:
  WHIT_INLINE static Int widen(u32 bytes) { return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes)))); }
};

}  // namespace
}  // namespace whit
