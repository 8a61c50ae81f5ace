#pragma once
// What the two depthwise families share.

#include <string>

#include "bench/kernels/harness.h"
#include "bench/kernels/shapes.h"

namespace whit::bench {

inline std::string shape_name(const DepthwiseShape& s) {
  const std::string kernel = std::to_string(s.kernel), side = std::to_string(s.side);
  return kernel + "x" + kernel + "s" + std::to_string(s.stride) + " " + side + "x" + side + "x" +
         std::to_string(s.channels);
}

inline std::span<const DepthwiseShape> depthwise_shapes(const Options& options) {
  return options.smoke ? std::span<const DepthwiseShape>(kSmallDepthwiseShapes)
                       : std::span<const DepthwiseShape>(kDepthwiseShapes);
}

/// `kernel / 2` of padding on each side.
template <class Geometry>
Geometry geometry_of(const DepthwiseShape& s) {
  const isize pad = s.kernel / 2, out = (s.side + 2 * pad - s.kernel) / s.stride + 1;
  Geometry g{};
  g.in_h = g.in_w = s.side;
  g.channels = s.channels;
  g.kernel_h = g.kernel_w = s.kernel;
  g.stride_h = g.stride_w = s.stride;
  g.dilation_h = g.dilation_w = 1;
  g.pad_top = g.pad_left = pad;
  g.out_h = g.out_w = out;
  return g;
}

}  // namespace whit::bench
