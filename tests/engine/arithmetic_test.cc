// Operators of arithmetic by themselves: broadcasting, axes, quantisation, and attributes that a hostile file may hold.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/operator_harness.h"

namespace whit {
namespace {

using namespace whit::test;
using V = std::vector<s64>;
using F = std::vector<f32>;

constexpr s64 kMost = std::numeric_limits<s64>::max(), kLeast = std::numeric_limits<s64>::min();
constexpr f32 kInf = std::numeric_limits<f32>::infinity(), kNan = std::numeric_limits<f32>::quiet_NaN();

/// The multi-index of element `flat`.
V index_of(const Shape& shape, s64 flat) {
  V index(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = flat % shape[axis];
    flat /= shape[axis];
  }
  return index;
}

/// Where an operand of this shape is read for an element of a broadcast result.
std::size_t broadcast_index(const Shape& shape, const V& index) {
  s64 flat = 0;
  const int missing = static_cast<int>(index.size()) - shape.rank();
  for (int axis = 0; axis < shape.rank(); ++axis)
    flat = flat * shape[axis] + (shape[axis] == 1 ? 0 : index[static_cast<std::size_t>(axis + missing)]);
  return static_cast<std::size_t>(flat);
}

s8 to_s8(f64 t, s32 zero_point) { return static_cast<s8>(std::clamp(std::nearbyint(t) + zero_point, -128.0, 127.0)); }

// --- binary ---------------------------------------------------------------------------------------------------------

struct Pair {
  Shape a, b;
};

TEST_CASE("binary operators broadcast as numpy does") {
  Random random(1);
  const Pair pairs[] = {{{2, 5, 3, 7}, {2, 5, 3, 7}},
                        {{1, 9, 8, 16}, {16}},
                        {{2, 5, 4, 3}, {2, 1, 1, 3}},
                        {{3, 1, 4}, {2, 1}},
                        {{}, {2, 3}},
                        {{1}, {1, 1}},
                        {{4, 1, 6, 1}, {1, 5, 1, 7}},
                        {{2, 3, 1, 5, 1, 4}, {3, 6, 1, 2, 1}},
                        {{1, 40, 40, 3}, {1, 1, 1, 3}},
                        {{1, 1, 1, 30000}, {1}},
                        {{2, 200, 100}, {2, 200, 1}}};
  for (const Pair& pair : pairs)
    for (bool swapped : {false, true}) {
      const Shape &a = swapped ? pair.b : pair.a, &b = swapped ? pair.a : pair.b;
      const F x = random_reals(a.elements(), random), y = random_reals(b.elements(), random);
      OperatorHarness harness(Op::sub);
      harness.input(a, x).input(b, y).output(DType::f32);
      const F got = harness.run<f32>();
      REQUIRE(static_cast<s64>(got.size()) == harness.shape().elements());
      s64 wrong = 0;
      for (s64 i = 0; i < harness.shape().elements(); ++i) {
        const V index = index_of(harness.shape(), i);
        wrong += got[static_cast<std::size_t>(i)] != x[broadcast_index(a, index)] - y[broadcast_index(b, index)];
      }
      INFO(a.text(), " and ", b.text(), " give ", harness.shape().text());
      CHECK(wrong == 0);
    }
}

TEST_CASE("binary operators refuse shapes that do not broadcast, and types without a kernel") {
  const auto code = [](Op op, const Shape& a, const Shape& b) {
    OperatorHarness harness(op);
    harness.input(a, F(static_cast<std::size_t>(a.elements()))).input(b, F(static_cast<std::size_t>(b.elements())));
    harness.output(DType::f32);
    return harness.prepare().code();
  };
  CHECK(code(Op::add, {2, 3}, {3, 2}) == Code::shape);
  CHECK(code(Op::add, {2, 3}, {4}) == Code::shape);
  CHECK(code(Op::add, {2, 0}, {1}) == Code::shape);
  CHECK(code(Op::add, {2, 3}, {2, 1}) == Code::ok);

  const auto typed = [](Op op, DType output, Quantization y, f32 clamp_max = kInf) {
    OperatorHarness harness(op);
    harness.input(Shape{2}, std::vector<s8>{1, 2}, per_tensor(1, 0));
    harness.input(Shape{2}, std::vector<s8>{1, 2}, per_tensor(1, 0));
    harness.output(output, std::move(y));
    if (op == Op::add) harness.set("clamp_max", clamp_max);
    return harness.prepare().code();
  };
  CHECK(typed(Op::add, DType::s8, per_tensor(1, 0)) == Code::ok);
  CHECK(typed(Op::div, DType::s8, per_tensor(1, 0)) == Code::unsupported);
  CHECK(typed(Op::add, DType::f32, {}) == Code::unsupported);
  CHECK(typed(Op::add, DType::s8, {}) == Code::unsupported);
  CHECK(typed(Op::add, DType::s8, per_tensor(1, 128)) == Code::unsupported);
  CHECK(typed(Op::add, DType::s8, per_tensor(1e-44f, 0)) == Code::unsupported);
  CHECK(typed(Op::add, DType::s8, per_tensor(1, 0), kNan) == Code::unsupported);
  CHECK(typed(Op::add, DType::s8, {{1, 1}, {0, 0}, 0}) == Code::unsupported);
}

TEST_CASE("s8 add, sub and mul with three quantisations and a clamp in real units") {
  Random random(2);
  const Shape a{2, 5, 3, 6}, b{2, 1, 1, 6};
  const auto x = random_integers<s8>(a.elements(), random, -128, 127);
  const auto y = random_integers<s8>(b.elements(), random, -128, 127);
  for (Op op : {Op::add, Op::sub, Op::mul}) {
    OperatorHarness harness(op);
    harness.input(a, x, per_tensor(0.1f, 7))
        .input(b, y, per_tensor(0.05f, -20))
        .output(DType::s8, per_tensor(0.3f, -11));
    const bool clamps = op != Op::sub;
    if (clamps) harness.set("clamp_min", -2.0f).set("clamp_max", 6.0f);
    const std::vector<s8> got = harness.run<s8>();
    for (s64 i = 0; i < a.elements(); ++i) {
      const f64 u = (x[static_cast<std::size_t>(i)] - 7) * f64{0.1f};
      const f64 v = (y[broadcast_index(b, index_of(a, i))] + 20) * f64{0.05f};
      f64 real = op == Op::add ? u + v : op == Op::sub ? u - v : u * v;
      if (clamps) real = std::clamp(real, -2.0, 6.0);
      const f64 steps = real / f64{0.3f};
      const f64 q = std::clamp(steps - 11, -128.0, 127.0);
      CHECK(std::fabs(got[static_cast<std::size_t>(i)] - q) < 0.5001);
    }
  }
}

// --- unary ----------------------------------------------------------------------------------------------------------

TEST_CASE("s8 unary operators are tables of the f32 function") {
  std::vector<s8> x(256);
  for (int i = 0; i < 256; ++i) x[static_cast<std::size_t>(i)] = static_cast<s8>(i - 128);
  const auto check = [&](OperatorHarness& harness, f64 (*function)(f64)) {
    harness.input(Shape{4, 64}, x, per_tensor(0.05f, 10)).output(DType::s8, per_tensor(0.02f, -3));
    const std::vector<s8> got = harness.run<s8>();
    for (std::size_t i = 0; i < 256; ++i) {
      const f64 steps = function((x[i] - 10) * f64{0.05f}) / f64{0.02f};
      const f64 q = std::isnan(steps) ? -3 : std::clamp(steps - 3, -128.0, 127.0);
      INFO("x ", +x[i], " y ", +got[i]);
      CHECK(std::fabs(got[i] - q) < 0.5001);
    }
  };
  OperatorHarness clip(Op::clip), silu(Op::silu), gelu(Op::gelu), log(Op::log);
  clip.set("clamp_min", 0.0f).set("clamp_max", 1.5f);
  gelu.set("approximate", std::string("tanh"));
  check(clip, [](f64 v) { return std::clamp(v, 0.0, 1.5); });
  check(silu, [](f64 v) { return v / (1 + std::exp(-v)); });
  check(gelu, [](f64 v) { return 0.5 * v * (1 + std::tanh(0.7978845608 * (v + 0.044715 * v * v * v))); });
  check(log, [](f64 v) { return std::log(v); });
}

TEST_CASE("unary operators on f32, split between threads") {
  Random random(3);
  const F x = random_reals(70001, random, -4, 4);
  OperatorHarness tanh(Op::tanh), floor(Op::floor), elu(Op::elu);
  elu.set("alpha", 0.5f);
  const auto run = [&](OperatorHarness& harness) {
    return harness.input(Shape{70001}, x).output(DType::f32).run<f32>();
  };
  const F t = run(tanh), f = run(floor), e = run(elu);
  f64 worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, std::fabs(t[i] - std::tanh(f64{x[i]})));
    worst = std::max(worst, std::fabs(e[i] - (x[i] < 0 ? 0.5 * std::expm1(f64{x[i]}) : f64{x[i]})));
    worst = std::max(worst, std::fabs(f64{f[i]} - std::floor(x[i])));
  }
  CHECK(worst < 2e-7);
  OperatorHarness unknown(Op::gelu), not_a_number(Op::clip);
  unknown.set("approximate", std::string("sigmoid")).input(Shape{1}, F{1}).output(DType::f32);
  CHECK(unknown.prepare().code() == Code::unsupported);
  not_a_number.set("clamp_min", kNan).set("clamp_max", 1.0f).input(Shape{1}, F{1}).output(DType::f32);
  CHECK(not_a_number.prepare().code() == Code::unsupported);
}

// --- pools ----------------------------------------------------------------------------------------------------------

OperatorHarness max_pool(const Shape& x, V kernel, V strides, V dilations, V pads, s64 ceil_mode) {
  OperatorHarness harness(Op::max_pool);
  harness.set("kernel_shape", std::move(kernel)).set("strides", std::move(strides));
  harness.set("dilations", std::move(dilations)).set("pads", std::move(pads)).set("ceil_mode", ceil_mode);
  harness.input(x, counting<f32>(x.elements())).output(DType::f32);
  return harness;
}

TEST_CASE("pools over lines and images") {
  OperatorHarness line = max_pool({1, 6, 2}, {3}, {2}, {1}, {1, 1}, 1);
  CHECK(line.run<f32>() == F{2, 3, 6, 7, 10, 11, 10, 11});
  CHECK(line.shape() == Shape{1, 4, 2});
  OperatorHarness image = max_pool({1, 4, 4, 1}, {2, 3}, {2, 2}, {1, 1}, {0, 1, 0, 0}, 0);
  CHECK(image.run<f32>() == F{5, 7, 13, 15});

  OperatorHarness average(Op::average_pool);
  average.set("kernel_shape", V{3}).set("strides", V{2}).set("pads", V{1, 1}).set("ceil_mode", s64{1});
  average.set("count_include_pad", s64{1}).input(Shape{1, 6, 1}, F(6, 1.0f)).output(DType::f32);
  CHECK(average.run<f32>() == F{2.0f / 3.0f, 1, 1, 0.5f});  // the last window reaches beyond the padding

  OperatorHarness steps(Op::average_pool);
  steps.set("kernel_shape", V{2, 2}).set("strides", V{2, 2}).set("pads", V{0, 0, 1, 1}).set("ceil_mode", s64{0});
  steps.set("count_include_pad", s64{0}).output(DType::s8, per_tensor(0.25f, 3));
  steps.input(Shape{1, 3, 3, 1}, std::vector<s8>{1, 2, 3, 4, 5, 6, 7, 8, 9}, per_tensor(0.5f, 1));
  CHECK(steps.run<s8>() == std::vector<s8>{7, 10, 16, 19});  // means 2, 3.5, 6.5, 8 in steps of 0.5: ties to even
}

TEST_CASE("pools refuse impossible windows") {
  const Shape x{1, 5, 5, 2};
  const auto code = [&](V kernel, V strides, V dilations, V pads) {
    OperatorHarness harness =
        max_pool(x, std::move(kernel), std::move(strides), std::move(dilations), std::move(pads), 0);
    return harness.prepare().code();
  };
  CHECK(code({2, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}) == Code::ok);
  CHECK(code({2}, {1, 1}, {1, 1}, {0, 0, 0, 0}) == Code::shape);
  CHECK(code({2, 2}, {1, 1}, {1, 1}, {0, 0}) == Code::shape);
  CHECK(code({2, 2}, {1}, {1, 1}, {0, 0, 0, 0}) == Code::shape);
  CHECK(code({2, 2}, {1, 1}, {}, {0, 0, 0, 0}) == Code::shape);
  for (s64 bad : {s64{0}, s64{-1}, kMost, kLeast}) {
    CHECK(code({bad, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}) == Code::shape);
    CHECK(code({2, 2}, {1, bad}, {1, 1}, {0, 0, 0, 0}) == Code::shape);
    CHECK(code({2, 2}, {1, 1}, {bad, 1}, {0, 0, 0, 0}) == Code::shape);
    if (bad != 0) CHECK(code({2, 2}, {1, 1}, {1, 1}, {0, 0, 0, bad}) == Code::shape);
  }
  CHECK(code({2, 2}, {1, 1}, {1, 1}, {2, 0, 0, 0}) == Code::shape);
  CHECK(code({6, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}) == Code::shape);
  CHECK(code({1 << 12, 1 << 12}, {1, 1}, {1, 1}, {4000, 4000, 4000, 4000}) == Code::unsupported);
  CHECK(max_pool({5, 5}, {2}, {1}, {1}, {0, 0}, 0).prepare().code() == Code::shape);

  OperatorHarness requantising(Op::max_pool);
  requantising.set("kernel_shape", V{2}).set("strides", V{1}).set("dilations", V{1}).set("pads", V{0, 0});
  requantising.set("ceil_mode", s64{0}).input(Shape{1, 3, 1}, std::vector<s8>{1, 2, 3}, per_tensor(0.5f, 1));
  requantising.output(DType::s8, per_tensor(0.25f, 1));
  CHECK(requantising.prepare().code() == Code::unsupported);
}

// --- reductions -----------------------------------------------------------------------------------------------------

TEST_CASE("reductions over every set of axes") {
  Random random(4);
  for (const Shape& shape :
       {Shape{2, 3, 4, 5}, Shape{1, 7, 1, 70}, Shape{3, 1, 5, 1}, Shape{6, 2, 3, 2}, Shape{1, 40, 40, 9}}) {
    const F x = random_reals(shape.elements(), random);
    const auto q = random_integers<s8>(shape.elements(), random, -128, 127);
    for (u32 set = 1; set < 16; ++set)
      for (Op op : {Op::reduce_mean, Op::reduce_sum, Op::reduce_max, Op::reduce_min}) {
        V axes;
        Shape kept = shape;
        for (int axis = 0; axis < 4; ++axis)
          if (set >> axis & 1) axes.push_back(axis), kept[axis] = 1;
        const std::size_t outputs = static_cast<std::size_t>(kept.elements());
        std::vector<f64> wanted(outputs, op == Op::reduce_max ? -1e9 : op == Op::reduce_min ? 1e9 : 0), steps = wanted;
        for (s64 i = 0; i < shape.elements(); ++i) {
          const std::size_t from = static_cast<std::size_t>(i), to = broadcast_index(kept, index_of(shape, i));
          const auto fold = [&](f64& acc, f64 value) {
            acc = op == Op::reduce_max   ? std::max(acc, value)
                  : op == Op::reduce_min ? std::min(acc, value)
                                         : acc + value;
          };
          fold(wanted[to], x[from]);
          fold(steps[to], q[from]);
        }
        const f64 count = static_cast<f64>(shape.elements()) / static_cast<f64>(outputs);
        INFO("operator ", static_cast<int>(op), " of ", shape.text(), ", axes ", set);

        OperatorHarness harness(op);
        harness.set("axes", axes).set("keepdims", s64{1}).input(shape, x).output(DType::f32);
        const F got = harness.run<f32>();
        CHECK(harness.shape() == kept);
        f64 worst = 0;
        for (std::size_t i = 0; i < outputs; ++i)
          worst = std::max(worst, std::fabs(f64{got[i]} - (op == Op::reduce_mean ? wanted[i] / count : wanted[i])));
        CHECK(worst <= (op == Op::reduce_sum ? 1e-6 * count : op == Op::reduce_mean ? 1e-6 : 0));

        if (op == Op::reduce_sum) continue;
        OperatorHarness quantised(op);
        const bool mean = op == Op::reduce_mean;
        quantised.set("axes", axes).set("keepdims", s64{1}).input(shape, q, per_tensor(0.1f, 5));
        quantised.output(DType::s8, mean ? per_tensor(0.07f, -9) : per_tensor(0.1f, 5));
        const std::vector<s8> q_got = quantised.run<s8>();
        s64 wrong = 0;
        for (std::size_t i = 0; i < outputs; ++i) {
          if (mean) {
            const f32 factor = static_cast<f32>(f64{0.1f} / (f64{0.07f} * count));
            const f32 t = static_cast<f32>(steps[i] - 5 * count) * factor;
            wrong += q_got[i] != to_s8(t, -9);
          } else {
            wrong += q_got[i] != steps[i];
          }
        }
        CHECK(wrong == 0);
      }
  }
  OperatorHarness squeezed(Op::reduce_sum);
  squeezed.set("axes", V{0, 2}).set("keepdims", s64{0}).input(Shape{2, 3, 2}, counting<f32>(12)).output(DType::f32);
  CHECK(squeezed.run<f32>() == F{14, 22, 30});
  CHECK(squeezed.shape() == Shape{3});
}

TEST_CASE("axes out of range, repeated or missing") {
  const auto code = [](V axes, const Shape& shape) {
    OperatorHarness harness(Op::reduce_max);
    harness.set("axes", std::move(axes)).set("keepdims", s64{1});
    harness.input(shape, F(static_cast<std::size_t>(shape.elements()))).output(DType::f32);
    return harness.prepare().code();
  };
  CHECK(code({1}, {2, 3}) == Code::ok);
  for (V bad : {V{}, V{2}, V{-3}, V{1, 1}, V{1, -1}, V{kMost}, V{kLeast}}) CHECK(code(bad, {2, 3}) == Code::shape);
  CHECK(code({0}, {2, 0}) == Code::shape);
  for (Op op : {Op::softmax, Op::log_softmax, Op::arg_max, Op::layer_normalization})
    for (s64 axis : {s64{2}, s64{-3}, kMost, kLeast}) {
      OperatorHarness harness(op);
      harness.set("axis", axis).input(Shape{2, 3}, F(6));
      if (op == Op::arg_max) harness.set("keepdims", s64{1});
      if (op == Op::layer_normalization) harness.set("epsilon", 1e-5f).input(Shape{3}, F(3));
      harness.output(op == Op::arg_max ? DType::s32 : DType::f32);
      CHECK(harness.prepare().code() == Code::shape);
    }
}

TEST_CASE("arg_max along each axis") {
  const Shape shape{2, 3, 2};
  const F x{0, 5, 9, 5, 9, 1, 7, 7, 7, 8, 6, 8};
  const auto run = [&](s64 axis, s64 keepdims, const Shape& wanted) {
    OperatorHarness harness(Op::arg_max);
    harness.set("axis", axis).set("keepdims", keepdims).input(shape, x).output(DType::s32);
    const auto got = harness.run<s32>();
    CHECK(harness.shape() == wanted);
    return got;
  };
  using S = std::vector<s32>;
  CHECK(run(1, 0, {2, 2}) == S{1, 0, 0, 1});
  CHECK(run(-1, 1, {2, 3, 1}) == S{1, 0, 0, 0, 1, 1});
  CHECK(run(0, 0, {3, 2}) == S{1, 1, 0, 1, 0, 1});
}

TEST_CASE("softmax along each axis, split between threads") {
  Random random(5);
  const Shape shape{3, 50, 130};
  const F x = random_reals(shape.elements(), random, -5, 5);
  for (int axis = 0; axis < 3; ++axis)
    for (bool logarithm : {false, true}) {
      OperatorHarness harness(logarithm ? Op::log_softmax : Op::softmax);
      const F got = harness.set("axis", s64{axis}).input(shape, x).output(DType::f32).run<f32>();
      Shape kept = shape;
      kept[axis] = 1;
      std::vector<f64> sums(static_cast<std::size_t>(kept.elements()));
      for (s64 i = 0; i < shape.elements(); ++i)
        sums[broadcast_index(kept, index_of(shape, i))] += std::exp(f64{x[static_cast<std::size_t>(i)]});
      f64 worst = 0;
      for (s64 i = 0; i < shape.elements(); ++i) {
        const std::size_t at = static_cast<std::size_t>(i);
        const f64 wanted = f64{x[at]} - std::log(sums[broadcast_index(kept, index_of(shape, i))]);
        worst = std::max(worst, std::fabs(f64{got[at]} - (logarithm ? wanted : std::exp(wanted))));
      }
      INFO("axis ", axis, ", logarithm ", logarithm);
      CHECK(worst < 3e-6);
    }
}

TEST_CASE("layer_normalization over the last axes") {
  Random random(6);
  const Shape shape{5, 4, 6};
  const F x = random_reals(shape.elements(), random), scale = random_reals(24, random), bias = random_reals(24, random);
  OperatorHarness harness(Op::layer_normalization);
  harness.set("axis", s64{1}).set("epsilon", 1e-5f).input(shape, x).input(Shape{4, 6}, scale).input(Shape{4, 6}, bias);
  const F got = harness.output(DType::f32).run<f32>();
  f64 worst = 0;
  for (std::size_t r = 0; r < 5; ++r) {
    f64 mean = 0, variance = 0;
    for (std::size_t i = 0; i < 24; ++i) mean += x[r * 24 + i] / 24.0;
    for (std::size_t i = 0; i < 24; ++i) variance += (x[r * 24 + i] - mean) * (x[r * 24 + i] - mean) / 24.0;
    for (std::size_t i = 0; i < 24; ++i) {
      const f64 wanted = (x[r * 24 + i] - mean) / std::sqrt(variance + 1e-5) * scale[i] + bias[i];
      worst = std::max(worst, std::fabs(wanted - f64{got[r * 24 + i]}));
    }
  }
  CHECK(worst < 1e-6);
  OperatorHarness wrong(Op::layer_normalization);
  wrong.set("axis", s64{1}).set("epsilon", 1e-5f).input(shape, x).input(Shape{6, 4}, scale).output(DType::f32);
  CHECK(wrong.prepare().code() == Code::shape);
}

// --- conversions ----------------------------------------------------------------------------------------------------

TEST_CASE("quantize_linear and dequantize_linear per tensor and along each axis") {
  Random random(7);
  const Shape shape{3, 4, 5};
  const F x = random_reals(shape.elements(), random, -60, 60);
  for (int axis = -1; axis < 3; ++axis) {
    const std::size_t count = axis < 0 ? 1 : static_cast<std::size_t>(shape[axis]);
    Quantization quantization{random_reals(static_cast<s64>(count), random, 0.1f, 1),
                              random_integers<s32>(static_cast<s64>(count), random, -128, 127), axis};
    const auto channel = [&](s64 i) {
      return axis < 0 ? 0 : static_cast<std::size_t>(index_of(shape, i)[static_cast<std::size_t>(axis)]);
    };
    OperatorHarness forth(Op::quantize_linear), back(Op::dequantize_linear), bias(Op::dequantize_linear);
    const std::vector<s8> q = forth.input(shape, x).output(DType::s8, quantization).run<s8>();
    const F again = back.input(shape, q, quantization).output(DType::f32).run<f32>();
    const auto words = random_integers<s32>(shape.elements(), random, -1000000, 1000000);
    const F wide = bias.input(shape, words, quantization).output(DType::f32).run<f32>();
    INFO("axis ", axis);
    for (s64 i = 0; i < shape.elements(); ++i) {
      const std::size_t at = static_cast<std::size_t>(i), c = channel(i);
      const f32 scale = quantization.scale[c];
      const s32 zero_point = quantization.zero_point[c];
      CHECK(q[at] == to_s8(x[at] / scale, zero_point));
      CHECK(again[at] == static_cast<f32>(q[at] - zero_point) * scale);
      CHECK(wide[at] == static_cast<f32>(words[at] - zero_point) * scale);
    }
  }
  const auto code = [&](Quantization quantization) {
    OperatorHarness harness(Op::quantize_linear);
    return harness.input(shape, x).output(DType::s8, std::move(quantization)).prepare().code();
  };
  CHECK(code({}) == Code::unsupported);
  CHECK(code({{1}, {200}, -1}) == Code::unsupported);
  CHECK(code({{1, 1}, {0, 0}, -1}) == Code::unsupported);
  CHECK(code({{1, 1}, {0}, 0}) == Code::unsupported);
  CHECK(code({{1, 1}, {0, 0}, 0}) == Code::shape);
  CHECK(code({{1, 1, 1}, {0, 0, 0}, 3}) == Code::shape);
}

TEST_CASE("quantize_linear with a perm") {
  Random random(8);
  const auto check = [&](const Shape& shape, const std::vector<s64>& perm) {
    const F x = random_reals(shape.elements(), random, -20, 20);
    const Quantization q = per_tensor(0.11f, 9);
    OperatorHarness one(Op::quantize_linear), first(Op::quantize_linear), second(Op::transpose);
    const std::vector<s8> got = one.input(shape, x).set("perm", perm).output(DType::s8, q).run<s8>();
    const std::vector<s8> steps = first.input(shape, x).output(DType::s8, q).run<s8>();
    CHECK(got == second.input(shape, steps, q).set("perm", perm).output(DType::s8, q).run<s8>());
    CHECK(one.shape() == second.shape());
  };
  for (s64 channels = 1; channels <= 6; ++channels) check({2, channels, 150, 151}, {0, 2, 3, 1});
  check({2, 3, 70000}, {0, 2, 1});
  check({2, 3, 40, 50}, {0, 3, 2, 1});
  check({40, 50}, {1, 0});
}

TEST_CASE("requantize of u8") {
  std::vector<u8> x(70000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<u8>(i * 7);
  const Shape shape{70000};
  OperatorHarness bytes(Op::requantize), table(Op::requantize);
  const auto flipped = bytes.input(shape, x, per_tensor(0.3f, 128)).output(DType::s8, per_tensor(0.3f, 0)).run<s8>();
  CHECK(bytes.op().kernel() == std::string("flip_topmost_bit"));
  const auto looked_up = table.input(shape, x, per_tensor(0.3f, 200)).output(DType::s8, per_tensor(0.2f, 5)).run<s8>();
  CHECK(table.op().kernel() != std::string("flip_topmost_bit"));
  const f32 factor = static_cast<f32>(static_cast<f64>(0.3f) / static_cast<f64>(0.2f));
  isize wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    wrong += flipped[i] != static_cast<s8>(x[i] - 128);
    wrong += looked_up[i] != to_s8(static_cast<f32>(x[i] - 200) * factor, 5);
  }
  CHECK(wrong == 0);
  OperatorHarness none(Op::requantize), beyond(Op::requantize);
  CHECK(none.input(shape, x).output(DType::s8, per_tensor(1, 0)).prepare().code() == Code::unsupported);
  Quantization rows{std::vector<f32>(70000, 1), std::vector<s32>(70000, 0), 0};
  CHECK(beyond.input(shape, x, rows).output(DType::s8, per_tensor(1, 0)).prepare().code() == Code::unsupported);
}

TEST_CASE("requantize") {
  std::vector<s8> x(256);
  for (int i = 0; i < 256; ++i) x[static_cast<std::size_t>(i)] = static_cast<s8>(i - 128);
  OperatorHarness harness(Op::requantize);
  harness.input(Shape{256}, x, per_tensor(0.05f, 10)).output(DType::s8, per_tensor(0.02f, -3));
  const std::vector<s8> got = harness.run<s8>();
  const f32 factor = 0.05f / 0.02f;
  for (std::size_t i = 0; i < 256; ++i) CHECK(got[i] == to_s8(static_cast<f32>(x[i] - 10) * factor, -3));
}

TEST_CASE("cast") {
  OperatorHarness floats(Op::cast), same(Op::cast), unknown(Op::cast);
  floats.input(Shape{6}, F{1.9f, -1.9f, 300, -300, kNan, -kInf}).output(DType::s8);
  CHECK(floats.run<s8>() == std::vector<s8>{1, -1, 127, -128, 0, -128});
  same.input(Shape{2}, F{1, 2}).output(DType::f32);
  CHECK(same.prepare().ok());
  CHECK(same.op().is_view());
  unknown.input(Shape{2}, F{1, 2}).output(DType::f16);
  CHECK(unknown.prepare().code() == Code::unsupported);
}

}  // namespace
}  // namespace whit
