#pragma once
// s32 accumulators and their way to s8 on ARMv8 NEON. For files compiled for aarch64 alone.

#include <arm_neon.h>

#include "base/types.h"
#include "kernels/simd_s8/partial.h"

namespace whit {
namespace {

struct Vector {
  using Int = int32x4_t;
  using Float = float32x4_t;
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
  WHIT_INLINE static void store_s8(s8* p, Int x) {
    const u32 bytes = narrow(x);
    std::memcpy(p, &bytes, sizeof(bytes));
  }
  WHIT_INLINE static void store_s8_first(s8* p, Int x, int count) { store_first_u64(p, narrow(x), count); }

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

 private:
  WHIT_INLINE static Int widen(u32 bytes) { return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes)))); }
  WHIT_INLINE static u32 narrow(Int x) {
    const int16x4_t words = vmovn_s32(x);
    return vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
  }
};

}  // namespace
}  // namespace whit
