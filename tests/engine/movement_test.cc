#include "engine/operator_harness.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace whit {
namespace {

using namespace whit::test;
using V = std::vector<s64>;
using F = std::vector<f32>;

constexpr s64 kMost = std::numeric_limits<s64>::max(), kLeast = std::numeric_limits<s64>::min();

OperatorHarness unary(Op op, const Shape& shape) {
  OperatorHarness harness(op);
  harness.input(shape, counting<f32>(shape.elements())).output(DType::f32);
  return harness;
}

TEST_CASE("views") {
  const auto shape_of = [](Op op, const Shape& in, const char* attribute, V value) {
    OperatorHarness harness = unary(op, in);
    harness.set(attribute, std::move(value));
    const Status status = harness.prepare();
    if (!status.ok()) return Shape{-1};
    CHECK(harness.op().is_view());
    CHECK(harness.run<f32>() == counting<f32>(in.elements()));
    return harness.shape();
  };
  const Shape bad{-1};
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {6, 4}) == Shape{6, 4});
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {0, -1}) == Shape{2, 12});
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {-1}) == Shape{24});
  CHECK(shape_of(Op::reshape, {1, 1}, "shape", {}) == Shape{});
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {5, -1}) == bad);
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {-1, -1}) == bad);
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {2, 3, 4, 0}) == bad);
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {-2, -12}) == bad);
  CHECK(shape_of(Op::reshape, {2, 3, 4}, "shape", {s64{1} << 32, s64{1} << 32, -1}) == bad);
  CHECK(shape_of(Op::reshape, {1}, "shape", V(9, 1)) == bad);
  CHECK(shape_of(Op::squeeze, {1, 3, 1}, "axes", {0}) == Shape{3, 1});
  CHECK(shape_of(Op::squeeze, {1, 3, 1}, "axes", {-1, 0}) == Shape{3});
  CHECK(shape_of(Op::squeeze, {1, 3, 1}, "axes", {}) == Shape{3});
  CHECK(shape_of(Op::squeeze, {1, 3, 1}, "axes", {1}) == bad);
  CHECK(shape_of(Op::squeeze, {1, 3, 1}, "axes", {0, -3}) == bad);
  CHECK(shape_of(Op::squeeze, {1, 3, 1}, "axes", {3}) == bad);
  CHECK(shape_of(Op::unsqueeze, {2, 3}, "axes", {0, -1}) == Shape{1, 2, 3, 1});
  CHECK(shape_of(Op::unsqueeze, {}, "axes", {0}) == Shape{1});
  CHECK(shape_of(Op::unsqueeze, {2, 3}, "axes", {0, 0}) == bad);
  CHECK(shape_of(Op::unsqueeze, {2, 3}, "axes", {4, 0}) == bad);
  CHECK(shape_of(Op::unsqueeze, {2, 3}, "axes", {0, 1, 2, 3, 4, 5, 6}) == bad);
}

TEST_CASE("transpose") {
  OperatorHarness harness = unary(Op::transpose, {2, 3, 2});
  harness.set("perm", V{2, 0, 1});
  CHECK(harness.run<f32>() == F{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11});
  CHECK(harness.shape() == Shape{2, 2, 3});
  CHECK(!harness.op().is_view());
  OperatorHarness ones = unary(Op::transpose, {2, 1, 3, 1});
  REQUIRE(ones.set("perm", V{1, 0, 3, 2}).prepare().ok());
  CHECK(ones.op().is_view());
  for (V perm : {V{0, 1}, V{0, 1, 1}, V{0, 1, 3}, V{0, 1, 2, 2}})
    CHECK(unary(Op::transpose, {2, 3, 2}).set("perm", perm).prepare().code() == Code::shape);
}

TEST_CASE("a large transpose is the same for every number of threads") {
  OperatorHarness harness = unary(Op::transpose, {1, 3, 150, 201});
  const auto out = harness.set("perm", V{0, 2, 3, 1}).run<f32>();
  for (std::size_t i = 0; i < out.size(); ++i) CHECK(out[i] == static_cast<f32>(i % 3 * 150 * 201 + i / 3));
}

TEST_CASE("slice") {
  const auto slice = [](s64 start, s64 end, s64 step) {
    OperatorHarness harness = unary(Op::slice, {5});
    harness.set("starts", V{start}).set("ends", V{end}).set("axes", V{0}).set("steps", V{step});
    return harness.prepare().ok() ? harness.run<f32>() : F{};
  };
  CHECK(slice(1, 4, 1) == F{1, 2, 3});
  CHECK(slice(-2, kMost, 1) == F{3, 4});
  CHECK(slice(kLeast, kMost, 1) == F{0, 1, 2, 3, 4});
  CHECK(slice(0, 5, 2) == F{0, 2, 4});
  CHECK(slice(1, 5, 3) == F{1, 4});
  CHECK(slice(2, 5, kMost) == F{2});
  CHECK(slice(4, kLeast, -1) == F{4, 3, 2, 1, 0});
  CHECK(slice(kMost, kLeast, -2) == F{4, 2, 0});
  CHECK(slice(3, 0, -2) == F{3, 1});
  CHECK(slice(-1, -6, -1) == F{4, 3, 2, 1, 0});
  CHECK(slice(3, kLeast, kLeast) == F{3});
  CHECK(slice(-1, -1, -1).empty());
  CHECK(slice(3, 3, 1).empty());
  CHECK(slice(4, 2, 1).empty());
  CHECK(slice(5, kMost, 1).empty());
  CHECK(slice(0, 5, 0).empty());
  OperatorHarness two = unary(Op::slice, {2, 3, 4});
  two.set("starts", V{2, 1}).set("ends", V{0, 2}).set("axes", V{1, -3}).set("steps", V{-1, 1});
  CHECK(two.run<f32>() == F{20, 21, 22, 23, 16, 17, 18, 19});
  OperatorHarness twice = unary(Op::slice, {2, 3});
  twice.set("starts", V{0, 0}).set("ends", V{1, 1}).set("axes", V{1, -1}).set("steps", V{1, 1});
  CHECK(twice.prepare().code() == Code::shape);
  OperatorHarness uneven = unary(Op::slice, {2, 3});
  uneven.set("starts", V{0}).set("ends", V{1, 1}).set("axes", V{1}).set("steps", V{1});
  CHECK(uneven.prepare().code() == Code::shape);
}

TEST_CASE("concat and split are each other's inverse") {
  Random random(1);
  for (s64 axis : {0, 1, 2}) {
    Shape shapes[3];
    std::vector<std::vector<s8>> parts;
    OperatorHarness concat(Op::concat);
    concat.set("axis", axis - 3);
    V sizes{3, 1, 8};
    for (std::size_t i = 0; i < 3; ++i) {
      shapes[i] = {5, 6, 7};
      shapes[i][static_cast<int>(axis)] = sizes[i];
      parts.push_back(random_integers<s8>(shapes[i].elements(), random, -128, 127));
      concat.input(shapes[i], parts[i], per_tensor(0.5f, 3));
    }
    const auto whole = concat.output(DType::s8, per_tensor(0.5f, 3)).run<s8>();
    Shape out = shapes[0];
    out[static_cast<int>(axis)] = 12;
    CHECK(concat.shape() == out);
    OperatorHarness split(Op::split);
    split.set("axis", axis).set("sizes", sizes).input(out, whole);
    split.output(DType::s8).absent_output().output(DType::s8);
    CHECK(split.run<s8>(0) == parts[0]);
    CHECK(split.run<s8>(1).empty());
    CHECK(split.run<s8>(2) == parts[2]);
  }
}

TEST_CASE("concat and split refuse what does not fit") {
  const auto concat = [](s64 axis, const Shape& other, Quantization q) {
    OperatorHarness harness(Op::concat);
    harness.set("axis", axis).input({2, 3}, std::vector<s8>(6), per_tensor(0.5f, 0));
    harness.input(other, std::vector<s8>(static_cast<std::size_t>(other.elements())), std::move(q));
    return harness.output(DType::s8, per_tensor(0.5f, 0)).prepare().code();
  };
  CHECK(concat(1, {2, 2}, per_tensor(0.5f, 0)) == Code::ok);
  CHECK(concat(1, {2, 2}, per_tensor(0.25f, 0)) == Code::unsupported);
  CHECK(concat(1, {2, 2}, per_tensor(0.5f, 1)) == Code::unsupported);
  CHECK(concat(1, {2, 2}, {}) == Code::unsupported);
  CHECK(concat(0, {2, 2}, per_tensor(0.5f, 0)) == Code::shape);
  CHECK(concat(2, {2, 3}, per_tensor(0.5f, 0)) == Code::shape);
  CHECK(concat(0, {3}, per_tensor(0.5f, 0)) == Code::shape);
  const auto split = [](V sizes) {
    OperatorHarness harness(Op::split);
    harness.set("axis", s64{1}).set("sizes", std::move(sizes)).input({2, 6}, counting<f32>(12));
    return harness.output(DType::f32).output(DType::f32).prepare().code();
  };
  CHECK(split({}) == Code::ok);
  CHECK(split({1, 5}) == Code::ok);
  CHECK(split({1, 4}) == Code::shape);
  CHECK(split({-1, 7}) == Code::shape);
  CHECK(split({6}) == Code::shape);
  CHECK(split({kMost, kMost}) == Code::shape);
}

TEST_CASE("gather") {
  const auto gather = [](s64 axis, const Shape& shape, const std::vector<s32>& index, bool constant) {
    OperatorHarness harness = OperatorHarness(Op::gather);
    harness.set("axis", axis).input({2, 3, 2}, counting<f32>(12));
    constant ? harness.constant(shape, index) : harness.input(shape, index);
    harness.output(DType::f32);
    return harness.prepare().ok() ? harness.run<f32>() : F{};
  };
  CHECK(gather(1, {2}, {2, -3}, true) == F{4, 5, 0, 1, 10, 11, 6, 7});
  CHECK(gather(0, {}, {-1}, true) == F{6, 7, 8, 9, 10, 11});
  CHECK(gather(-1, {1, 2}, {1, 1}, false) == F{1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11});
  CHECK(gather(1, {2}, {100, -100}, false) == F{4, 5, 0, 1, 10, 11, 6, 7});
  CHECK(gather(1, {2}, {3, 0}, true).empty());
  CHECK(gather(1, {2}, {0, -4}, true).empty());
  CHECK(gather(3, {1}, {0}, true).empty());
  CHECK(gather(1, {1, 1, 1, 1, 1, 1, 1}, {0}, true).empty());
}

TEST_CASE("expand") {
  const auto expand = [](const Shape& in, V shape) {
    OperatorHarness harness = unary(Op::expand, in);
    harness.set("shape", std::move(shape));
    return harness.prepare().ok() ? harness.run<f32>() : F{};
  };
  CHECK(expand({2, 1}, {1, 3}) == F{0, 0, 0, 1, 1, 1});
  CHECK(expand({2}, {2, 1}) == F{0, 1, 0, 1});
  CHECK(expand({2, 1, 2}, {2, 1}) == F{0, 1, 0, 1, 2, 3, 2, 3});
  CHECK(expand({}, {2}) == F{0, 0});
  CHECK(expand({2}, {3}).empty());
  CHECK(expand({2}, {0}).empty());
  CHECK(expand({1}, {-1}).empty());
  CHECK(expand({1, 1}, {s64{1} << 30, s64{1} << 30}).empty());
}

TEST_CASE("depth_to_space") {
  // ONNX's definition on channels-last: input channel of output (y % b, x % b, c).
  for (const char* mode : {"DCR", "CRD"}) {
    OperatorHarness harness = unary(Op::depth_to_space, {2, 3, 5, 12});
    const auto out = harness.set("blocksize", s64{2}).set("mode", std::string(mode)).run<f32>();
    CHECK(harness.shape() == Shape{2, 6, 10, 3});
    for (s64 i = 0; i < static_cast<s64>(out.size()); ++i) {
      const s64 c = i % 3, x = i / 3 % 10, y = i / 30 % 6, n = i / 180;
      const s64 block = y % 2 * 2 + x % 2;
      const s64 channel = mode[0] == 'D' ? block * 3 + c : c * 4 + block;
      CHECK(out[static_cast<std::size_t>(i)] == static_cast<f32>(((n * 3 + y / 2) * 5 + x / 2) * 12 + channel));
    }
  }
  const auto code = [](const Shape& in, s64 block, const char* mode) {
    OperatorHarness harness = unary(Op::depth_to_space, in);
    return harness.set("blocksize", block).set("mode", std::string(mode)).prepare().code();
  };
  CHECK(code({1, 1, 1, 12}, 3, "DCR") == Code::shape);
  CHECK(code({1, 1, 1, 12}, 0, "DCR") == Code::shape);
  CHECK(code({1, 1, 1, 12}, s64{1} << 32, "DCR") == Code::shape);
  CHECK(code({1, 1, 12}, 2, "DCR") == Code::shape);
  CHECK(code({1, 1, 1, 12}, 2, "") == Code::unsupported);
}

TEST_CASE("pad") {
  const auto pad = [](const char* mode, V pads, f32 value = 0) {
    OperatorHarness harness = unary(Op::pad, {2, 3});
    harness.set("mode", std::string(mode)).set("pads", std::move(pads)).set("value", value);
    return harness.prepare().ok() ? harness.run<f32>() : F{};
  };
  CHECK(pad("constant", {0, 1, 1, 0}, 9) == F{9, 0, 1, 2, 9, 3, 4, 5, 9, 9, 9, 9});
  CHECK(pad("edge", {1, 0, 0, 2}) == F{0, 1, 2, 2, 2, 0, 1, 2, 2, 2, 3, 4, 5, 5, 5});
  CHECK(pad("reflect", {1, 0, 0, 2}) == F{3, 4, 5, 4, 3, 0, 1, 2, 1, 0, 3, 4, 5, 4, 3});
  CHECK(pad("reflect", {2, 0, 0, 0}).empty());
  CHECK(pad("constant", {0, -1, 0, 0}).empty());
  CHECK(pad("constant", {0, 0, 0}).empty());
  CHECK(pad("constant", {kMost, 0, kMost, 0}).empty());
  CHECK(pad("constant", {kMost / 4, 0, 0, 0}).empty());
  CHECK(pad("wrap", {0, 0, 0, 0}).empty());
}

TEST_CASE("the pad value is the nearest step") {
  const auto pad = [](f32 value) {
    OperatorHarness harness(Op::pad);
    harness.set("mode", std::string("constant")).set("pads", V{1, 0}).set("value", value);
    harness.input({1}, std::vector<s8>{5}, per_tensor(0.5f, 10)).output(DType::s8, per_tensor(0.5f, 10));
    return int{harness.run<s8>()[0]};
  };
  CHECK(pad(0) == 10);
  CHECK(pad(1.25f) == 12);  // 2.5 steps
  CHECK(pad(1.75f) == 14);  // 3.5 steps
  CHECK(pad(-1000) == -128);
  CHECK(pad(std::numeric_limits<f32>::infinity()) == 127);
}

OperatorHarness resize(const char* mode, const char* coordinate, F scales, V sizes) {
  OperatorHarness harness(Op::resize);
  harness.set("mode", std::string(mode)).set("coordinate_transformation_mode", std::string(coordinate));
  harness.set("nearest_mode", std::string("floor")).set("scales", std::move(scales)).set("sizes", std::move(sizes));
  return harness;
}

TEST_CASE("resize") {
  OperatorHarness up = resize("nearest", "asymmetric", {2, 2}, {});
  up.input({1, 2, 2, 1}, std::vector<s8>{1, 2, 3, 4}).output(DType::s8);
  CHECK(up.run<s8>() == std::vector<s8>{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});

  OperatorHarness linear = resize("linear", "half_pixel", {}, {1, 4});
  linear.input({1, 1, 2, 2}, F{0, 10, 4, 30}).output(DType::f32);
  CHECK(linear.run<f32>() == F{0, 10, 1, 15, 3, 25, 4, 30});
  CHECK(linear.shape() == Shape{1, 1, 4, 2});

  OperatorHarness line = resize("linear", "align_corners", {}, {5});
  line.input({1, 3, 1}, F{0, 2, 8}).output(DType::f32);
  CHECK(line.run<f32>() == F{0, 1, 2, 5, 8});

  OperatorHarness steps = resize("linear", "half_pixel", {2.0f}, {});
  steps.input({1, 2, 1}, std::vector<s8>{-10, 10}, per_tensor(0.5f, -10)).output(DType::s8, per_tensor(0.25f, 1));
  CHECK(steps.run<s8>() == std::vector<s8>{1, 11, 31, 41});

  Random random(2);
  OperatorHarness large = resize("linear", "half_pixel", {1.7f, 2.3f}, {});
  large.input({2, 30, 31, 24}, random_reals(2 * 30 * 31 * 24, random)).output(DType::f32);
  CHECK(large.run<f32>().size() == 2 * 51 * 71 * 24);
}

TEST_CASE("resize refuses what it cannot do") {
  const auto code = [](const char* mode, const char* coordinate, F scales, V sizes) {
    OperatorHarness harness = resize(mode, coordinate, std::move(scales), std::move(sizes));
    return harness.input({1, 2, 2, 1}, std::vector<s8>(4), per_tensor(1, 0))
        .output(DType::s8, per_tensor(1, 1))
        .prepare()
        .code();
  };
  const f32 nan = std::nanf("");
  CHECK(code("linear", "half_pixel", {2, 2}, {}) == Code::ok);
  CHECK(code("nearest", "half_pixel", {2, 2}, {}) == Code::unsupported);  // another zero point
  CHECK(code("cubic", "half_pixel", {2, 2}, {}) == Code::unsupported);
  CHECK(code("linear", "tf_crop_and_resize", {2, 2}, {}) == Code::unsupported);
  CHECK(code("linear", "half_pixel", {2, 2}, {4, 4}) == Code::shape);
  CHECK(code("linear", "half_pixel", {}, {}) == Code::shape);
  CHECK(code("linear", "half_pixel", {2}, {}) == Code::shape);
  CHECK(code("linear", "half_pixel", {2, 0.1f}, {}) == Code::shape);
  CHECK(code("linear", "half_pixel", {2, -1}, {}) == Code::shape);
  CHECK(code("linear", "half_pixel", {2, nan}, {}) == Code::shape);
  CHECK(code("linear", "half_pixel", {2, 1e30f}, {}) == Code::shape);
  CHECK(code("linear", "half_pixel", {}, {0, 4}) == Code::shape);
  CHECK(code("linear", "half_pixel", {}, {kMost, 4}) == Code::shape);
}

TEST_CASE("moving s8 keeps its quantisation") {
  const auto code = [](Quantization from, Quantization to, DType out = DType::s8) {
    OperatorHarness harness(Op::transpose);
    harness.set("perm", V{1, 0}).input({2, 3}, std::vector<s8>(6), std::move(from));
    return harness.output(out, std::move(to)).prepare().code();
  };
  CHECK(code({}, {}) == Code::ok);
  CHECK(code(per_tensor(1, 2), per_tensor(1, 2)) == Code::ok);
  CHECK(code(per_tensor(1, 2), per_tensor(2, 2)) == Code::unsupported);
  CHECK(code(per_tensor(1, 2), {}) == Code::unsupported);
  CHECK(code({{1, 2}, {0, 0}, 0}, {{1, 2}, {0, 0}, 0}) == Code::unsupported);
  CHECK(code({}, {}, DType::f32) == Code::unsupported);
  CHECK(code({}, {}, DType::s4) == Code::unsupported);
}

}  // namespace
}  // namespace whit
