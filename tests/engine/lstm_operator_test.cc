#include "engine/operator_harness.h"

#include <cmath>
#include <string>
#include <vector>

namespace whit {
namespace {

using namespace whit::test;

struct Problem {
  s64 t, b, i, h;
  const char* direction;
  bool bias, state;
  s64 d() const { return direction == std::string("bidirectional") ? 2 : 1; }
};

struct Data {
  std::vector<f32> x, w, r, bias, h0, c0;
  Data(const Problem& p, Random& random)
      : x(random_reals(p.t * p.b * p.i, random)),
        w(random_reals(p.d() * 4 * p.h * p.i, random)),
        r(random_reals(p.d() * 4 * p.h * p.h, random)),
        bias(random_reals(p.d() * 8 * p.h, random)),
        h0(random_reals(p.d() * p.b * p.h, random)),
        c0(random_reals(p.d() * p.b * p.h, random)) {}
};

struct States {
  std::vector<f64> y, h, c;
};

/// ONNX's equations in f64.
States reference(const Problem& p, const Data& data) {
  const auto sigmoid = [](f64 v) { return 1 / (1 + std::exp(-v)); };
  const auto at = [](const std::vector<f32>& values, s64 index) {
    return f64{values[static_cast<std::size_t>(index)]};
  };
  const s64 states = p.d() * p.b * p.h;
  States out;
  out.y.resize(static_cast<std::size_t>(p.t * states));
  out.h.resize(static_cast<std::size_t>(states));
  out.c.resize(static_cast<std::size_t>(states));
  for (s64 d = 0; d < p.d(); ++d)
    for (s64 b = 0; b < p.b; ++b) {
      std::vector<f64> h(static_cast<std::size_t>(p.h)), c(h), next(h);
      for (s64 j = 0; p.state && j < p.h; ++j) {
        h[static_cast<std::size_t>(j)] = at(data.h0, (d * p.b + b) * p.h + j);
        c[static_cast<std::size_t>(j)] = at(data.c0, (d * p.b + b) * p.h + j);
      }
      for (s64 step = 0; step < p.t; ++step) {
        const s64 t = d == 1 || p.direction == std::string("reverse") ? p.t - 1 - step : step;
        for (s64 j = 0; j < p.h; ++j) {
          const auto gate = [&](s64 g) {
            const s64 row = (d * 4 + g) * p.h + j;
            f64 sum = p.bias ? at(data.bias, (d * 8 + g) * p.h + j) + at(data.bias, (d * 8 + 4 + g) * p.h + j) : 0;
            for (s64 n = 0; n < p.i; ++n) sum += at(data.w, row * p.i + n) * at(data.x, (t * p.b + b) * p.i + n);
            for (s64 n = 0; n < p.h; ++n) sum += at(data.r, row * p.h + n) * h[static_cast<std::size_t>(n)];
            return sum;
          };
          f64& state = c[static_cast<std::size_t>(j)];
          state = sigmoid(gate(2)) * state + sigmoid(gate(0)) * std::tanh(gate(3));
          next[static_cast<std::size_t>(j)] = sigmoid(gate(1)) * std::tanh(state);
        }
        h = next;
        for (s64 j = 0; j < p.h; ++j)
          out.y[static_cast<std::size_t>(((t * p.d() + d) * p.b + b) * p.h + j)] = h[static_cast<std::size_t>(j)];
      }
      for (s64 j = 0; j < p.h; ++j) {
        out.h[static_cast<std::size_t>((d * p.b + b) * p.h + j)] = h[static_cast<std::size_t>(j)];
        out.c[static_cast<std::size_t>((d * p.b + b) * p.h + j)] = c[static_cast<std::size_t>(j)];
      }
    }
  return out;
}

OperatorHarness make(const Problem& p, const Data& data) {
  OperatorHarness harness(Op::lstm);
  harness.set("direction", std::string(p.direction)).input({p.t, p.b, p.i}, data.x);
  harness.constant({p.d(), 4 * p.h, p.i}, data.w).constant({p.d(), 4 * p.h, p.h}, data.r);
  p.bias ? harness.constant({p.d(), 8 * p.h}, data.bias) : harness.absent_input();
  if (p.state) harness.input({p.d(), p.b, p.h}, data.h0).input({p.d(), p.b, p.h}, data.c0);
  return harness;
}

void check_close(const std::vector<f32>& got, const std::vector<f64>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) < 1e-5);
}

TEST_CASE("against ONNX's equations") {
  Random random(1);
  for (const Problem& p :
       {Problem{1, 1, 3, 4, "forward", true, true}, Problem{6, 1, 5, 16, "forward", true, false},
        Problem{5, 3, 7, 9, "reverse", false, true}, Problem{4, 2, 6, 5, "bidirectional", true, true},
        Problem{3, 1, 4, 17, "bidirectional", false, false}}) {
    INFO(std::string(p.direction), ", h = ", p.h);
    const Data data(p, random);
    const States wanted = reference(p, data);
    OperatorHarness harness = make(p, data);
    harness.output(DType::f32).output(DType::f32).output(DType::f32);
    check_close(harness.run<f32>(0, false), wanted.y);
    check_close(harness.run<f32>(1, false), wanted.h);
    check_close(harness.run<f32>(2, false), wanted.c);
    CHECK(harness.shape(0) == Shape{p.t, p.d(), p.b, p.h});
    CHECK(harness.shape(2) == Shape{p.d(), p.b, p.h});
  }
}

TEST_CASE("a large state is split over the threads") {
  Random random(2);
  for (const char* direction : {"forward", "bidirectional"}) {
    const Problem p{2, 2, 3, 300, direction, true, false};
    Data data(p, random);
    for (f32& weight : data.r) weight *= 0.1f;
    OperatorHarness harness = make(p, data);
    check_close(harness.output(DType::f32).run<f32>(0, false), reference(p, data).y);
  }
}

TEST_CASE("outputs may be absent") {
  Random random(3);
  const Problem p{3, 1, 4, 8, "forward", true, true};
  const Data data(p, random);
  const States wanted = reference(p, data);
  OperatorHarness harness = make(p, data);
  harness.absent_output().absent_output().output(DType::f32);
  check_close(harness.run<f32>(2, false), wanted.c);
}

TEST_CASE("s8 weights, one scale per row of gates") {
  Random random(4);
  const Problem p{3, 2, 4, 6, "bidirectional", true, false};
  Data data(p, random);
  const auto w = random_integers<s8>(p.d() * 4 * p.h * p.i, random, -127, 127);
  const auto r = random_integers<s8>(p.d() * 4 * p.h * p.h, random, -127, 127);
  const auto scale = random_reals(4 * p.h, random, 0.001f, 0.01f);
  for (std::size_t i = 0; i < w.size(); ++i)
    data.w[i] = static_cast<f32>(w[i]) * scale[i / static_cast<std::size_t>(p.i) % scale.size()];
  for (std::size_t i = 0; i < r.size(); ++i) data.r[i] = static_cast<f32>(r[i]) * 0.005f;
  OperatorHarness harness(Op::lstm);
  harness.set("direction", std::string(p.direction)).input({p.t, p.b, p.i}, data.x);
  harness.constant({p.d(), 4 * p.h, p.i}, w, {scale, std::vector<s32>(scale.size()), 1});
  harness.constant({p.d(), 4 * p.h, p.h}, r, per_tensor(0.005f, 0));
  harness.constant({p.d(), 8 * p.h}, data.bias).output(DType::f32);
  CHECK(harness.run<f32>(0, false) == make(p, data).output(DType::f32).run<f32>(0, false));
}

TEST_CASE("what does not fit is refused") {
  Random random(5);
  const Problem p{2, 1, 3, 4, "forward", true, true};
  const Data data(p, random);
  const auto code = [&](const Problem& shapes, const char* direction) {
    OperatorHarness harness(Op::lstm);
    const auto zeros = [](const Shape& shape) { return std::vector<f32>(static_cast<std::size_t>(shape.elements())); };
    const Shape x{2, 1, 3}, w{shapes.d(), 4 * shapes.h, shapes.i}, r{1, 16, 4}, bias{1, 32};
    harness.set("direction", std::string(direction)).input(x, zeros(x)).constant(w, zeros(w)).constant(r, zeros(r));
    return harness.constant(bias, zeros(bias)).output(DType::f32).prepare().code();
  };
  CHECK(code(p, "forward") == Code::ok);
  CHECK(code(p, "bidirectional") == Code::shape);
  CHECK(code(p, "backward") == Code::unsupported);
  CHECK(code({2, 1, 4, 4, "forward", true, true}, "forward") == Code::shape);
  CHECK(code({2, 1, 3, 5, "forward", true, true}, "forward") == Code::shape);
  CHECK(code({2, 1, 3, 4, "bidirectional", true, true}, "forward") == Code::shape);
  OperatorHarness computed(Op::lstm);
  computed.set("direction", std::string("forward")).input({2, 1, 3}, data.x).input({1, 16, 3}, data.w);
  CHECK(computed.constant({1, 16, 4}, data.r).output(DType::f32).prepare().code() == Code::unsupported);
}

}  // namespace
}  // namespace whit
