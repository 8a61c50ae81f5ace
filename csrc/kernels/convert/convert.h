#pragma once
// Conversions between dtypes: quantize, dequantize, cast. The same bits on every ISA: plain IEEE operations in the
// order that convert.inc writes down.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::convert {

/// x and y are [rows, cols]; scale and zero_point are [cols], or one of each if `per_column` is false.
///     quantize:    t = x / scale;  NaN becomes 0;  clamp to [-128 - zero_point, 127 - zero_point];
///                  y = s8(round_to_nearest_even(t) + zero_point)                zero points within [-128, 127]
///     dequantize:  y = f32(x - zero_point) * scale                              the difference wraps modulo 2^32
struct QuantizeArgs {
  const void* x;
  void* y;
  isize rows, cols;
  const f32* scale;
  const s32* zero_point;
  bool per_column;
};

inline constexpr isize kMaxPlanes = 4;
/// Images from planes of f32 to pixels of s8: quantize with one scale, and a transposition.
///     y[i * planes + p] = quantize(x[p * plane_stride + i])    0 <= i < pixels, 0 <= p < planes, 1 <= planes <=
///     kMaxPlanes
struct QuantizePlanesArgs {
  const f32* x;
  s8* y;
  isize pixels, planes, plane_stride;
  f32 scale;
  s32 zero_point;
};

/// Order of Table::cast.
enum class Number : u8 { f32, s8, u8, s32 };

/// To integers: truncated toward zero, clamped to the range; NaN becomes 0. s32 to f32 rounds to nearest even.
struct CastArgs {
  const void* x;
  void* y;
  isize n;
};

struct Table {
  Isa isa;
  void (*quantize)(const QuantizeArgs&);
  void (*quantize_planes)(const QuantizePlanesArgs&);
  void (*dequantize_s8)(const QuantizeArgs&);
  void (*dequantize_s32)(const QuantizeArgs&);
  void (*cast[4][4])(const CastArgs&);  ///< [from][to]; null on the diagonal
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::convert
