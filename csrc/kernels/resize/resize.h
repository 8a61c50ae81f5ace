#pragma once
// Resampling of channels-last images [n, in_h, in_w, channels] -> [n, out_h, out_w, channels] by tables made once.
// Everything is f32 in a fixed order without FMA: the same bits on every ISA.

#include "base/types.h"

namespace whit::resize {

enum class Coordinate : u8 { asymmetric, half_pixel, pytorch_half_pixel, align_corners };
enum class Nearest : u8 { floor, ceil, round_prefer_floor, round_prefer_ceil };

/// One axis: scale is out / in, or what the model says in its place.
struct Axis {
  isize in, out;
  f32 scale;
  Coordinate coordinate;
};

/// Where output index i lies on the input's axis, as ONNX Resize defines it:
///     asymmetric          i / scale
///     half_pixel          (i + 0.5) / scale - 0.5
///     pytorch_half_pixel  out > 1 ? (i + 0.5) / scale - 0.5 : 0
///     align_corners       out > 1 ? i * (in - 1) / (out - 1) : 0
f32 source(const Axis& axis, isize i);

/// table[i] = source(i), rounded, within [0, in).
void nearest_table(const Axis& axis, Nearest rounding, s32* table);

/// Value = at[lower] * (1 - weight) + at[upper] * weight.
struct Tap {
  s32 lower, upper;  ///< upper is lower + 1, or lower at the end of the axis
  f32 weight;
};
/// source(i) is clamped to [0, in - 1]; lower is its floor.
void linear_table(const Axis& axis, Tap* table);

struct Image {
  isize in_h, in_w, out_h, out_w, channels;
};

/// Output rows [begin, end) of n * out_h. A pixel is pixel_bytes. `h` and `w` are nearest tables.
void nearest(const Image& image, isize pixel_bytes, const s32* h, const s32* w, const std::byte* in, std::byte* out,
             isize begin, isize end);

/// From s8 to s8 of another quantisation.
struct Steps {
  s32 in_zero_point;
  f32 scale;  ///< f32(f64(in scale) / out scale)
  s32 out_zero_point;
};

/// Output rows [begin, end) of n * out_h; `row` holds in_w * channels. For each channel, first down, then across:
///     v[x] = in[lower y][x] * (1 - wy) + in[upper y][x] * wy          (in[lower y][x] where upper == lower)
///     out  = v[lower x] * (1 - wx) + v[upper x] * wx                  (v[lower x] where upper == lower)
/// where 1 - weight, each product and the sum are rounded on their own.
void linear(const Image& image, const Tap* h, const Tap* w, const f32* in, f32* out, f32* row, isize begin, isize end);
/// The same of f32(in - in_zero_point); then  s8(round_to_nearest_even(clamped v * scale) + out_zero_point)  where the
/// clamp is to what s8 holds.
void linear(const Image& image, const Tap* h, const Tap* w, const Steps& steps, const s8* in, s8* out, f32* row,
            isize begin, isize end);

}  // namespace whit::resize
