// The gathering of patches, against a loop over taps, in buffers that end at guard pages.

#include "ops/patch_conv.h"

#include <doctest/doctest.h>

#include "kernels/test_support.h"

namespace whit {
namespace {

using ops::ConvGeometry;
using ops::Patches;
using test::Guarded;

template <class Element>
isize wrong_values(test::Random& random, const ConvGeometry& g) {
  const isize channels = g.in_channels / g.group, k = g.taps() * channels, stride = k + random.integer(0, 5);
  Guarded<Element> x(g.in_pixels() * g.in_channels), padding(g.kernel_w * g.in_channels);
  Guarded<Element> out(g.out_pixels() * stride + Patches<Element>::kSlack / static_cast<isize>(sizeof(Element)));
  for (isize i = 0; i < x.size(); ++i) x[i] = static_cast<Element>(random.integer(-128, 127));
  for (isize i = 0; i < padding.size(); ++i)
    padding[i] = i < g.in_channels ? static_cast<Element>(random.integer(-128, 127)) : padding[i - g.in_channels];
  const Patches<Element> patches(g, stride);
  isize wrong = 0;
  for (isize group = 0; group < g.group; ++group) {
    const isize channel = group * channels, first = random.integer(0, g.out_pixels() - 1);
    const isize count = random.integer(1, g.out_pixels() - first);
    patches.gather(x.data() + channel, x.data() + x.size(), padding.data() + channel, first, count, out.data());
    for (isize pixel = 0; pixel < count; ++pixel)
      for (isize i = 0; i < k; ++i) {
        const isize tap = i / channels, c = channel + i % channels;
        const isize row = (first + pixel) / g.out_w * g.stride_h + tap / g.kernel_w * g.dilation_h - g.pad_top;
        const isize column = (first + pixel) % g.out_w * g.stride_w + tap % g.kernel_w * g.dilation_w - g.pad_left;
        const bool inside = row >= 0 && row < g.in_h && column >= 0 && column < g.in_w;
        const Element wanted = inside ? x[(row * g.in_w + column) * g.in_channels + c] : padding[c];
        wrong += out[pixel * stride + i] != wanted;
      }
  }
  return wrong;
}

TEST_CASE("patches of any geometry") {
  test::Random random(1);
  int checked = 0;
  while (checked < 1500) {
    ConvGeometry g{};
    g.images = 1;
    g.group = random.integer(0, 3) == 0 ? 2 : 1;
    g.in_h = random.integer(1, 14), g.in_w = random.integer(1, 14), g.in_channels = random.integer(1, 7) * g.group;
    g.kernel_h = random.integer(1, 7), g.kernel_w = random.integer(1, 7);
    g.stride_h = random.integer(1, 3), g.stride_w = random.integer(1, 3);
    g.dilation_h = random.integer(0, 3) == 0 ? 2 : 1, g.dilation_w = random.integer(0, 3) == 0 ? 2 : 1;
    g.pad_top = random.integer(0, 4), g.pad_left = random.integer(0, 9);
    g.pad_bottom = random.integer(0, 4), g.pad_right = random.integer(0, 4);
    const isize down = g.in_h + g.pad_top + g.pad_bottom - (g.dilation_h * (g.kernel_h - 1) + 1);
    const isize across = g.in_w + g.pad_left + g.pad_right - (g.dilation_w * (g.kernel_w - 1) + 1);
    if (down < 0 || across < 0) continue;
    g.out_h = down / g.stride_h + 1, g.out_w = across / g.stride_w + 1;
    INFO(g.in_h, "x", g.in_w, "x", g.in_channels, ", kernel ", g.kernel_h, "x", g.kernel_w, ", groups ", g.group);
    CHECK(wrong_values<s8>(random, g) == 0);
    CHECK(wrong_values<f32>(random, g) == 0);
    ++checked;
  }
}

}  // namespace
}  // namespace whit
