// f32 conv over few channels, most of whose windows are multiplied where they are: which convolutions those are, and
// the bits of the sum in order, in buffers that end at guard pages.

#include "ops/row_conv.h"

#include <doctest/doctest.h>

#include <string>

#include "kernels/f32_support.h"
#include "operator_harness.h"

namespace whit {
namespace {

using namespace test;
using ops::ConvGeometry;
using ops::InsideRange;
using ops::RowConv;

isize outputs(isize in, isize pads, isize kernel, isize stride, isize dilation) {
  return (in + pads - dilation * (kernel - 1) - 1) / stride + 1;
}

/// A first layer: same padding, stride 2.
ConvGeometry first_layer(isize side, isize channels, isize kernel) {
  ConvGeometry g{};
  g.images = g.group = g.dilation_h = g.dilation_w = 1;
  g.in_h = g.in_w = side, g.in_channels = channels, g.out_channels = 32;
  g.kernel_h = g.kernel_w = kernel, g.stride_h = g.stride_w = 2;
  g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = kernel / 2;
  g.out_h = g.out_w = outputs(side, 2 * (kernel / 2), kernel, 2, 1);
  return g;
}

TEST_CASE("which convolutions are read in place") {
  CHECK(RowConv::suits(first_layer(224, 3, 3)));
  CHECK(RowConv::suits(first_layer(224, 3, 7)));
  CHECK(RowConv::suits(first_layer(96, 1, 7)));
  CHECK_FALSE(RowConv::suits(first_layer(96, 1, 3)));   // rows of 3 floats
  CHECK_FALSE(RowConv::suits(first_layer(224, 8, 3)));  // tap by tap
  CHECK_FALSE(RowConv::suits(first_layer(224, 3, 1)));
  CHECK_FALSE(RowConv::suits(first_layer(28, 3, 3)));  // mostly border, for several threads
  const auto suits_with = [](const auto& change) {
    ConvGeometry g = first_layer(224, 3, 3);
    change(g);
    return RowConv::suits(g);
  };
  CHECK(suits_with([](ConvGeometry& g) { g.dilation_h = 2; }));
  CHECK_FALSE(suits_with([](ConvGeometry& g) { g.dilation_w = 2; }));
  CHECK_FALSE(suits_with([](ConvGeometry& g) { g.in_channels = 6, g.group = 2; }));
  CHECK_FALSE(suits_with([](ConvGeometry& g) { g.in_h = g.kernel_h = g.out_h = 1, g.pad_top = 0; }));
  CHECK_FALSE(suits_with([](ConvGeometry& g) { g.in_h = g.in_w = 40000; }));  // beyond offsets of 32 bits
}

TEST_CASE("the range inside is that of a loop over outputs") {
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    const isize in = random.integer(1, 20), pad = random.integer(0, 12), kernel = random.integer(1, 7);
    const isize stride = random.integer(1, 4), dilation = random.integer(1, 3), all = pad + random.integer(0, 12);
    if (in + all < dilation * (kernel - 1) + 1) continue;
    const isize out = outputs(in, all, kernel, stride, dilation);
    const InsideRange range(in, out, pad, kernel, stride, dilation);
    INFO("in ", in, " pad ", pad, " kernel ", kernel, " stride ", stride, " dilation ", dilation, " out ", out);
    CHECK(range.begin >= 0);
    CHECK(range.begin <= range.end);
    CHECK(range.end <= out);
    for (isize o = 0; o < out; ++o) {
      const isize first = o * stride - pad, last = first + dilation * (kernel - 1);
      CHECK((first >= 0 && last < in) == (o >= range.begin && o < range.end));
    }
  }
}

void check(u32 seed) {
  Random random(seed);
  ConvGeometry g{};
  g.images = random.integer(1, 2), g.group = g.dilation_w = 1;
  g.kernel_h = random.integer(1, 7), g.kernel_w = random.integer(2, 7);
  g.stride_h = random.integer(1, 3), g.stride_w = random.integer(1, 3);
  g.dilation_h = coin(random) ? 1 : 2;
  g.pad_top = random.integer(0, 4), g.pad_left = random.integer(0, 9);
  g.pad_bottom = random.integer(0, 4), g.pad_right = random.integer(0, 4);
  g.in_h = 16 * g.stride_h + g.dilation_h * g.kernel_h + random.integer(0, 3);
  g.in_w = 16 * g.stride_w + g.kernel_w + random.integer(0, 9);
  g.in_channels = random.integer(ceil_div(6, g.kernel_w), 7), g.out_channels = random.integer(1, 40);
  g.out_h = outputs(g.in_h, g.pad_top + g.pad_bottom, g.kernel_h, g.stride_h, g.dilation_h);
  g.out_w = outputs(g.in_w, g.pad_left + g.pad_right, g.kernel_w, g.stride_w, 1);
  CAPTURE(seed);
  REQUIRE(RowConv::suits(g));

  const Shape out_shape{g.images, g.out_h, g.out_w, g.out_channels};
  const std::vector<f32> x = random_reals(g.images * g.in_pixels() * g.in_channels, random);
  const std::vector<f32> w = random_reals(g.out_channels * g.taps() * g.in_channels, random);
  const std::vector<f32> bias = random_reals(g.out_channels, random);
  const std::vector<f32> residual = random_reals(out_shape.elements(), random);
  const std::vector<f32> pad_values =
      coin(random) ? random_reals(g.in_channels, random) : std::vector<f32>(static_cast<std::size_t>(g.in_channels));
  EpilogueF32 e = random_epilogue(random);
  OperatorHarness op(Op::conv);
  op.set("strides", std::vector<s64>{g.stride_h, g.stride_w})
      .set("dilations", std::vector<s64>{g.dilation_h, 1})
      .set("pads", std::vector<s64>{g.pad_top, g.pad_left, g.pad_bottom, g.pad_right})
      .set("group", s64{1})
      .set("pad_values", pad_values)
      .set("activation", std::string(e.activation == Activation::hard_swish ? "hard_swish" : ""))
      .set("clamp_min", e.clamp_min)
      .set("clamp_max", e.clamp_max)
      .input(Shape{g.images, g.in_h, g.in_w, g.in_channels}, x)
      .constant(Shape{g.out_channels, g.kernel_h, g.kernel_w, g.in_channels}, w)
      .constant(Shape{g.out_channels}, bias);
  if (coin(random)) {
    op.input(out_shape, residual);
    e.residual = residual.data();
  }
  op.output(DType::f32);
  const std::vector<f32> got = op.run<f32>(0, false);

  const Isa isa = runnable_isa().has(Isa::neon) || runnable_isa().has(Isa::neon32) || runnable_isa().has(Isa::avx2)
                      ? Isa::avx2  // any level that fuses
                      : Isa::scalar;
  std::size_t at = 0;
  isize wrong = 0;
  for (isize pixel = 0; pixel < g.images * g.out_pixels(); ++pixel) {
    const f32* image = x.data() + pixel / g.out_pixels() * g.in_pixels() * g.in_channels;
    const isize top = pixel % g.out_pixels() / g.out_w * g.stride_h - g.pad_top;
    const isize left = pixel % g.out_w * g.stride_w - g.pad_left;
    for (isize n = 0; n < g.out_channels; ++n, ++at) {
      f32 acc = bias[static_cast<std::size_t>(n)];
      const f32* weight = w.data() + n * g.taps() * g.in_channels;
      for (isize tap = 0; tap < g.taps(); ++tap) {
        const isize row = top + tap / g.kernel_w * g.dilation_h, column = left + tap % g.kernel_w;
        const bool inside = row >= 0 && row < g.in_h && column >= 0 && column < g.in_w;
        const f32* in = inside ? image + (row * g.in_w + column) * g.in_channels : pad_values.data();
        for (isize c = 0; c < g.in_channels; ++c) acc = multiply_add(isa, in[c], *weight++, acc);
      }
      wrong += bits(got[at]) != bits(epilogue(e, acc, residual[at]));
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("sums in the order of taps and channels, to the bit") {
  for (u32 seed = 100; seed < 160; ++seed) check(seed);
}

}  // namespace
}  // namespace whit
