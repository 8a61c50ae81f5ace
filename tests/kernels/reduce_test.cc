// Every level of the folds against naive code that adds in the documented order.
#include "kernels/reduce/reduce.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/table_support.h"

namespace whit::reduce {
namespace {

using test::Guarded;

constexpr Fold kFolds[] = {Fold::sum, Fold::max, Fold::min};

f32 combine(Fold fold, f32 a, f32 b) {
  if (fold == Fold::sum) return a + b;
  if (std::isnan(a) || std::isnan(b)) return __builtin_nanf("");
  return fold == Fold::max ? std::max(a, b) : std::min(a, b);
}
s32 combine(Fold fold, s32 a, s32 b) {
  return fold == Fold::sum ? a + b : fold == Fold::max ? std::max(a, b) : std::min(a, b);
}

void fill(Guarded<f32>& x, test::Random& random, bool with_nan) {
  random.fill_reals(x.span(), -3, 3);
  if (with_nan && x.size() > 0) x[random.integer(0, x.size() - 1)] = __builtin_nanf("");
}

TEST_CASE("columns fold in ascending order") {
  test::Random random(1);
  test::for_each_level(tables(), [&](const Table& table) {
    for (Fold fold : kFolds)
      for (auto [rows, cols] : {std::pair<isize, isize>{1, 1}, {3, 7}, {4, 16}, {9, 33}, {49, 65}, {17, 100}})
        for (isize gap : {0, 5}) {
          const isize stride = cols + gap, elements = (rows - 1) * stride + cols;
          Guarded<f32> x(elements), acc(cols);
          Guarded<s8> q(elements), narrow(cols);
          Guarded<s32> wide(cols);
          fill(x, random, gap != 0);
          random.fill_integers(q.span(), -128, 127);
          std::fill_n(acc.data(), cols, identity_f32(fold));
          std::fill_n(wide.data(), cols, 0);
          std::fill_n(narrow.data(), cols, identity_s8(fold));
          const int f = static_cast<int>(fold);
          table.columns_f32[f]({x.data(), rows, cols, stride, acc.data()});
          void* s8_acc = fold == Fold::sum ? static_cast<void*>(wide.data()) : narrow.data();
          table.columns_s8[f]({q.data(), rows, cols, stride, s8_acc});
          for (isize c = 0; c < cols; ++c) {
            f32 wanted = identity_f32(fold);
            s32 exact = fold == Fold::sum ? 0 : identity_s8(fold);
            for (isize r = 0; r < rows; ++r) {
              wanted = combine(fold, wanted, x[r * stride + c]);
              exact = combine(fold, exact, s32{q[r * stride + c]});
            }
            CHECK(test::same_value(acc[c], wanted));
            CHECK((fold == Fold::sum ? wide[c] : s32{narrow[c]}) == exact);
          }
        }
  });
}

TEST_CASE("rows: 16 partial sums, joined by halves") {
  test::Random random(2);
  test::for_each_level(tables(), [&](const Table& table) {
    for (isize n : {1, 2, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 1000, 4097})
      for (bool with_nan : {false, true}) {
        Guarded<f32> x(n);
        Guarded<s8> q(n);
        fill(x, random, with_nan);
        random.fill_integers(q.span(), -128, 127);
        f32 lane[kSumLanes] = {}, largest = -__builtin_inff(), smallest = __builtin_inff();
        s32 sum = 0, high = -128, low = 127;
        for (isize i = 0; i < n; ++i) {
          lane[i % kSumLanes] += x[i];
          largest = combine(Fold::max, largest, x[i]);
          smallest = combine(Fold::min, smallest, x[i]);
          sum += q[i], high = std::max<s32>(high, q[i]), low = std::min<s32>(low, q[i]);
        }
        for (isize w = kSumLanes / 2; w > 0; w /= 2)
          for (isize j = 0; j < w; ++j) lane[j] += lane[j + w];
        INFO("n = ", n);
        CHECK(test::same_value(table.row_f32[0](x.data(), n), lane[0]));
        CHECK(test::same_value(table.row_f32[1](x.data(), n), largest));
        CHECK(test::same_value(table.row_f32[2](x.data(), n), smallest));
        CHECK(table.row_s8[0](q.data(), n) == sum);
        CHECK(table.row_s8[1](q.data(), n) == high);
        CHECK(table.row_s8[2](q.data(), n) == low);
      }
  });
}

template <class T>
s32 naive_arg_max(const T* x, isize n, isize step) {
  isize best = 0;
  for (isize i = 1; i < n; ++i) {
    const f32 a = static_cast<f32>(x[i * step]), b = static_cast<f32>(x[best * step]);
    if (a > b || (std::isnan(a) && !std::isnan(b))) best = i;
  }
  return static_cast<s32>(best);
}

TEST_CASE("arg_max gives the first of equals, along rows and columns") {
  test::Random random(3);
  test::for_each_level(tables(), [&](const Table& table) {
    for (isize n : {1, 2, 10, 63, 64, 65, 200, 1000})
      for (int kind = 0; kind < 4; ++kind) {  // few distinct values, spread values, a NaN, all -infinity
        const isize rows = n > 100 ? 3 : 70;
        Guarded<f32> x(rows * n);
        Guarded<s8> q(rows * n);
        for (isize i = 0; i < x.size(); ++i) {
          x[i] = kind == 0   ? static_cast<f32>(random.integer(0, 3))
                 : kind == 3 ? -__builtin_inff()
                             : random.real(-1, 1);
          q[i] = static_cast<s8>(kind == 0 ? random.integer(-128, -126) : random.integer(-128, 127));
        }
        if (kind == 2) x[random.integer(0, x.size() - 1)] = __builtin_nanf("");
        Guarded<s32> y(rows), y8(rows);
        for (bool columns : {false, true}) {
          const isize row_stride = columns ? 1 : n, step = columns ? rows : 1;
          table.arg_max_f32({x.data(), y.data(), rows, n, row_stride, step});
          table.arg_max_s8({q.data(), y8.data(), rows, n, row_stride, step});
          for (isize r = 0; r < rows; ++r) {
            INFO("n = ", n, ", row ", r, ", columns ", columns, ", kind ", kind);
            CHECK(y[r] == naive_arg_max(x.data() + r * row_stride, n, step));
            CHECK(y8[r] == naive_arg_max(q.data() + r * row_stride, n, step));
          }
        }
      }
  });
}

TEST_CASE("means") {
  test::Random random(4);
  test::for_each_level(tables(), [&](const Table& table) {
    for (isize n : {1, 7, 16, 65, 300}) {
      Guarded<s32> acc(n);
      Guarded<s8> y(n);
      Guarded<f32> sums(n), means(n);
      random.fill_integers(acc.span(), -60000, 60000);
      acc[0] = 25, acc[n - 1] = -75;  // ties with the scale below
      random.fill_reals(sums.span(), -1e4f, 1e4f);
      for (f32 scale : {0.1f, 0.5f, 0.0025f, 1e30f}) {
        const s32 offset = static_cast<s32>(random.integer(-5000, 5000)) / 2 * 2,
                  zero_point = static_cast<s32>(random.integer(-128, 127));
        table.mean_s8(acc.data(), y.data(), n, offset, scale, zero_point);
        for (isize i = 0; i < n; ++i) {
          volatile f32 t = static_cast<f32>(acc[i] - offset) * scale;
          const f64 wanted = std::nearbyint(static_cast<f64>(t)) + zero_point;
          CHECK(static_cast<f64>(y[i]) == std::min(std::max(wanted, -128.0), 127.0));
        }
      }
      table.mean_f32(sums.data(), means.data(), n, 49.0f);
      for (isize i = 0; i < n; ++i) CHECK(means[i] == sums[i] / 49.0f);
    }
  });
}

}  // namespace
}  // namespace whit::reduce
