#pragma once
// What the weights of 8 channels and an epilogue allow the ARMv7 kernels of dwconv_s8 to leave out. Include
// simd_s8/neon32.h before.

#include "kernels/dwconv_s8/kernel.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::dwconv_s8 {
namespace {

constexpr isize kChannels = 8;

/// The sums of |weight| of `taps` taps, at most 512.
inline uint16x8_t magnitudes(const s8* weights, int taps) {
  uint16x8_t sums = vdupq_n_u16(0);
  for (int t = 0; t < taps; ++t) {
    const int8x8_t w = vld1_s8(weights + t * kChannels);
    sums = vaddw_u8(sums, vreinterpret_u8_s8(vabs_s8(w)));
  }
  return sums;
}

/// True if the sums of that many products fit in s16: -128 * -255 does.
inline bool fits(const s8* weights, int taps) {
  const uint8x8_t high = vshrn_n_u16(magnitudes(weights, taps), 8);
  return vget_lane_u64(vreinterpret_u64_u8(high), 0) == 0;
}

/// True if results, with a zero point, need no more than 16 bits, whatever the inputs.
inline bool small_results(const s32* biases, const s8* weights, int taps, const f32* scales) {
  const uint16x8_t sums = magnitudes(weights, taps);
  uint32x4_t small = vdupq_n_u32(~0u);
  for (int v = 0; v < 2; ++v) {
    const float32x4_t bias = vabsq_f32(vcvtq_f32_s32(vld1q_s32(biases + 4 * v)));
    const float32x4_t reach = vcvtq_f32_u32(vshll_n_u16(v ? vget_high_u16(sums) : vget_low_u16(sums), 7));
    const float32x4_t steps = vmulq_f32(vaddq_f32(bias, reach), vabsq_f32(vld1q_f32(scales + 4 * v)));
    small = vandq_u32(small, vcleq_f32(steps, vdupq_n_f32(32000)));
  }
  const uint32x2_t both = vand_u32(vget_low_u32(small), vget_high_u32(small));
  return (vget_lane_u32(both, 0) & vget_lane_u32(both, 1)) != 0;
}

/// True if the epilogue scales to s8 and clamps, no more.
inline bool is_clamp(const EpilogueS8& spec) {
  return spec.output == EpilogueS8::Output::s8 && spec.activation == Activation::clamp && !spec.residual;
}
/// True if in addition the clamp is that of s8, and the zero point is even: added before rounding, it leaves it to the
/// same ties to be even.
inline bool is_plain(const Epilogue& epilogue) {
  return is_clamp(epilogue.spec) && epilogue.spec.zero_point % 2 == 0 && epilogue.minimum == -128 &&
         epilogue.maximum == 127;
}

}  // namespace
}  // namespace whit::dwconv_s8
