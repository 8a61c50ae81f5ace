#pragma once
// Conversions between dtypes: quantize, dequantize, cast. The same bits on every ISA: plain IEEE operations in the
// order that convert.inc writes down.

#include <cstddef>
#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"

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

/// Each row of x [rows, cols] on a grid of its own, which spans its values and 0 (NaN counts as 0):
///     low = min(0, x...), high = max(0, x...)
///     scale[r] = high / 255 - low / 255, or 1 where that is below 2^-60
///     zero_point[r] = round_to_nearest_even(-128 - low / scale[r]) within [-128, 127], or 0 where scale[r] is infinite
///     y = quantize(x, scale[r], zero_point[r])
/// The scale of a row with an infinity is infinite, so that what is computed from it becomes NaN.
struct QuantizeRowsArgs {
  const f32* x;
  s8* y;
  isize rows, cols;
  f32* scale;       ///< [rows]
  s32* zero_point;  ///< [rows]
};

/// y [rows, cols], rows `stride` elements apart: what EpilogueF32 says, each operation rounded on its own.
struct FinishRowsArgs {
  f32* y;
  isize rows, cols, stride;
  EpilogueF32 epilogue;
};

/// Products of such rows with quantised columns, back to real numbers, each operation rounded on its own:
///     t = f32(sum - zero_point[r] * column_sum[c]) * row_scale[r];  t = t * scale[c];  t = t + bias[c]
/// then as FinishRowsArgs. The difference wraps modulo 2^32.
struct DequantizeRowsArgs {
  std::byte* y;  ///< [rows, cols], rows `stride` elements apart: s32 sums become f32
  isize rows, cols, stride;
  const f32* row_scale;   ///< [rows]
  const s32* zero_point;  ///< [rows]
  const s32* column_sum;  ///< [cols]: sums of the weights
  const f32* scale;       ///< [cols]
  const f32* bias;        ///< [cols]
  EpilogueF32 epilogue;
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
  void (*quantize_rows)(const QuantizeRowsArgs&);
  void (*finish_rows)(const FinishRowsArgs&);
  void (*dequantize_rows)(const DequantizeRowsArgs&);
  void (*dequantize_s8)(const QuantizeArgs&);
  void (*dequantize_s32)(const QuantizeArgs&);
  void (*cast[4][4])(const CastArgs&);  ///< [from][to]; null on the diagonal
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::convert
