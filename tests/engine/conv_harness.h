#pragma once
// Square convolutions in the harness of operators, and their sums.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "operator_harness.h"

namespace whit::test {

struct Convolution {
  s64 images, side, in_channels, out_channels;
  s64 stride = 1, dilation = 1, group = 1, kernel = 3, pad = 1;
  std::vector<f32> pad_values = {};

  s64 inputs() const { return images * side * side * in_channels; }
  s64 weights() const { return out_channels * kernel * kernel * (in_channels / group); }
  s64 out_side() const { return (side + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1; }
};

/// With neither bias nor output yet.
template <class Element, class Weight>
OperatorHarness harness(const Convolution& c, const std::vector<Element>& x, const std::vector<Weight>& w,
                        Quantization of_x = {}, Quantization of_w = {}) {
  OperatorHarness op(Op::conv);
  op.set("strides", std::vector<s64>{c.stride, c.stride})
      .set("dilations", std::vector<s64>{c.dilation, c.dilation})
      .set("pads", std::vector<s64>(4, c.pad))
      .set("group", c.group)
      .set("pad_values", c.pad_values)
      .set("activation", std::string())
      .set("clamp_min", -INFINITY)
      .set("clamp_max", INFINITY)
      .input(Shape{c.images, c.side, c.side, c.in_channels}, x, std::move(of_x))
      .constant(Shape{c.out_channels, c.kernel, c.kernel, c.in_channels / c.group}, w, std::move(of_w));
  return op;
}

/// bias + the sums of all taps, with x less its zero point and 0 for the padding.
template <class Sum, class Element, class Bias>
std::vector<Sum> sums(const Convolution& c, const std::vector<Element>& x, Sum zero_point,
                      const std::vector<Element>& w, const std::vector<Bias>& bias) {
  const s64 out_side = c.out_side(), channels = c.in_channels / c.group, taps = c.kernel * c.kernel;
  std::vector<Sum> out;
  for (s64 image = 0; image < c.images; ++image)
    for (s64 y = 0; y < out_side; ++y)
      for (s64 xx = 0; xx < out_side; ++xx)
        for (s64 n = 0; n < c.out_channels; ++n) {
          Sum sum = bias[static_cast<std::size_t>(n)];
          for (s64 tap = 0; tap < taps; ++tap) {
            const s64 in_y = y * c.stride + tap / c.kernel * c.dilation - c.pad;
            const s64 in_x = xx * c.stride + tap % c.kernel * c.dilation - c.pad;
            if (in_y < 0 || in_y >= c.side || in_x < 0 || in_x >= c.side) continue;
            const s64 group = n / (c.out_channels / c.group);
            const Element* pixel =
                x.data() + ((image * c.side + in_y) * c.side + in_x) * c.in_channels + group * channels;
            const Element* filter = w.data() + (n * taps + tap) * channels;
            for (s64 k = 0; k < channels; ++k) sum += (pixel[k] - zero_point) * filter[k];
          }
          out.push_back(sum);
        }
  return out;
}

}  // namespace whit::test
