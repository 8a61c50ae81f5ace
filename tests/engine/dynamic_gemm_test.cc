// gemm whose f32 rows are rounded to s8 while the model runs, against the order of operations in docs/NUMERICS.md.

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "base/half.h"
#include "engine/operator_harness.h"

namespace whit {
namespace {

using namespace whit::test;

constexpr isize kGroup = Quantization::kGroup;

struct Row {
  std::vector<s32> values;  ///< less the zero point
  f32 scale;
};

Row rounded(const f32* x, isize k) {
  f32 low = 0, high = 0;
  for (isize i = 0; i < k; ++i) low = std::min(low, x[i]), high = std::max(high, x[i]);
  const f32 upper = high / 255, lower = low / 255;
  const f32 span = upper - lower, scale = span < 0x1p-60f ? 1 : span;
  const f32 steps = low / scale;
  const f32 zero_point = std::clamp(std::nearbyint(-128 - steps), -128.0f, 127.0f);
  Row row{{}, scale};
  for (isize i = 0; i < k; ++i) {
    const f32 q = std::nearbyint(std::clamp(x[i] / scale, -128 - zero_point, 127 - zero_point));
    row.values.push_back(static_cast<s32>(q));
  }
  return row;
}

struct Case {
  isize m, n, k;
  int low, high;  ///< of weights
  bool groups, residual;
};

void check(const Case& c, u64 seed) {
  INFO("m ", c.m, " n ", c.n, " k ", c.k, " groups ", c.groups, " residual ", c.residual);
  Random random(seed);
  const auto at = [](isize i) { return static_cast<std::size_t>(i); };
  std::vector<f32> x = random_reals(c.m * c.k, random, -3, 3);
  for (isize r = 2; r < c.m; r += 3)  // on one side of 0
    for (isize i = 0; i < c.k; ++i) x[at(r * c.k + i)] = std::abs(x[at(r * c.k + i)]);
  std::vector<s8> w;
  for (isize i = 0; i < c.n * c.k; ++i) w.push_back(static_cast<s8>(random.integer(c.low, c.high)));
  const std::vector<f32> bias = random_reals(c.n, random), residual = random_reals(c.m * c.n, random);
  const isize groups = ceil_div(c.k, kGroup);
  std::vector<u16> halves;
  Quantization q;
  for (isize i = 0; i < c.n; ++i) q.scale.push_back(random.real(0.001f, 0.02f)), q.zero_point.push_back(0);
  q.axis = 0;
  for (isize i = 0; i < c.n * groups; ++i) halves.push_back(static_cast<u16>(random.integer(1, 0x3bff)));
  if (c.groups) q = {{}, {}, 1, std::as_bytes(std::span(halves))};

  OperatorHarness harness(Op::gemm);
  harness.set("dynamic", s64{1}).set("activation", std::string(c.residual ? "hard_swish" : ""));
  harness.set("clamp_min", -1.5f);
  harness.input({c.m, c.k}, x).constant({c.n, c.k}, w, q).constant({c.n}, bias);
  if (c.residual) harness.input({c.m, c.n}, residual);
  harness.output(DType::f32);
  const std::vector<f32> got = harness.run<f32>();
  REQUIRE(static_cast<isize>(got.size()) == c.m * c.n);
  isize wrong = 0;
  for (isize r = 0; r < c.m; ++r) {
    const Row row = rounded(&x[at(r * c.k)], c.k);
    for (isize o = 0; o < c.n; ++o) {
      f32 t = 0;
      s32 sum = 0;
      for (isize i = 0; i < c.k; ++i) {
        sum += row.values[at(i)] * w[at(o * c.k + i)];
        if (!c.groups || (i % kGroup != kGroup - 1 && i != c.k - 1)) continue;
        const f32 part = static_cast<f32>(sum) * half_to_float(halves[at(o * groups + i / kGroup)]);
        t = t + part;
        sum = 0;
      }
      if (!c.groups) t = static_cast<f32>(sum);
      t = t * row.scale;
      if (!c.groups) t = t * q.scale[at(o)];
      t = t + bias[at(o)];
      if (c.residual) {
        t = t + residual[at(r * c.n + o)];
        f32 gate = t * (1.0f / 6.0f);
        gate = gate + 0.5f;
        t = t * std::clamp(gate, 0.0f, 1.0f);
      }
      wrong += got[at(r * c.n + o)] != std::max(t, -1.5f);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("rows rounded at run time: s8 weights, codes of 4 bits, scales for groups") {
  u64 seed = 0;
  for (auto [m, n, k] :
       {std::array<isize, 3>{1, 1, 1}, {1, 75, 31}, {3, 64, 32}, {7, 33, 45}, {13, 75, 161}, {2, 9, 1030}}) {
    for (bool residual : {false, true}) {
      check({m, n, k, -127, 127, false, residual}, ++seed);
      check({m, n, k, -8, 7, false, residual}, ++seed);
      check({m, n, k, -8, 7, true, residual}, ++seed);
    }
  }
}

TEST_CASE("scales for groups want weights of 4 bits where rows are rounded") {
  const std::vector<u16> one{0x3c00};
  for (int value : {-9, 8}) {
    OperatorHarness harness(Op::gemm);
    harness.set("dynamic", s64{1}).input<f32>({1, 2}, {1, 2});
    harness.constant<s8>({1, 2}, {0, static_cast<s8>(value)}, {{}, {}, 1, std::as_bytes(std::span(one))});
    harness.output(DType::f32);
    const Status status = harness.prepare();
    CHECK(status.code() == Code::unsupported);
    CHECK(status.message().find("go from -8 to 7") != std::string::npos);
  }
}

}  // namespace
}  // namespace whit
