#pragma once
// What a matrix or convolution kernel does to its accumulators before storing them.
// docs/NUMERICS.md states the same arithmetic; every kernel follows it to the bit.

#include "base/types.h"

namespace whit {

enum class Activation : u8 {
  clamp,       ///< min(max(t, clamp_min), clamp_max); infinities mean none, [0, inf] is relu
  hard_swish,  ///< t * min(max(t * hard_swish_alpha + 0.5, 0), 1), then the clamp
};

/// From s32 accumulators to the output, in f32, each operation rounded on its own (no FMA), in this order:
///
///     t = f32(acc) * scale[n]                                  acc includes the bias and the zero-point term
///     t = t + f32(residual - residual_zero_point) * residual_scale          if residual
///     g = t * hard_swish_alpha + 0.5;  g = min(max(g, 0), 1);  t = t * g    if hard_swish
///     t = max(t, clamp_min);  t = min(t, clamp_max)
///     s8: store s8(round_to_nearest_even(t) + zero_point)      f32: store t
///
/// For s8 output everything is in units of the output's step: scale = (lhs_scale * rhs_scale[n]) / out_scale,
/// residual_scale = residual's scale / out_scale, hard_swish_alpha = out_scale / 6, and the clamp bounds are
/// integers within [-128 - zero_point, 127 - zero_point]. For f32 output: scale = lhs_scale * rhs_scale[n],
/// hard_swish_alpha = 1/6.
/// max(t, x) is `t > x ? t : x` and min(t, x) is `t < x ? t : x` (a NaN becomes the bound).
struct EpilogueS8 {
  enum class Output : u8 { s32, s8, f32 };
  Output output = Output::s8;
  Activation activation = Activation::clamp;
  const f32* scale = nullptr;  ///< [n], unused for s32 output (the accumulators are stored as they are)
  const s8* residual = nullptr;
  isize residual_stride = 0;  ///< elements from row to row
  f32 residual_scale = 0;
  s32 residual_zero_point = 0;
  f32 hard_swish_alpha = 0;
  f32 clamp_min = -128, clamp_max = 127;
  s32 zero_point = 0;
};

/// The same for f32 accumulators (acc includes the bias):
///     t = acc;  t = t + residual;  hard_swish as above with alpha = 1/6;  clamp;  store
/// but here max(t, x) is `x > t ? x : t` and min(t, x) is `x < t ? x : t`: a NaN stays a NaN.
struct EpilogueF32 {
  Activation activation = Activation::clamp;
  const f32* residual = nullptr;
  isize residual_stride = 0;
  f32 clamp_min, clamp_max;
};

}  // namespace whit
