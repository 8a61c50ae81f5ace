// conv with groups, strides and dilations, by every body but Winograd's, against the sums of all taps.

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "conv_harness.h"

namespace whit {
namespace {

using namespace test;

const Convolution kConvolutions[] = {
    {2, 9, 12, 6, 1, 1, 3, 3, 1},    // patches of groups
    {1, 11, 3, 5, 2, 1, 1, 5, 2},    // patches that are rows of memory
    {1, 36, 3, 20, 2, 1, 1, 3, 1},   // and mostly read in place
    {1, 10, 4, 7, 1, 2, 1, 3, 2},    // and whose taps lie apart
    {1, 9, 24, 10, 2, 1, 2, 3, 1},   // tap by tap, of groups
    {2, 11, 16, 5, 1, 2, 1, 3, 2},   // of several images
    {2, 6, 24, 10, 1, 1, 2, 1, 0},   // pixel by pixel, of groups
    {3, 5, 17, 19, 1, 1, 1, 1, 0},   // of several images
    {2, 9, 6, 6, 2, 2, 6, 3, 2},     // depthwise
    {1, 12, 33, 33, 1, 1, 33, 5, 2}  // and without dilation
};

TEST_CASE("s8") {
  Random random(1);
  for (const Convolution& c : kConvolutions) {
    CAPTURE(&c - kConvolutions);
    const s32 zero_point = static_cast<s32>(random.integer(-128, 127));
    const std::vector<s8> x = random_integers<s8>(c.inputs(), random, -128, 127);
    const std::vector<s8> w = random_integers<s8>(c.weights(), random, -127, 127);
    const std::vector<s32> bias = random_integers<s32>(c.out_channels, random, -100000, 100000);
    OperatorHarness op = harness(c, x, w, per_tensor(0.02f, zero_point), per_tensor(0.01f, 0));
    op.constant(Shape{c.out_channels}, bias).output(DType::f32);
    std::vector<f32> wanted;
    for (const s32 sum : sums<s32>(c, x, zero_point, w, bias))
      wanted.push_back(static_cast<f32>(sum) * (0.02f * 0.01f));
    CHECK(op.run<f32>() == wanted);
  }
}

TEST_CASE("f32, of integers, whose sums are exact in any order") {
  Random random(2);
  const auto integers = [&](s64 count, s64 most) {
    const std::vector<s8> values = random_integers<s8>(count, random, -most, most);
    return std::vector<f32>(values.begin(), values.end());
  };
  for (const Convolution& c : kConvolutions) {
    CAPTURE(&c - kConvolutions);
    const std::vector<f32> x = integers(c.inputs(), 100), w = integers(c.weights(), 100);
    const std::vector<f32> bias = integers(c.out_channels, 127);
    OperatorHarness op = harness(c, x, w);
    op.constant(Shape{c.out_channels}, bias).output(DType::f32);
    CHECK(op.run<f32>() == sums<f32>(c, x, 0, w, bias));
  }
}

}  // namespace
}  // namespace whit
