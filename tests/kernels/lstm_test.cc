#include "kernels/lstm/lstm.h"

#include <cmath>
#include <limits>
#include <vector>

#include "test_support.h"

namespace whit::lstm {
namespace {

using namespace whit::test;

f64 sigmoid(f64 x) { return 1 / (1 + std::exp(-x)); }

TEST_CASE("cell against f64") {
  Random random(1);
  for (isize rows : {1, 2, 5})
    for (isize hidden : {1, 3, 4, 7, 8, 16, 33, 128}) {
      Guarded<f32> gates(rows * 4 * hidden), c(rows * hidden), h(rows * hidden);
      random.fill_reals(gates.span(), -9, 9);
      random.fill_reals(c.span(), -3, 3);
      const std::vector<f32> before(c.span().begin(), c.span().end());
      cell(gates.data(), rows, hidden, c.data(), h.data());
      for (isize row = 0; row < rows; ++row)
        for (isize i = 0; i < hidden; ++i) {
          const auto gate = [&](isize g) { return f64{gates[(row * 4 + g) * hidden + i]}; };
          const f64 state = sigmoid(gate(2)) * f64{before[static_cast<std::size_t>(row * hidden + i)]} +
                            sigmoid(gate(0)) * std::tanh(gate(3));
          CHECK(std::abs(c[row * hidden + i] - state) < 1e-6);
          CHECK(std::abs(h[row * hidden + i] - sigmoid(gate(1)) * std::tanh(state)) < 1e-6);
        }
    }
}

TEST_CASE("extremes saturate and NaN stays") {
  const f32 inf = std::numeric_limits<f32>::infinity(), nan = std::numeric_limits<f32>::quiet_NaN();
  // hidden 3: open gates, closed gates, a NaN.
  const f32 gates[] = {inf, -inf, 1e30f, inf, -inf, nan, inf, -1e30f, 0, inf, -1e30f, 0};
  f32 c[] = {2, 2, 2}, h[3];
  cell(gates, 1, 3, c, h);
  CHECK(c[0] == 3.0f);
  CHECK(std::abs(h[0] - std::tanh(3.0f)) < 1e-6f);
  CHECK(c[1] == 0.0f);
  CHECK(h[1] == 0.0f);
  CHECK(std::isnan(h[2]));
}

}  // namespace
}  // namespace whit::lstm
