#pragma once
// binary16, which is stored and converted, never computed with.

#include <bit>

#include "base/types.h"

namespace whit {

/// Exact.
inline f32 half_to_float(u16 half) {
  const u32 sign = static_cast<u32>(half & 0x8000) << 16, exponent = (half >> 10) & 31, mantissa = half & 0x3ff;
  if (exponent == 0) {
    const f32 value = static_cast<f32>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<f32>(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13);
}

/// Finite and above 0.
constexpr bool is_positive_half(u16 half) { return half > 0 && half < 0x7c00; }

}  // namespace whit
