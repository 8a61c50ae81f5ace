// Every level of the pools against a window walked pixel by pixel.
#include "kernels/pool/pool.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/table_support.h"

namespace whit::pool {
namespace {

using test::Guarded;

struct Case {
  Geometry g;
  isize n;
};

isize out_size(isize in, isize kernel, isize stride, isize dilation, isize begin, isize end, bool ceil_mode) {
  const isize room = in + begin + end - ((kernel - 1) * dilation + 1);
  isize out = room / stride + 1;
  if (ceil_mode && room % stride != 0 && out * stride < in + begin) ++out;
  return out;
}

Case make(isize n, isize h, isize w, isize c, isize kernel_h, isize kernel_w, isize stride, isize dilation, isize begin,
          isize end, bool ceil_mode) {
  return {
      {h, w,
       out_size(h, kernel_h, stride, dilation, std::min(begin, kernel_h - 1), std::min(end, kernel_h - 1), ceil_mode),
       out_size(w, kernel_w, stride, dilation, std::min(begin, kernel_w - 1), std::min(end, kernel_w - 1), ceil_mode),
       c, kernel_h, kernel_w, stride, stride, dilation, dilation, std::min(begin, kernel_h - 1),
       std::min(begin, kernel_w - 1), std::min(end, kernel_h - 1), std::min(end, kernel_w - 1)},
      n};
}

std::vector<Case> cases(bool dilated) {
  std::vector<Case> all = {
      make(1, 7, 9, 5, 3, 3, 2, 1, 1, 1, false),      make(2, 8, 6, 16, 2, 2, 2, 1, 0, 0, false),
      make(1, 6, 6, 3, 3, 3, 2, 1, 1, 0, true),       make(1, 6, 7, 70, 3, 3, 2, 1, 0, 0, true),
      make(1, 1, 30, 9, 1, 4, 3, 1, 1, 2, true),      make(1, 5, 5, 130, 5, 5, 1, 1, 2, 2, false),
      make(2, 4, 4, 33, 4, 4, 4, 1, 0, 0, false),     make(1, 6, 6, 8, 2, 2, 3, 1, 1, 1, true),
      make(1, 3, 3, 1, 1, 1, 1, 1, 0, 0, false),      make(1, 17, 17, 20, 16, 16, 1, 1, 0, 0, false),
      make(1, 17, 18, 20, 17, 16, 1, 1, 0, 0, false), make(1, 12, 11, 64, 4, 3, 1, 1, 2, 1, false),
  };
  if (dilated) {
    all.push_back(make(1, 9, 9, 17, 3, 3, 1, 2, 1, 1, false));
    all.push_back(make(1, 5, 6, 4, 2, 2, 2, 3, 1, 1, true));
    all.push_back(
        {{1, 1, 1, 1, 6, 2, 2, 1, 1, 3, 3, 1, 1, 2, 2}, 1});  // taps at -1 and 2 of one pixel: no pixel at all
  }
  return all;
}

// visit(image row, image column, exists, within the padded image) for each tap of an output pixel.
template <class Visit>
void walk(const Geometry& g, isize i, isize j, Visit&& visit) {
  for (isize th = 0; th < g.kernel_h; ++th)
    for (isize tw = 0; tw < g.kernel_w; ++tw) {
      const isize h = i * g.stride_h - g.pad_top + th * g.dilation_h,
                  w = j * g.stride_w - g.pad_left + tw * g.dilation_w;
      visit(h, w, h >= 0 && h < g.in_h && w >= 0 && w < g.in_w, h < g.in_h + g.pad_bottom && w < g.in_w + g.pad_right);
    }
}

template <class T>
void fill(Guarded<T>& x, test::Random& random) {
  if constexpr (sizeof(T) == 1)
    random.fill_integers(x.span(), -128, 127);
  else
    random.fill_reals(x.span(), -3, 3);
}

template <class T>
T naive_max(const Case& c, const Guarded<T>& x, isize image, isize i, isize j, isize channel) {
  T m = sizeof(T) == 1 ? static_cast<T>(-128) : static_cast<T>(-__builtin_inff());
  walk(c.g, i, j, [&](isize h, isize w, bool exists, bool) {
    if (!exists) return;
    const T value = x[((image * c.g.in_h + h) * c.g.in_w + w) * c.g.channels + channel];
    if (value != value || m != m)
      m = static_cast<T>(__builtin_nanf(""));
    else
      m = std::max(m, value);
  });
  return m;
}

template <class T>
void check_max(const Table& table, bool with_nan) {
  test::Random random(1);
  for (const Case& c : cases(true)) {
    const Geometry& g = c.g;
    Guarded<T> x(c.n * g.in_h * g.in_w * g.channels), y(c.n * g.out_h * g.out_w * g.channels);
    fill(x, random);
    if constexpr (sizeof(T) == 4)
      if (with_nan) x[random.integer(0, x.size() - 1)] = __builtin_nanf("");
    const Args args{x.data(), y.data(), g, {}};
    const isize rows = c.n * g.out_h, middle = rows / 2;
    const auto run = sizeof(T) == 1 ? table.max_s8 : table.max_f32;
    run(args, 0, middle);
    run(args, middle, rows);
    isize wrong = 0, at = 0;
    for (isize r = 0; r < rows; ++r)
      for (isize j = 0; j < g.out_w; ++j)
        for (isize k = 0; k < g.channels; ++k, ++at)
          wrong += !test::same_value(y[at], naive_max(c, x, r / g.out_h, r % g.out_h, j, k));
    INFO("image ", g.in_h, " x ", g.in_w, ", window ", g.kernel_h, " x ", g.kernel_w);
    CHECK(wrong == 0);
  }
}

TEST_CASE("max pools") {
  test::for_each_level(tables(), [](const Table& table) {
    check_max<f32>(table, false);
    check_max<f32>(table, true);
    check_max<s8>(table, false);
  });
}

TEST_CASE("average pools") {
  test::for_each_level(tables(), [](const Table& table) {
    test::Random random(2);
    for (const Case& c : cases(false))
      for (bool include : {false, true}) {
        const Geometry& g = c.g;
        const isize elements = c.n * g.in_h * g.in_w * g.channels, outputs = c.n * g.out_h * g.out_w * g.channels;
        Guarded<f32> x(elements), y(outputs);
        Guarded<s8> q(elements), p(outputs);
        fill(x, random);
        fill(q, random);
        if (g.kernel_h >= 16) std::fill_n(q.data(), elements, s8{-128});  // the sum that just fits into s16
        AverageParams params{include, 0.05, random.integer(0, 1) ? 0.05 : 0.013,
                             static_cast<s32>(random.integer(-128, 127)), static_cast<s32>(random.integer(-128, 127))};
        const isize rows = c.n * g.out_h;
        table.average_f32({x.data(), y.data(), g, params}, 0, rows);
        table.average_s8({q.data(), p.data(), g, params}, 0, rows);
        isize wrong = 0, at = 0;
        for (isize r = 0; r < rows; ++r)
          for (isize j = 0; j < g.out_w; ++j)
            for (isize k = 0; k < g.channels; ++k, ++at) {
              f32 sum = 0;
              s32 exact = 0;
              isize count = 0;
              walk(g, r % g.out_h, j, [&](isize h, isize w, bool exists, bool padded) {
                count += include ? padded : exists;
                if (!exists) return;
                const isize from = ((r / g.out_h * g.in_h + h) * g.in_w + w) * g.channels + k;
                sum += x[from];
                exact += q[from] - params.x_zero_point;
              });
              wrong += !test::same_value(y[at], sum / static_cast<f32>(count));
              const f32 factor = static_cast<f32>(params.x_scale / (params.y_scale * static_cast<f64>(count)));
              volatile f32 t = static_cast<f32>(exact) * factor;
              const f64 wanted = std::nearbyint(static_cast<f64>(t)) + params.y_zero_point;
              wrong += static_cast<f64>(p[at]) != std::min(std::max(wanted, -128.0), 127.0);
            }
        INFO("image ", g.in_h, " x ", g.in_w, ", window ", g.kernel_h, " x ", g.kernel_w, ", include ", include);
        CHECK(wrong == 0);
      }
  });
}

}  // namespace
}  // namespace whit::pool
