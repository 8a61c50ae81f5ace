#include "engine/operator_harness.h"

#include <cmath>
#include <vector>

namespace whit {
namespace {

using namespace whit::test;

std::vector<f32> product(const std::vector<f32>& a, const std::vector<f32>& b, const Shape& a_shape,
                         const Shape& b_shape, const Shape& out_shape) {
  OperatorHarness harness(Op::mat_mul);
  harness.input(a_shape, a).input(b_shape, b).output(DType::f32);
  const std::vector<f32> values = harness.run<f32>(0, false);
  CHECK(harness.shape() == out_shape);
  return values;
}

TEST_CASE("one matrix after the other") {
  Random random(1);
  constexpr s64 kSizes[][3] = {{1, 1, 1}, {5, 7, 3}, {1, 64, 100}, {33, 17, 65}, {70, 40, 1}, {2, 300, 9}};
  for (const auto& size : kSizes)
    for (s64 batches : {1, 2, 7}) {
      const s64 m = size[0], k = size[1], n = size[2];
      INFO(batches, " times ", m, " x ", k, " x ", n);
      const auto a = random_reals(batches * m * k, random), b = random_reals(batches * k * n, random);
      const auto got = product(a, b, {batches, m, k}, {batches, k, n}, {batches, m, n});
      REQUIRE(static_cast<s64>(got.size()) == batches * m * n);
      for (s64 i = 0; i < batches * m * n; ++i) {
        const s64 column = i % n, row = i / n, batch = row / m;
        f64 sum = 0;
        for (s64 c = 0; c < k; ++c)
          sum +=
              f64{a[static_cast<std::size_t>(row * k + c)]} * b[static_cast<std::size_t>((batch * k + c) * n + column)];
        CHECK(std::abs(got[static_cast<std::size_t>(i)] - sum) < 1e-7 * static_cast<f64>(2 * k + 2));
      }
    }
}

TEST_CASE("leading axes broadcast as in ONNX") {
  // 1 x 1 matrices: the product is a plain broadcast multiplication.
  const std::vector<f32> two{2, 3}, three{5, 7, 11}, six{1, 2, 3, 4, 5, 6};
  CHECK(product(two, three, {2, 1, 1, 1}, {3, 1, 1}, {2, 3, 1, 1}) == std::vector<f32>{10, 14, 22, 15, 21, 33});
  CHECK(product(six, three, {2, 3, 1, 1}, {1, 3, 1, 1}, {2, 3, 1, 1}) == std::vector<f32>{5, 14, 33, 20, 35, 66});
  CHECK(product(three, six, {3, 1, 1}, {2, 3, 1, 1}, {2, 3, 1, 1}) == std::vector<f32>{5, 14, 33, 20, 35, 66});
  CHECK(product(six, two, {2, 3, 1, 1}, {2, 1, 1, 1}, {2, 3, 1, 1}) == std::vector<f32>{2, 4, 6, 12, 15, 18});
}

TEST_CASE("vectors") {
  const std::vector<f32> a{1, 2, 3}, b{4, 5, 6}, m{1, 2, 3, 4, 5, 6};
  CHECK(product(a, b, {3}, {3}, {}) == std::vector<f32>{32});
  CHECK(product(a, m, {3}, {3, 2}, {2}) == std::vector<f32>{22, 28});
  CHECK(product(m, a, {2, 3}, {3}, {2}) == std::vector<f32>{14, 32});
  CHECK(product(a, m, {1, 3}, {3, 2}, {1, 2}) == std::vector<f32>{22, 28});
}

TEST_CASE("one b for a whole stack of a") {
  const std::vector<f32> a{1, 2, 3, 4}, b{1, 10};
  CHECK(product(a, b, {2, 1, 2}, {2, 1}, {2, 1, 1}) == std::vector<f32>{21, 43});
  CHECK(product(a, b, {2, 1, 2}, {1, 1, 2, 1}, {1, 2, 1, 1}) == std::vector<f32>{21, 43});
}

TEST_CASE("shapes that do not fit") {
  const auto code = [](const Shape& a, const Shape& b) {
    OperatorHarness harness(Op::mat_mul);
    harness.input(a, counting<f32>(a.elements())).input(b, counting<f32>(b.elements())).output(DType::f32);
    return harness.prepare().code();
  };
  CHECK(code({2, 3}, {3, 2}) == Code::ok);
  CHECK(code({2, 3}, {2, 3}) == Code::shape);
  CHECK(code({2, 2, 3}, {3, 3, 2}) == Code::shape);
  CHECK(code({}, {1}) == Code::shape);
  CHECK(code({3}, {}) == Code::shape);
  OperatorHarness harness(Op::mat_mul);
  harness.input({1, 1}, std::vector<s8>(1)).input({1, 1}, std::vector<s8>(1)).output(DType::f32);
  CHECK(harness.prepare().code() == Code::unsupported);
}

}  // namespace
}  // namespace whit
