#pragma once
// Pooling of channels-last images, windows cut at the borders exactly.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::pool {

/// Output pixel (i, j) looks at input rows i * stride_h - pad_top + t * dilation_h for t in [0, kernel_h) and columns
/// likewise; those outside the image do not exist.
struct Geometry {
  isize in_h, in_w, out_h, out_w, channels;
  isize kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  isize pad_top, pad_left, pad_bottom, pad_right;
};

/// The average divides by the pixels of the window that exist, or with count_include_pad by those that lie within the
/// padded image (ceil_mode may let a window reach beyond even that). A window without pixels gives 0.
///     f32: y = sum / f32(count), the sum over the window row by row in ascending order
///     s8:  the sum of (x - x_zero_point) is exact;  t = f32(sum) * f32(x_scale / (y_scale * count)), the factor in f64
///          rounded once;  clamp to [-128 - y_zero_point, 127 - y_zero_point];
///          y = s8(round_to_nearest_even(t) + y_zero_point)
struct AverageParams {
  bool count_include_pad = false;
  f64 x_scale = 1, y_scale = 1;
  s32 x_zero_point = 0, y_zero_point = 0;
};

struct Args {
  const void* x;  ///< [n, in_h, in_w, channels]
  void* y;        ///< [n, out_h, out_w, channels]
  Geometry geometry;
  AverageParams average;
};

struct Table {
  Isa isa;
  /// Each computes output rows [begin, end) of the n * out_h. The maximum is NaN if the window holds one; of no pixels
  /// it is -infinity, or -128.
  void (*max_f32)(const Args&, isize begin, isize end);
  void (*max_s8)(const Args&, isize begin, isize end);
  void (*average_f32)(const Args&, isize begin, isize end);
  void (*average_s8)(const Args&, isize begin, isize end);  ///< windows of at most 2^23 pixels
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::pool
