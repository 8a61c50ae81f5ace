#pragma once
// What column.inc needs, on NEON of either width. Include after the Vector.

#include <arm_neon.h>

#include "kernels/simd_f32/unroll.h"

namespace whit::spmm_f32 {
namespace {

/// The places are loaded at once: older cores load one thing a cycle.
WHIT_INLINE float32x4_t gather(const f32* x, const u16* at) {
  u64 places;
  __builtin_memcpy(&places, at, sizeof places);
  float32x4_t lanes = vld1q_dup_f32(x + static_cast<u16>(places));
  lanes = vld1q_lane_f32(x + static_cast<u16>(places >> 16), lanes, 1);
  lanes = vld1q_lane_f32(x + static_cast<u16>(places >> 32), lanes, 2);
  return vld1q_lane_f32(x + static_cast<u16>(places >> 48), lanes, 3);
}

WHIT_INLINE float32x4_t where(float32x4_t w, float32x4_t x) {
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vceqq_f32(w, vdupq_n_f32(0))));
}

}  // namespace
}  // namespace whit::spmm_f32
