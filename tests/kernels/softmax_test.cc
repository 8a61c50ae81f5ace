// Softmax and layer normalisation: close to f64, the same bits on every level and for every split of the columns.
#include "kernels/softmax/softmax.h"

#include <algorithm>
#include <cmath>

#include "kernels/table_support.h"

namespace whit::softmax {
namespace {

using test::Guarded;

const Table& scalar() { return select(isa_up_to(Isa::scalar)); }

struct Dims {
  isize rows, n, columns;
};
constexpr Dims kDims[] = {{1, 1, 1},    {3, 10, 1}, {2, 16, 1},  {2, 63, 1}, {1, 1000, 1},
                          {1, 1537, 1}, {2, 5, 3},  {1, 21, 64}, {2, 7, 65}, {1, 4, 200}};

TEST_CASE("softmax and log_softmax") {
  test::Random random(1);
  test::for_each_level(tables(), [&](const Table& table) {
    for (const Dims& d : kDims)
      for (f32 spread : {1.0f, 30.0f, 1000.0f})
        for (bool logarithm : {false, true}) {
          const isize elements = d.rows * d.n * d.columns;
          const f64 least = table.isa == Isa::neon32 ? 0x1p-100 : 1e-37;  // neon32 may take subnormal numbers for zero
          Guarded<f32> x(elements), y(elements), split(elements);
          random.fill_reals(x.span(), -spread, spread);
          const auto run = logarithm ? table.log_softmax : table.softmax;
          run({x.data(), y.data(), d.rows, d.n, d.columns}, 0, d.columns);
          f64 worst = 0;
          for (isize r = 0; r < d.rows; ++r)
            for (isize c = 0; c < d.columns; ++c) {
              const auto at = [&](isize i) { return (r * d.n + i) * d.columns + c; };
              f64 m = -1e300, sum = 0;
              for (isize i = 0; i < d.n; ++i) m = std::max(m, f64{x[at(i)]});
              for (isize i = 0; i < d.n; ++i) sum += std::exp(x[at(i)] - m);
              for (isize i = 0; i < d.n; ++i) {
                const f64 wanted = logarithm ? (x[at(i)] - m) - std::log(sum) : std::exp(x[at(i)] - m) / sum;
                worst = std::max(
                    worst, std::fabs(wanted - f64{y[at(i)]}) / std::max(std::fabs(wanted), logarithm ? 1.0 : least));
              }
            }
          INFO("[", d.rows, ", ", d.n, ", ", d.columns, "], logarithm ", logarithm, ", spread ", spread);
          // x - m is rounded once (relative 6e-8 of up to 87 before exp underflows), the rest is a few ulp.
          CHECK(worst < 2e-6 + 6e-8 * std::min(2 * spread, 87.0f));
          const auto reference = logarithm ? scalar().log_softmax : scalar().softmax;
          reference({x.data(), split.data(), d.rows, d.n, d.columns}, 0, d.columns);
          CHECK(test::first_disagreement(table.isa, split, y) == -1);
          const isize middle = d.columns / 2;  // any split of the columns, in place
          std::copy_n(x.data(), elements, split.data());
          if (middle > 0) run({split.data(), split.data(), d.rows, d.n, d.columns}, 0, middle);
          run({split.data(), split.data(), d.rows, d.n, d.columns}, middle, d.columns);
          CHECK(test::first_difference(y, split) == -1);
        }
  });
}

TEST_CASE("softmax with infinities and NaN") {
  const f32 inf = __builtin_inff();
  test::for_each_level(tables(), [&](const Table& table) {
    f32 x[] = {-inf, 1.0f, 1.0f, -inf}, y[4];
    table.softmax({x, y, 1, 4, 1}, 0, 1);
    CHECK(y[0] == 0.0f);
    CHECK(y[1] == 0.5f);
    x[2] = __builtin_nanf("");
    table.softmax({x, y, 1, 4, 1}, 0, 1);
    CHECK(std::isnan(y[1]));
    f32 columns[] = {-inf, 5.0f, 3.0f, 5.0f};  // two columns: {-inf, 3} and {5, 5}
    table.softmax({columns, y, 1, 2, 2}, 0, 2);
    CHECK(y[0] == 0.0f);
    CHECK(y[2] == 1.0f);
    CHECK(y[1] == 0.5f);
    CHECK(y[3] == 0.5f);
  });
}

TEST_CASE("layer_normalization") {
  test::Random random(2);
  test::for_each_level(tables(), [&](const Table& table) {
    for (isize n : {1, 3, 16, 17, 64, 100, 768})
      for (bool with_bias : {false, true}) {
        const isize rows = 3;
        Guarded<f32> x(rows * n), y(rows * n), again(rows * n), scale(n), bias(n);
        random.fill_reals(x.span(), -2, 5);
        random.fill_reals(scale.span(), -2, 2);
        random.fill_reals(bias.span(), -2, 2);
        const f32* b = with_bias ? bias.data() : nullptr;
        table.layer_normalization({x.data(), y.data(), scale.data(), b, rows, n, 1e-5f});
        for (isize r = 0; r < rows; ++r) {
          f64 mean = 0, variance = 0;
          for (isize i = 0; i < n; ++i) mean += x[r * n + i];
          mean /= static_cast<f64>(n);
          for (isize i = 0; i < n; ++i) variance += (x[r * n + i] - mean) * (x[r * n + i] - mean);
          variance /= static_cast<f64>(n);
          for (isize i = 0; i < n; ++i) {
            const f64 wanted =
                (x[r * n + i] - mean) / std::sqrt(variance + 1e-5) * scale[i] + (with_bias ? bias[i] : 0);
            INFO("n = ", n, ", element ", i);
            CHECK(std::fabs(wanted - f64{y[r * n + i]}) < (n == 1 ? 1e-3 : 1e-5));
          }
        }
        scalar().layer_normalization({x.data(), again.data(), scale.data(), b, rows, n, 1e-5f});
        CHECK(test::first_difference(y, again) == -1);
        table.layer_normalization({x.data(), x.data(), scale.data(), b, rows, n, 1e-5f});
        CHECK(test::first_difference(y, x) == -1);
      }
  });
}

}  // namespace
}  // namespace whit::softmax
