#pragma once
// What the two GEMM families share: names and the offsets of a convolution's windows.

#include <cmath>
#include <string>

#include "bench/kernels/harness.h"
#include "bench/kernels/shapes.h"

namespace whit::bench {

inline isize side_of(const GemmShape& s) { return static_cast<isize>(std::lround(std::sqrt(static_cast<f64>(s.m)))); }

inline std::string shape_name(const GemmShape& s) {
  const std::string n = std::to_string(s.n), k = std::to_string(s.k), side = std::to_string(side_of(s));
  if (s.taps == 1) return std::to_string(s.m) + "x" + n + "x" + k;
  return "3x3 " + side + "x" + side + "x" + k + " to " + n;
}

inline std::span<const GemmShape> gemm_shapes(const Options& options) {
  return options.smoke ? std::span<const GemmShape>(kSmallGemmShapes) : std::span<const GemmShape>(kGemmShapes);
}

/// Of the 3x3 window around each pixel; -1 outside of the image.
inline std::span<s32> window_offsets(Group& group, const GemmShape& s) {
  const isize side = side_of(s);
  const std::span<s32> offsets = allocate<s32>(group, s.m * s.taps);
  s32* offset = offsets.data();
  for (isize y = 0; y < side; ++y) {
    for (isize x = 0; x < side; ++x) {
      for (isize tap = 0; tap < s.taps; ++tap) {
        const isize i = y + tap / 3 - 1, j = x + tap % 3 - 1;
        const bool inside = i >= 0 && i < side && j >= 0 && j < side;
        *offset++ = inside ? static_cast<s32>((i * side + j) * s.k) : -1;
      }
    }
  }
  return offsets;
}

}  // namespace whit::bench
