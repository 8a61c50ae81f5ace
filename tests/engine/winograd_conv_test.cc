// conv by Winograd's transforms: which convolutions take it, and its results in f64's light, for every number of
// threads.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "conv_harness.h"
#include "kernels/winograd_support.h"

namespace whit {
namespace {

using namespace test;

/// The kernel's name without its level.
std::string body(const Convolution& c) {
  Random random(1);
  const std::vector<f32> x = random_reals(c.inputs(), random), w = random_reals(c.weights(), random);
  OperatorHarness op = harness(c, x, w);
  op.output(DType::f32);
  const Status status = op.prepare();
  INFO(status.message());
  REQUIRE(status.ok());
  const std::string kernel = op.op().kernel();
  return kernel.starts_with("winograd") ? kernel.substr(0, kernel.rfind('_')) : kernel.substr(0, kernel.find('_', 5));
}

TEST_CASE("which convolutions are transformed") {
  CHECK(body({1, 56, 64, 64}) == "winograd_f32_4x4");
  CHECK(body({1, 28, 128, 128}) == "winograd_f32_4x4");
  CHECK(body({1, 14, 256, 256}) == "winograd_f32_4x4");
  // Few tiles: half of the weights of 4x4.
  CHECK(body({1, 7, 256, 256}) == "winograd_f32_2x2");
  CHECK(body({8, 7, 256, 256}) == "winograd_f32_4x4");  // of eight images they are many
  // So few pixels that reading larger weights would take longer than the products.
  CHECK(body({1, 4, 256, 256}) == "gemm_f32");
  // So few channels that the transforms would.
  CHECK(body({1, 56, 16, 16}) == "winograd_f32_4x4");
  CHECK(body({1, 56, 8, 8}) == "gemm_f32");
  CHECK(body({1, 56, 64, 1}) == "gemm_f32");
  // What it cannot do.
  CHECK(body({1, 56, 64, 64, 2}) == "gemm_f32");
  CHECK(body({1, 56, 64, 64, 1, 2}) == "gemm_f32");
  CHECK(body({1, 56, 64, 64, 1, 1, 2}) == "gemm_f32");
  CHECK(body({1, 56, 64, 64, 1, 1, 1, 5}) == "gemm_f32");
  CHECK(body({1, 56, 64, 64, 1, 1, 1, 1}) == "gemm_f32");
  CHECK(body({1, 56, 16, 64, 1, 1, 1, 3, 1, std::vector<f32>(16, 0.5f)}) == "gemm_f32");
  CHECK(body({1, 56, 16, 64, 1, 1, 1, 3, 1, std::vector<f32>(16, 0.0f)}) == "winograd_f32_4x4");
}

/// Runs with bias, and with a residual and hard_swish, and compares with the convolution in f64.
void check(const Convolution& c, u32 seed) {
  CAPTURE(seed);
  Random random(seed);
  const std::vector<f32> x = random_reals(c.inputs(), random), w = random_reals(c.weights(), random);
  const std::vector<f32> bias = random_reals(c.out_channels, random);
  OperatorHarness op = harness(c, x, w);
  op.constant(Shape{c.out_channels}, bias).output(DType::f32);
  const std::vector<f32> plain = op.run<f32>(0, false);
  const std::string kernel = op.op().kernel();
  REQUIRE(kernel.starts_with("winograd_f32_"));
  const Winograd matrices(kernel.starts_with("winograd_f32_4x4") ? 4 : 2);

  // The largest that |A^T| (|G| |w| |G^T| . |B^T| |d| |B|) |A| can be with operands in [-1, 1].
  const std::vector<f64> d(matrices.size * matrices.size, 1.0), taps(9, 1.0);
  const std::vector<f64> inputs = matrices.inputs(d, true), filter = matrices.filter(taps, true);
  std::vector<f64> products;
  for (std::size_t e = 0; e < inputs.size(); ++e) products.push_back(inputs[e] * filter[e]);
  const std::vector<f64> outputs = matrices.outputs(products, true);
  const f64 channels = static_cast<f64>(c.in_channels);
  const f64 most = *std::max_element(outputs.begin(), outputs.end()) * channels + 1;
  const f64 bound = kEps * (channels + 20) * most;

  REQUIRE(op.shape() == (Shape{c.images, c.out_side(), c.out_side(), c.out_channels}));
  const std::vector<f64> wanted = sums<f64>(c, x, 0, w, bias);
  f64 worst = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) worst = std::max(worst, std::abs(plain[i] - wanted[i]));
  CHECK(worst <= bound);

  const std::vector<f32> residual = random_reals(static_cast<s64>(plain.size()), random);
  OperatorHarness active = harness(c, x, w);
  active.constant(Shape{c.out_channels}, bias).input(op.shape(), residual).output(DType::f32);
  active.set("activation", std::string("hard_swish")).set("clamp_max", 1.5f);
  const std::vector<f32> got = active.run<f32>(0, false);
  isize wrong = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const f32 t = plain[i] + residual[i];
    const f32 gate = std::min(std::max(t * (1.0f / 6) + 0.5f, 0.0f), 1.0f);
    wrong += got[i] != std::min(t * gate, 1.5f);
  }
  CHECK(wrong == 0);
}

TEST_CASE("results") {
  check({1, 13, 32, 40}, 1);  // tiles that end beyond the image
  check({3, 11, 24, 33}, 2);  // blocks that span images
  check({1, 33, 17, 21}, 3);  // channels that are no multiple of anything
  check({1, 66, 16, 17}, 4);  // more than one block
  check({1, 16, 72, 72}, 5);  // few tiles: threads share a block
  check({1, 8, 80, 96}, 6);   // tiles of 2
  check({2, 20, 20, 20, 1, 1, 1, 3, 0}, 7);
  check({1, 20, 20, 20, 1, 1, 1, 3, 2}, 8);
}

TEST_CASE("s8 weights give what their values in f32 give") {
  const Convolution c{1, 12, 32, 32};
  Random random(9);
  const std::vector<f32> x = random_reals(c.inputs(), random);
  const std::vector<s8> integers = random_integers<s8>(c.weights(), random, -127, 127);
  std::vector<f32> values;
  for (const s8 v : integers) values.push_back(static_cast<f32>(v) * 0.01f);
  OperatorHarness wanted = harness(c, x, values), op = harness(c, x, integers, {}, per_tensor(0.01f, 0));
  wanted.output(DType::f32), op.output(DType::f32);
  CHECK(op.run<f32>(0, false) == wanted.run<f32>(0, false));
  CHECK(std::string(op.op().kernel()).starts_with("winograd_f32_"));
}

}  // namespace
}  // namespace whit
