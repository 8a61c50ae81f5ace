#pragma once
// What a binary product does to its accumulators before storing them.
// docs/NUMERICS.md states the same arithmetic; every kernel follows it to the bit.

#include "base/types.h"

namespace whit {

/// From s32 accumulators to the output:
///
///     s32: acc
///     f32: t = f32(acc) * scale[n];  t = t + bias[n];  t = max(t, clamp_min);  t = min(t, clamp_max)
///     s8:  t as of f32, then s8(round_to_nearest_even(t) + zero_point), saturated
///     b1:  acc < threshold[n] ? 1 : 0, that is -1 or +1
///
/// In f32, each operation rounded on its own (no FMA). max(t, x) is `t > x ? t : x` and min(t, x) is `t < x ? t : x`
/// (a NaN becomes the bound). For s8 output everything is in units of the output's step, and the clamp bounds are
/// integers within [-128 - zero_point, 127 - zero_point].
struct EpilogueB1 {
  enum class Output : u8 { s32, f32, s8, b1 };
  Output output = Output::s32;
  const f32* scale = nullptr;  ///< [n], of f32 and s8
  const f32* bias = nullptr;   ///< [n], of f32 and s8
  f32 clamp_min = -128, clamp_max = 127;
  s32 zero_point = 0;
  const s32* threshold = nullptr;  ///< [n], of b1
};

}  // namespace whit
