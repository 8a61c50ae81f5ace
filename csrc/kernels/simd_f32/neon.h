#pragma once
// f32 vectors of ARMv8-A NEON. For files named neon*.cc alone: everything is local to the file that includes it, since
// code compiled with an ISA's flags must not be visible to the linker elsewhere.

#include <arm_neon.h>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Register = float32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kRegisters = 32;

  WHIT_INLINE static Register load(const f32* p) { return vld1q_f32(p); }
  WHIT_INLINE static void store(f32* p, Register r) { vst1q_f32(p, r); }
  /// The first `count` lanes, 1 <= count < kLanes; no other memory is touched.
  WHIT_INLINE static Register load_first(const f32* p, int count) {
    Register r = vld1q_lane_f32(p, vdupq_n_f32(0), 0);
    if (count > 1) r = vld1q_lane_f32(p + 1, r, 1);
    if (count > 2) r = vld1q_lane_f32(p + 2, r, 2);
    return r;
  }
  WHIT_INLINE static void store_first(f32* p, Register r, int count) {
    vst1q_lane_f32(p, r, 0);
    if (count > 1) vst1q_lane_f32(p + 1, r, 1);
    if (count > 2) vst1q_lane_f32(p + 2, r, 2);
  }
  WHIT_INLINE static Register broadcast(f32 x) { return vdupq_n_f32(x); }
  /// a * b + c, rounded once.
  WHIT_INLINE static Register fma(Register a, Register b, Register c) { return vfmaq_f32(c, a, b); }
  WHIT_INLINE static Register mul(Register a, Register b) { return vmulq_f32(a, b); }
  WHIT_INLINE static Register add(Register a, Register b) { return vaddq_f32(a, b); }
  WHIT_INLINE static Register sub(Register a, Register b) { return vsubq_f32(a, b); }
  /// x > t ? x : t and x < t ? x : t. Not FMAX and FMIN: those order the zeros.
  WHIT_INLINE static Register max(Register t, Register x) { return vbslq_f32(vcgtq_f32(x, t), x, t); }
  WHIT_INLINE static Register min(Register t, Register x) { return vbslq_f32(vcltq_f32(x, t), x, t); }
};

}  // namespace
}  // namespace whit
