#include "ops/epilogue_params.h"

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/operator_harness.h"

namespace whit::ops {
namespace {

using whit::test::per_tensor;

constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();

/// x [1, 4] s8, w [3, 4] s8, bias, residual and y [1, 3], which a test changes before it asks.
struct Setup {
  Node node;
  std::vector<s8> weights = std::vector<s8>(12, 1);
  std::vector<s32> bias_values = std::vector<s32>(3);
  Tensor x, w, bias, residual, y;
  EpilogueParamsS8 params;

  Setup() {
    node.op = Op::gemm;
    node.attributes.set("activation", std::string());
    node.attributes.set("clamp_min", -kInfinity);
    node.attributes.set("clamp_max", kInfinity);
    x = tensor(DType::s8, {1, 4}, per_tensor(0.5f, 3));
    w = tensor(DType::s8, {3, 4}, {{0.1f, 0.2f, 0.4f}, {0, 0, 0}, 0});
    w.data = reinterpret_cast<const std::byte*>(weights.data());
    bias = tensor(DType::s32, {3}, {});
    bias.data = reinterpret_cast<const std::byte*>(bias_values.data());
    residual = tensor(DType::s8, {1, 3}, per_tensor(0.3f, -9));
    y = tensor(DType::s8, {1, 3}, per_tensor(0.25f, 20));
  }
  static Tensor tensor(DType dtype, Shape shape, Quantization quantization) {
    Tensor out;
    out.name = "t";
    out.dtype = dtype;
    out.shape = shape;
    out.quantization = std::move(quantization);
    return out;
  }
  Status fill() {
    const TensorInfo inputs[] = {{&x, x.shape}, {&w, w.shape}, {&bias, bias.shape}, {&residual, residual.shape}};
    return fill_epilogue(node, inputs, {&y, y.shape}, &params);
  }
};

TEST_CASE("s8 output in steps") {
  Setup s;
  s.node.attributes.set("activation", std::string("hard_swish"));
  s.node.attributes.set("clamp_min", -1.1f);
  s.node.attributes.set("clamp_max", 6.0f);
  REQUIRE(s.fill().ok());
  const s8 residual[3] = {};
  const EpilogueS8 e = s.params.at(reinterpret_cast<const std::byte*>(residual), 3);
  CHECK(e.output == EpilogueS8::Output::s8);
  CHECK(e.activation == Activation::hard_swish);
  for (int o = 0; o < 3; ++o) CHECK(e.scale[o] == 0.5f * s.w.quantization.scale[o] / 0.25f);
  CHECK(e.residual == residual);
  CHECK(e.residual_stride == 3);
  CHECK(e.residual_scale == static_cast<f32>(f64{0.3f} / 0.25));
  CHECK(e.residual_zero_point == -9);
  CHECK(e.hard_swish_alpha == static_cast<f32>(0.25 / 6));
  CHECK(e.clamp_min == -4.0f);  // -1.1 / 0.25 = -4.4
  CHECK(e.clamp_max == 24.0f);
  CHECK(e.zero_point == 20);
}

TEST_CASE("bounds are what s8 holds, rounded half to even") {
  Setup s;
  REQUIRE(s.fill().ok());
  CHECK(s.params.fields.clamp_min == -148.0f);
  CHECK(s.params.fields.clamp_max == 107.0f);
  s.node.attributes.set("clamp_min", 0.625f);  // 2.5 steps
  s.node.attributes.set("clamp_max", 0.875f);  // 3.5 steps
  REQUIRE(s.fill().ok());
  CHECK(s.params.fields.clamp_min == 2.0f);
  CHECK(s.params.fields.clamp_max == 4.0f);
  s.node.attributes.set("clamp_min", 1e30f);
  REQUIRE(s.fill().ok());
  CHECK(s.params.fields.clamp_min == 107.0f);
}

TEST_CASE("f32 output in real units") {
  Setup s;
  s.y = Setup::tensor(DType::f32, {1, 3}, {});
  s.node.attributes.set("clamp_min", 0.0f);
  s.w.quantization = per_tensor(0.1f, 0);
  REQUIRE(s.fill().ok());
  const EpilogueS8 e = s.params.at(nullptr, 0);
  CHECK(e.output == EpilogueS8::Output::f32);
  for (int o = 0; o < 3; ++o) CHECK(e.scale[o] == 0.5f * 0.1f);
  CHECK(e.hard_swish_alpha == static_cast<f32>(1.0 / 6));
  CHECK(e.clamp_min == 0.0f);
  CHECK(e.clamp_max == kInfinity);
  CHECK(e.residual_scale == 0.3f);
  CHECK(e.zero_point == 0);
}

TEST_CASE("what the kernels do not do is unsupported") {
  const auto code = [](const std::function<void(Setup&)>& change) {
    Setup s;
    change(s);
    return s.fill().code();
  };
  CHECK(code([](Setup&) {}) == Code::ok);
  CHECK(code([](Setup& s) { s.x.quantization = {}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.x.quantization = {{1, 1, 1, 1}, {0, 0, 0, 0}, 1}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.x.quantization.zero_point[0] = 200; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.w.quantization.zero_point[1] = 1; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.w.quantization.axis = 1; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.w.quantization.scale.pop_back(); }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.w.quantization = {}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.w.data = nullptr; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.w.dtype = DType::f32; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.weights[11] = -128; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.bias.dtype = DType::f32; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.bias.quantization = {{0.05f, 0.1f, 0.2f}, {0, 0, 0}, 0}; }) == Code::ok);
  CHECK(code([](Setup& s) { s.bias.quantization = {{0.05f, 0.1f, 0.3f}, {0, 0, 0}, 0}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.bias.quantization = {{0.05f, 0.1f, 0.2f}, {0, 1, 0}, 0}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.residual.quantization = {}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.residual.dtype = DType::f32; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.y.quantization = {}; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.y.dtype = DType::s32; }) == Code::unsupported);
  CHECK(code([](Setup& s) { s.y.quantization.scale[0] = 1e-42f, s.x.quantization.scale[0] = 1e30f; }) ==
        Code::unsupported);
}

TEST_CASE("weights of another axis and zero point are dequantised") {
  const std::vector<s8> q = {-128, 0, 1, 2, 3, 127, 4, 5};
  Tensor w = Setup::tensor(DType::s8, {2, 2, 2}, {{0.5f, 2.0f}, {0, 1}, 1});
  w.data = reinterpret_cast<const std::byte*>(q.data());
  Node node;
  node.op = Op::lstm;
  const TensorInfo info{&w, w.shape};
  CHECK(check_weights_f32(node, info, 1).ok());
  CHECK(!check_weights_f32(node, info, 0).ok());
  std::vector<f32> out(8);
  dequantize_weights(info, out.data());
  CHECK(out == std::vector<f32>{-64, 0, 0, 2, 1.5f, 63.5f, 6, 8});
}

}  // namespace
}  // namespace whit::ops
