// Every level of convert against naive f64 code and, bit for bit, against the scalar level.
#include "kernels/convert/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/table_support.h"

namespace whit::convert {
namespace {

using test::Guarded;
using test::same_value;

s8 naive_quantize(f32 x, f32 scale, s32 zero_point) {
  if (std::isnan(x)) return static_cast<s8>(zero_point);
  volatile f32 t = x / scale;
  const f64 rounded = std::nearbyint(static_cast<f64>(t)) + zero_point;
  return static_cast<s8>(std::min(std::max(rounded, -128.0), 127.0));
}

TEST_CASE("quantize and dequantize, per tensor and per column") {
  test::Random random(5);
  test::for_each_level(tables(), [&](const Table& table) {
    for (auto [rows, cols] : {std::pair<isize, isize>{1, 500}, {7, 33}, {20, 1}, {3, 64}, {4, 5}})
      for (bool per_column : {false, true}) {
        Guarded<f32> x(rows * cols), back(rows * cols), scale(per_column ? cols : 1);
        Guarded<s8> y(rows * cols);
        Guarded<s32> zero_point(scale.size()), wide(rows * cols);
        const std::vector<f32> special = test::special_values();
        for (isize i = 0; i < scale.size(); ++i) {
          scale[i] = random.integer(0, 1) ? 0.25f : random.real(1e-4f, 3);
          zero_point[i] = static_cast<s32>(random.integer(0, 3) ? random.integer(-128, 127) : -128);
        }
        for (isize i = 0; i < x.size(); ++i) {
          const f32 s = scale[per_column ? i % cols : 0];
          if (random.integer(0, 4) == 0)
            x[i] = special[static_cast<std::size_t>(random.integer(0, static_cast<s64>(special.size()) - 1))];
          else
            x[i] = random.integer(0, 1) ? s * (static_cast<f32>(random.integer(-300, 300)) + 0.5f)
                                        : random.real(-300, 300) * s;
          wide[i] = static_cast<s32>(random.next());
        }
        table.quantize({x.data(), y.data(), rows, cols, scale.data(), zero_point.data(), per_column});
        isize wrong = 0;
        for (isize i = 0; i < x.size(); ++i) {
          const isize c = per_column ? i % cols : 0;
          wrong += y[i] != naive_quantize(x[i], scale[c], zero_point[c]);
        }
        CHECK(wrong == 0);
        table.dequantize_s8({y.data(), back.data(), rows, cols, scale.data(), zero_point.data(), per_column});
        for (isize i = 0; i < x.size(); ++i) {
          const isize c = per_column ? i % cols : 0;
          wrong += !same_value(back[i], static_cast<f32>(y[i] - zero_point[c]) * scale[c]);
        }
        CHECK(wrong == 0);
        table.dequantize_s32({wide.data(), back.data(), rows, cols, scale.data(), zero_point.data(), per_column});
        for (isize i = 0; i < x.size(); ++i) {
          const isize c = per_column ? i % cols : 0;
          const u32 difference = static_cast<u32>(wide[i]) - static_cast<u32>(zero_point[c]);
          wrong += !same_value(back[i], static_cast<f32>(static_cast<s32>(difference)) * scale[c]);
        }
        CHECK(wrong == 0);
      }
  });
}

/// The grid of a row as convert.h defines it: scale and zero point.
std::pair<f32, s32> naive_grid(const f32* x, isize n) {
  f32 low = 0, high = 0;
  for (isize i = 0; i < n; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  const f32 upper = high / 255, lower = low / 255;
  const f32 span = upper - lower;
  const f32 scale = span < 0x1p-60f ? 1 : span;
  if (std::isinf(scale)) return {scale, 0};
  const f32 steps = low / scale;
  const f64 zero = std::nearbyint(static_cast<f64>(static_cast<f32>(-128 - steps)));
  return {scale, static_cast<s32>(std::min(std::max(zero, -128.0), 127.0))};
}

TEST_CASE("quantize_rows gives each row the grid that spans its values and 0") {
  test::Random random(7);
  test::for_each_level(tables(), [&](const Table& table) {
    for (auto [rows, cols] : {std::pair<isize, isize>{1, 700}, {9, 33}, {5, 1}, {3, 64}, {40, 7}}) {
      Guarded<f32> x(rows * cols), scale(rows);
      Guarded<s8> y(rows * cols);
      Guarded<s32> zero_point(rows);
      const std::vector<f32> special = test::special_values();
      for (isize r = 0; r < rows; ++r) {
        const f32 size = std::ldexp(1.0f, static_cast<int>(random.integer(-70, 70)));
        const f32 middle = static_cast<f32>(random.integer(-2, 2));
        for (isize i = 0; i < cols; ++i) x[r * cols + i] = (random.real(-1, 1) + middle) * size;
        if (r % 3 == 2)
          x[r * cols + random.integer(0, cols - 1)] =
              special[static_cast<std::size_t>(random.integer(0, static_cast<s64>(special.size()) - 1))];
      }
      table.quantize_rows({x.data(), y.data(), rows, cols, scale.data(), zero_point.data()});
      isize wrong = 0;
      for (isize r = 0; r < rows; ++r) {
        const auto [wanted_scale, wanted_zero] = naive_grid(x.data() + r * cols, cols);
        wrong += !same_value(scale[r], wanted_scale) || zero_point[r] != wanted_zero;
        for (isize i = r * cols; i < (r + 1) * cols; ++i)
          wrong += y[i] != naive_quantize(x[i], wanted_scale, wanted_zero);
      }
      CHECK(wrong == 0);
    }
  });
}

f32 naive_finish(f32 t, const f32* added, Activation activation, f32 low, f32 high) {
  if (added) t = t + *added;
  if (activation == Activation::hard_swish) {
    f32 gate = t * (1.0f / 6.0f);
    gate = gate + 0.5f;
    t = t * std::min(std::max<f32>(gate, 0), 1.0f);
  }
  return std::min(std::max<f32>(t, low), high);
}

TEST_CASE("finish_rows: residual, activation, clamp, and nothing between rows") {
  constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
  test::Random random(9);
  test::for_each_level(tables(), [&](const Table& table) {
    for (auto [rows, cols] : {std::pair<isize, isize>{1, 700}, {9, 33}, {5, 1}, {3, 64}})
      for (bool residual : {false, true})
        for (Activation activation : {Activation::clamp, Activation::hard_swish})
          for (auto [low, high] : {std::pair{-kInfinity, kInfinity}, {0.0f, 6.0f}}) {
            const isize stride = cols + 3;
            Guarded<f32> y(rows * stride), added(rows * cols);
            for (isize i = 0; i < y.size(); ++i) y[i] = random.real(-9, 9);
            for (isize i = 0; i < added.size(); ++i) added[i] = random.real(-3, 3);
            const std::vector<f32> before(y.data(), y.data() + y.size());
            table.finish_rows(
                {y.data(), rows, cols, stride, {activation, residual ? added.data() : nullptr, cols, low, high}});
            isize wrong = 0;
            for (isize i = 0; i < y.size(); ++i) {
              const f32 old = before[static_cast<std::size_t>(i)];
              const isize r = i / stride, c = i % stride;
              const f32* const more = residual && c < cols ? &added[r * cols + c] : nullptr;
              wrong += !same_value(y[i], c < cols ? naive_finish(old, more, activation, low, high) : old);
            }
            CHECK(wrong == 0);
          }
  });
}

TEST_CASE("dequantize_rows: scales, zero points, bias, residual, activation") {
  constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
  test::Random random(8);
  test::for_each_level(tables(), [&](const Table& table) {
    for (auto [rows, cols] : {std::pair<isize, isize>{1, 700}, {9, 33}, {5, 1}, {3, 64}})
      for (bool residual : {false, true})
        for (Activation activation : {Activation::clamp, Activation::hard_swish})
          for (auto [low, high] : {std::pair{-kInfinity, kInfinity}, {0.0f, 6.0f}}) {
            const isize stride = cols + 3;
            std::vector<s32> sums(static_cast<std::size_t>(rows * stride));
            Guarded<f32> y(rows * stride), row_scale(rows), scale(cols), bias(cols), added(rows * cols);
            Guarded<s32> zero_point(rows), column_sum(cols);
            for (s32& sum : sums) sum = static_cast<s32>(random.next()) >> random.integer(0, 24);
            std::memcpy(y.data(), sums.data(), sums.size() * sizeof(s32));
            for (isize r = 0; r < rows; ++r) {
              row_scale[r] = random.real(1e-4f, 0.1f);
              zero_point[r] = static_cast<s32>(random.integer(-128, 127));
            }
            for (isize c = 0; c < cols; ++c) {
              scale[c] = random.real(1e-4f, 0.1f), bias[c] = random.real(-3, 3);
              column_sum[c] = static_cast<s32>(random.integer(-9000, 9000));
            }
            for (isize i = 0; i < added.size(); ++i) added[i] = random.real(-3, 3);
            table.dequantize_rows({reinterpret_cast<std::byte*>(y.data()),
                                   rows,
                                   cols,
                                   stride,
                                   row_scale.data(),
                                   zero_point.data(),
                                   column_sum.data(),
                                   scale.data(),
                                   bias.data(),
                                   {activation, residual ? added.data() : nullptr, cols, low, high}});
            isize wrong = 0;
            for (isize r = 0; r < rows; ++r)
              for (isize c = 0; c < stride; ++c) {
                const s32 sum = sums[static_cast<std::size_t>(r * stride + c)];
                if (c >= cols) {  // between the rows
                  wrong += test::bits_of(y[r * stride + c]) != static_cast<u32>(sum);
                  continue;
                }
                const u32 moved = static_cast<u32>(sum) - static_cast<u32>(zero_point[r] * column_sum[c]);
                f32 t = static_cast<f32>(static_cast<s32>(moved)) * row_scale[r];
                t = t * scale[c];
                t = t + bias[c];
                const f32* const more = residual ? &added[r * cols + c] : nullptr;
                wrong += !same_value(y[r * stride + c], naive_finish(t, more, activation, low, high));
              }
            CHECK(wrong == 0);
          }
  });
}

template <class From, class To>
void check_cast(const Table& table, Number from, Number to, const std::vector<From>& x) {
  const isize n = static_cast<isize>(x.size());
  Guarded<To> y(n);
  table.cast[static_cast<int>(from)][static_cast<int>(to)]({x.data(), y.data(), n});
  isize wrong = 0;
  for (isize i = 0; i < n; ++i) {
    const f64 exact = static_cast<f64>(x[static_cast<std::size_t>(i)]);
    const f64 value = std::is_same_v<To, f32> ? exact : std::trunc(exact);
    if constexpr (std::is_same_v<To, f32>) {
      wrong += y[i] != static_cast<f32>(value);
    } else {
      const f64 low = std::numeric_limits<To>::min(), high = std::numeric_limits<To>::max();
      const f64 wanted = std::isnan(value) ? 0 : std::min(std::max(value, low), high);
      wrong += static_cast<f64>(y[i]) != wanted;
    }
  }
  INFO("from ", static_cast<int>(from), " to ", static_cast<int>(to));
  CHECK(wrong == 0);
}

// Quotients that are a half or an ulp beside it: a quotient that is not correctly rounded shows here.
TEST_CASE("quantize_planes is quantize and a transposition") {
  test::Random random(6);
  test::for_each_level(tables(), [&](const Table& table) {
    for (isize planes = 1; planes <= kMaxPlanes; ++planes)
      for (isize pixels : {1, 2, 15, 16, 17, 31, 65, 511, 512, 513, 1600})
        for (isize gap : {0, 5}) {
          Guarded<f32> x((planes - 1) * (pixels + gap) + pixels);
          Guarded<s8> y(planes * pixels);
          const f32 scale = random.integer(0, 1) ? 0.25f : random.real(1e-4f, 3);
          const s32 zero_point = static_cast<s32>(random.integer(-128, 127));
          for (isize i = 0; i < x.size(); ++i) x[i] = random.real(-200, 200) * scale;
          x[x.size() - 1] = std::numeric_limits<f32>::quiet_NaN();
          table.quantize_planes({x.data(), y.data(), pixels, planes, pixels + gap, scale, zero_point});
          isize wrong = 0;
          for (isize i = 0; i < pixels; ++i)
            for (isize p = 0; p < planes; ++p)
              wrong += y[i * planes + p] != naive_quantize(x[p * (pixels + gap) + i], scale, zero_point);
          INFO(planes, " planes, ", pixels, " pixels");
          CHECK(wrong == 0);
        }
  });
}

TEST_CASE("quantize divides exactly, for scales of any size") {
  test::Random random(6);
  test::for_each_level(tables(), [&](const Table& table) {
    for (int trial = 0; trial < 400; ++trial) {
      const f32 scale = std::ldexp(random.real(1, 2), static_cast<int>(random.integer(-120, 110)));
      const s32 zero_point = static_cast<s32>(random.integer(-128, 127));
      Guarded<f32> x(512 * 3);
      Guarded<s8> y(x.size());
      for (isize i = 0; i < x.size(); i += 3) {
        x[i] = (static_cast<f32>(i / 3 - 256) + 0.5f) * scale;
        x[i + 1] = std::nextafter(x[i], INFINITY);
        x[i + 2] = std::nextafter(x[i], -INFINITY);
      }
      table.quantize({x.data(), y.data(), 1, x.size(), &scale, &zero_point, false});
      isize wrong = 0;
      for (isize i = 0; i < x.size(); ++i) wrong += y[i] != naive_quantize(x[i], scale, zero_point);
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("cast truncates and clamps") {
  std::vector<f32> floats = test::special_values();
  std::vector<s32> words = {0, 1, -1, 127, 128, -128, -129, 255, 256, 2147483647, -2147483647 - 1, 16777217};
  std::vector<s8> small;
  std::vector<u8> bytes;
  test::Random random(6);
  for (int i = 0; i < 300; ++i) {
    floats.push_back(random.real(-300, 300));
    words.push_back(static_cast<s32>(random.next() >> random.integer(32, 60)));
    small.push_back(static_cast<s8>(i));
    bytes.push_back(static_cast<u8>(i));
  }
  test::for_each_level(tables(), [&](const Table& t) {
    check_cast<f32, s8>(t, Number::f32, Number::s8, floats);
    check_cast<f32, u8>(t, Number::f32, Number::u8, floats);
    check_cast<f32, s32>(t, Number::f32, Number::s32, floats);
    check_cast<s8, f32>(t, Number::s8, Number::f32, small);
    check_cast<s8, u8>(t, Number::s8, Number::u8, small);
    check_cast<s8, s32>(t, Number::s8, Number::s32, small);
    check_cast<u8, f32>(t, Number::u8, Number::f32, bytes);
    check_cast<u8, s8>(t, Number::u8, Number::s8, bytes);
    check_cast<u8, s32>(t, Number::u8, Number::s32, bytes);
    check_cast<s32, f32>(t, Number::s32, Number::f32, words);
    check_cast<s32, s8>(t, Number::s32, Number::s8, words);
    check_cast<s32, u8>(t, Number::s32, Number::u8, words);
  });
}

}  // namespace
}  // namespace whit::convert
