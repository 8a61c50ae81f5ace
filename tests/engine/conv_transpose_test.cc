#include "engine/operator_harness.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace whit {
namespace {

using namespace whit::test;

constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();

struct Problem {
  s64 images, in_h, in_w, in_channels, out_channels, group;
  s64 kernel[2], stride[2], dilation[2], pads[4], more[2];
  s64 out(int axis) const {
    const s64 in = axis == 0 ? in_h : in_w;
    return stride[axis] * (in - 1) + more[axis] + (kernel[axis] - 1) * dilation[axis] + 1 - pads[axis] - pads[axis + 2];
  }
  Shape x() const { return {images, in_h, in_w, in_channels}; }
  Shape w() const { return {out_channels, kernel[0], kernel[1], in_channels / group}; }
  OperatorHarness harness() const {
    OperatorHarness harness(Op::conv_transpose);
    harness.set("strides", std::vector<s64>(stride, stride + 2))
        .set("dilations", std::vector<s64>(dilation, dilation + 2));
    harness.set("pads", std::vector<s64>(pads, pads + 4)).set("output_padding", std::vector<s64>(more, more + 2));
    harness.set("group", group);
    return harness;
  }
};

/// ONNX's definition: every input pixel adds to the outputs that its taps reach.
template <class T, class Sum>
std::vector<Sum> scatter(const Problem& p, const std::vector<T>& x, const std::vector<T>& w, T zero_point,
                         const std::vector<Sum>& bias) {
  const s64 out_h = p.out(0), out_w = p.out(1), n = p.out_channels / p.group, k = p.in_channels / p.group;
  std::vector<Sum> out(static_cast<std::size_t>(p.images * out_h * out_w * p.out_channels));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = bias[i % static_cast<std::size_t>(p.out_channels)];
  for (s64 image = 0; image < p.images; ++image)
    for (s64 iy = 0; iy < p.in_h; ++iy)
      for (s64 ix = 0; ix < p.in_w; ++ix)
        for (s64 ky = 0; ky < p.kernel[0]; ++ky)
          for (s64 kx = 0; kx < p.kernel[1]; ++kx) {
            const s64 oy = iy * p.stride[0] + ky * p.dilation[0] - p.pads[0];
            const s64 ox = ix * p.stride[1] + kx * p.dilation[1] - p.pads[1];
            if (oy < 0 || oy >= out_h || ox < 0 || ox >= out_w) continue;
            for (s64 o = 0; o < p.out_channels; ++o)
              for (s64 c = 0; c < k; ++c) {
                const s64 channel = o / n * k + c;
                const T value =
                    x[static_cast<std::size_t>(((image * p.in_h + iy) * p.in_w + ix) * p.in_channels + channel)];
                const T weight = w[static_cast<std::size_t>(((o * p.kernel[0] + ky) * p.kernel[1] + kx) * k + c)];
                out[static_cast<std::size_t>(((image * out_h + oy) * out_w + ox) * p.out_channels + o)] +=
                    (static_cast<Sum>(value) - static_cast<Sum>(zero_point)) * static_cast<Sum>(weight);
              }
          }
  return out;
}

const Problem kProblems[] = {
    {1, 3, 4, 5, 7, 1, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}},    // in place
    {2, 5, 4, 24, 33, 1, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}},  // several panels
    {1, 4, 5, 6, 8, 1, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {1, 1}},    // uneven residues
    {1, 4, 4, 8, 4, 1, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {0, 0}},    //
    {1, 3, 3, 4, 3, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0, 0}},    // stride 1
    {1, 3, 4, 3, 5, 1, {2, 1}, {3, 2}, {1, 1}, {0, 0, 0, 0}, {1, 1}},    // residues without taps
    {1, 4, 3, 2, 4, 2, {3, 2}, {2, 3}, {2, 3}, {1, 2, 0, 1}, {1, 2}},    // dilation, groups
    {2, 3, 5, 6, 6, 6, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {1, 1}},    // depthwise
    {1, 1, 1, 4, 9, 1, {5, 5}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {0, 0}},    // one pixel to 5 x 5
    {1, 1, 6, 16, 40, 1, {1, 4}, {1, 2}, {1, 1}, {0, 1, 0, 1}, {0, 0}},  // one row: threads split channels
    {1, 2, 2, 3, 2, 1, {3, 3}, {2, 2}, {1, 1}, {2, 2, 2, 2}, {1, 1}},    // pads that cut whole rows
};

TEST_CASE("f32 against the scattered sum") {
  Random random(1);
  for (const Problem& p : kProblems) {
    CAPTURE(&p - kProblems);
    const auto x = random_reals(p.x().elements(), random), w = random_reals(p.w().elements(), random);
    const auto bias = random_reals(p.out_channels, random);
    const auto wanted = scatter<f32, f64>(p, x, w, 0, {bias.begin(), bias.end()});
    OperatorHarness harness = p.harness();
    harness.set("clamp_min", -1.5f).input(p.x(), x).constant(p.w(), w).constant({p.out_channels}, bias);
    harness.output(DType::f32);
    const auto got = harness.run<f32>(0, false);
    CHECK(harness.shape() == Shape{p.images, p.out(0), p.out(1), p.out_channels});
    REQUIRE(got.size() == wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - std::max(wanted[i], -1.5)) < 1e-4);
  }
}

TEST_CASE("s8 weights with f32 activations are dequantised") {
  Random random(2);
  const Problem& p = kProblems[2];
  const auto x = random_reals(p.x().elements(), random);
  const auto w = random_integers<s8>(p.w().elements(), random, -128, 127);
  const auto scale = random_reals(p.out_channels, random, 0.001f, 0.02f);
  std::vector<f32> real(w.size());
  const std::size_t per_channel = w.size() / scale.size();
  for (std::size_t i = 0; i < w.size(); ++i) real[i] = static_cast<f32>(w[i]) * scale[i / per_channel];
  const std::vector<s32> zeros(scale.size());
  OperatorHarness small = p.harness(), large = p.harness();
  small.input(p.x(), x).constant(p.w(), w, {scale, zeros, 0}).output(DType::f32);
  large.input(p.x(), x).constant(p.w(), real).output(DType::f32);
  CHECK(small.run<f32>(0, false) == large.run<f32>(0, false));
}

/// epilogue.h, in the units of the output's step.
f32 scaled(s32 sum, f32 x_scale, f32 w_scale, f32 y_scale) {
  return static_cast<f32>(sum) * (x_scale * w_scale / y_scale);
}

TEST_CASE("s8 to s8 and to f32, exact") {
  Random random(3);
  for (const Problem& p : kProblems) {
    CAPTURE(&p - kProblems);
    const f32 x_scale = 0.05f, y_scale = 0.09f;
    const s32 x_zero = -11, y_zero = 7;
    const auto x = random_integers<s8>(p.x().elements(), random, -128, 127);
    const auto w = random_integers<s8>(p.w().elements(), random, -127, 127);
    const auto bias = random_integers<s32>(p.out_channels, random, -2000, 2000);
    const auto w_scale = random_reals(p.out_channels, random, 0.0005f, 0.004f);
    const auto sums = scatter<s8, s32>(p, x, w, static_cast<s8>(x_zero), bias);
    const auto add_inputs = [&](OperatorHarness& harness) {
      harness.input(p.x(), x, per_tensor(x_scale, x_zero));
      harness.constant(p.w(), w, {w_scale, std::vector<s32>(w_scale.size()), 0});
      harness.constant({p.out_channels}, bias);
    };
    OperatorHarness to_s8 = p.harness(), to_f32 = p.harness();
    to_s8.set("clamp_min", 0.0f).set("clamp_max", 6.0f);
    add_inputs(to_s8);
    add_inputs(to_f32);
    const auto got = to_s8.output(DType::s8, per_tensor(y_scale, y_zero)).run<s8>();
    const auto real = to_f32.output(DType::f32).run<f32>();
    REQUIRE(got.size() == sums.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const f32 scale = w_scale[i % w_scale.size()];
      const f32 steps = std::clamp(scaled(sums[i], x_scale, scale, y_scale), 0.0f, 67.0f);  // 6 / 0.09 = 66.7
      CHECK(int{got[i]} == static_cast<int>(std::nearbyint(steps)) + y_zero);
      CHECK(real[i] == scaled(sums[i], x_scale, scale, 1));
    }
  }
}

TEST_CASE("hard_swish") {
  Random random(4);
  const Problem& p = kProblems[0];
  const auto x = random_reals(p.x().elements(), random, -3, 3), w = random_reals(p.w().elements(), random);
  const auto sums = scatter<f32, f64>(p, x, w, 0, std::vector<f64>(static_cast<std::size_t>(p.out_channels)));
  OperatorHarness harness = p.harness();
  harness.set("activation", std::string("hard_swish")).input(p.x(), x).constant(p.w(), w).output(DType::f32);
  const auto got = harness.run<f32>(0, false);
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(std::abs(got[i] - sums[i] * std::clamp(sums[i] / 6 + 0.5, 0.0, 1.0)) < 1e-4);
}

TEST_CASE("1-D") {
  Random random(5);
  const Problem p{2, 1, 7, 4, 6, 1, {1, 4}, {1, 3}, {1, 1}, {0, 1, 0, 1}, {0, 1}};
  const auto x = random_reals(p.x().elements(), random), w = random_reals(p.w().elements(), random);
  const auto wanted = scatter<f32, f64>(p, x, w, 0, std::vector<f64>(6));
  OperatorHarness harness(Op::conv_transpose);
  harness.set("strides", std::vector<s64>{3}).set("dilations", std::vector<s64>{1}).set("pads", std::vector<s64>{1, 1});
  harness.set("output_padding", std::vector<s64>{1}).set("group", s64{1});
  harness.input({2, 7, 4}, x).constant({6, 4, 4}, w).output(DType::f32);
  const auto got = harness.run<f32>(0, false);
  CHECK(harness.shape() == Shape{2, p.out(1), 6});
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) < 1e-4);
}

TEST_CASE("what cannot be computed is refused") {
  const std::vector<f32> x(1 * 3 * 3 * 4), w(2 * 2 * 2 * 4);
  const auto status = [&](const std::function<void(OperatorHarness&)>& change) {
    Problem p{1, 3, 3, 4, 2, 1, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}};
    OperatorHarness harness = p.harness();
    harness.input({1, 3, 3, 4}, x).constant({2, 2, 2, 4}, w).output(DType::f32);
    change(harness);
    return harness.prepare().code();
  };
  using V = std::vector<s64>;
  CHECK(status([](auto&) {}) == Code::ok);
  CHECK(status([](auto& h) { h.set("strides", V{2}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("strides", V{0, 2}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("strides", V{2, std::numeric_limits<s64>::max()}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("strides", V{5000, 5000}); }) == Code::unsupported);
  CHECK(status([](auto& h) { h.set("dilations", V{-1, 1}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("pads", V{0, 0, 0, -1}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("pads", V{3, 0, 3, 0}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("output_padding", V{-1, 0}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("group", s64{3}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("group", s64{0}); }) == Code::shape);
  CHECK(status([](auto& h) { h.set("activation", std::string("relu")); }) == Code::unsupported);
  CHECK(status([](auto& h) { h.set("clamp_min", std::nanf("")); }) == Code::unsupported);
  CHECK(status([](auto& h) { h.set("clamp_min", -kInfinity); }) == Code::ok);
  CHECK(status([](auto& h) { h.constant({3}, std::vector<f32>(3)); }) == Code::shape);
  CHECK(status([](auto& h) { h.input({2}, std::vector<f32>(2)); }) == Code::unsupported);
}

}  // namespace
}  // namespace whit
