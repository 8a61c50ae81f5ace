#include "kernels/resize/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace whit::resize {

f32 source(const Axis& axis, isize i) {
  const f32 at = static_cast<f32>(i);
  switch (axis.coordinate) {
    case Coordinate::asymmetric: return at / axis.scale;
    case Coordinate::half_pixel: return (at + 0.5f) / axis.scale - 0.5f;
    case Coordinate::pytorch_half_pixel: return axis.out > 1 ? (at + 0.5f) / axis.scale - 0.5f : 0.0f;
    case Coordinate::align_corners:
      return axis.out > 1 ? at * static_cast<f32>(axis.in - 1) / static_cast<f32>(axis.out - 1) : 0.0f;
  }
  return 0;
}

void nearest_table(const Axis& axis, Nearest rounding, s32* table) {
  const f32 last = static_cast<f32>(axis.in - 1);
  for (isize i = 0; i < axis.out; ++i) {
    f32 at = source(axis, i);
    switch (rounding) {
      case Nearest::floor: at = std::floor(at); break;
      case Nearest::ceil: at = std::ceil(at); break;
      case Nearest::round_prefer_floor: at = std::ceil(at - 0.5f); break;
      case Nearest::round_prefer_ceil: at = std::floor(at + 0.5f); break;
    }
    at = at > 0 ? at : 0;
    table[i] = at < last ? static_cast<s32>(at) : static_cast<s32>(axis.in - 1);
  }
}

void linear_table(const Axis& axis, Tap* table) {
  const f32 last = static_cast<f32>(axis.in - 1);
  const s32 end = static_cast<s32>(axis.in - 1);
  for (isize i = 0; i < axis.out; ++i) {
    f32 at = source(axis, i);
    at = at > 0 ? at : 0;
    if (at < last) {
      const s32 lower = static_cast<s32>(at);
      table[i] = {lower, std::min(lower + 1, end), at - static_cast<f32>(lower)};
    } else {
      table[i] = {end, end, 0};
    }
  }
}

void nearest(const Image& image, isize pixel_bytes, const s32* h, const s32* w, const std::byte* in, std::byte* out,
             isize begin, isize end) {
  const isize in_row = image.in_w * pixel_bytes, out_row = image.out_w * pixel_bytes;
  const std::byte* drawn = nullptr;  // the input row that the last output row showed
  for (isize r = begin; r < end; ++r) {
    const std::byte* from = in + (r / image.out_h * image.in_h + h[r % image.out_h]) * in_row;
    std::byte* to = out + r * out_row;
    if (from == drawn) {
      std::memcpy(to, to - out_row, static_cast<std::size_t>(out_row));
      continue;
    }
    drawn = from;
    const auto pixels = [&](auto size) {
      for (isize x = 0; x < image.out_w; ++x)
        std::memcpy(to + x * size, from + w[x] * size, static_cast<std::size_t>(size));
    };
    if (pixel_bytes == 1)
      pixels(std::integral_constant<isize, 1>{});
    else if (pixel_bytes == 4)
      pixels(std::integral_constant<isize, 4>{});
    else
      pixels(pixel_bytes);
  }
}

namespace {

f32 lerp(f32 lower, f32 upper, f32 rest, f32 weight) { return lower * rest + upper * weight; }

struct FromF32 {
  f32 operator()(f32 v) const { return v; }
};

struct FromS8 {
  s32 zero_point;
  f32 operator()(s8 v) const { return static_cast<f32>(v - zero_point); }
};

struct ToF32 {
  f32 operator()(f32 v) const { return v; }
};

struct ToS8 {
  f32 scale, lowest, highest;
  s32 zero_point;
  s8 operator()(f32 v) const {
    f32 t = v * scale;
    t = t > lowest ? t : lowest;
    t = t < highest ? t : highest;
    constexpr f32 kRound = 12582912.0f;  // 1.5 * 2^23: the sum has no bits below 1, so it is rounded half to even
    return static_cast<s8>(static_cast<s32>((t + kRound) - kRound) + zero_point);
  }
};

template <class T, class From, class To>
void linear_rows(const Image& image, const Tap* h, const Tap* w, const T* in, T* out, f32* row, isize begin, isize end,
                 From from, To to) {
  const isize channels = image.channels, in_row = image.in_w * channels;
  for (isize r = begin; r < end; ++r) {
    const T* base = in + r / image.out_h * image.in_h * in_row;
    const Tap y = h[r % image.out_h];
    const T *above = base + y.lower * in_row, *below = base + y.upper * in_row;
    if (y.lower == y.upper) {
      for (isize i = 0; i < in_row; ++i) row[i] = from(above[i]);
    } else {
      const f32 rest = 1 - y.weight;
      for (isize i = 0; i < in_row; ++i) row[i] = lerp(from(above[i]), from(below[i]), rest, y.weight);
    }
    T* pixel = out + r * image.out_w * channels;
    for (isize x = 0; x < image.out_w; ++x, pixel += channels) {
      const f32 *left = row + w[x].lower * channels, *right = row + w[x].upper * channels;
      if (left == right) {
        for (isize c = 0; c < channels; ++c) pixel[c] = to(left[c]);
      } else {
        const f32 weight = w[x].weight, rest = 1 - weight;
        for (isize c = 0; c < channels; ++c) pixel[c] = to(lerp(left[c], right[c], rest, weight));
      }
    }
  }
}

}  // namespace

void linear(const Image& image, const Tap* h, const Tap* w, const f32* in, f32* out, f32* row, isize begin, isize end) {
  linear_rows(image, h, w, in, out, row, begin, end, FromF32{}, ToF32{});
}

void linear(const Image& image, const Tap* h, const Tap* w, const Steps& steps, const s8* in, s8* out, f32* row,
            isize begin, isize end) {
  const ToS8 to{steps.scale, static_cast<f32>(-128 - steps.out_zero_point),
                static_cast<f32>(127 - steps.out_zero_point), steps.out_zero_point};
  linear_rows(image, h, w, in, out, row, begin, end, FromS8{steps.in_zero_point}, to);
}

}  // namespace whit::resize
