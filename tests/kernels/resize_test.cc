#include "kernels/resize/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "test_support.h"

namespace whit::resize {
namespace {

using namespace whit::test;

constexpr Coordinate kCoordinates[] = {Coordinate::asymmetric, Coordinate::half_pixel, Coordinate::pytorch_half_pixel,
                                       Coordinate::align_corners};

/// The ONNX definition in f64.
f64 exact_source(const Axis& axis, isize i) {
  const f64 at = static_cast<f64>(i), scale = axis.scale;
  switch (axis.coordinate) {
    case Coordinate::asymmetric: return at / scale;
    case Coordinate::half_pixel: return (at + 0.5) / scale - 0.5;
    case Coordinate::pytorch_half_pixel: return axis.out > 1 ? (at + 0.5) / scale - 0.5 : 0;
    case Coordinate::align_corners:
      return axis.out > 1 ? at * static_cast<f64>(axis.in - 1) / static_cast<f64>(axis.out - 1) : 0;
  }
  return 0;
}

Axis make_axis(isize in, isize out, Coordinate coordinate) {
  return {in, out, static_cast<f32>(out) / static_cast<f32>(in), coordinate};
}

std::vector<s32> nearest_of(const Axis& axis, Nearest rounding) {
  std::vector<s32> table(static_cast<std::size_t>(axis.out));
  nearest_table(axis, rounding, table.data());
  return table;
}

std::vector<Tap> linear_of(const Axis& axis) {
  std::vector<Tap> table(static_cast<std::size_t>(axis.out));
  linear_table(axis, table.data());
  return table;
}

TEST_CASE("nearest tables of ONNX's examples") {
  using V = std::vector<s32>;
  const Axis up = make_axis(2, 4, Coordinate::asymmetric), half = make_axis(2, 4, Coordinate::half_pixel);
  CHECK(nearest_of(up, Nearest::floor) == V{0, 0, 1, 1});
  CHECK(nearest_of(up, Nearest::ceil) == V{0, 1, 1, 1});
  CHECK(nearest_of(up, Nearest::round_prefer_floor) == V{0, 0, 1, 1});
  CHECK(nearest_of(up, Nearest::round_prefer_ceil) == V{0, 1, 1, 1});
  CHECK(nearest_of(half, Nearest::floor) == V{0, 0, 0, 1});
  CHECK(nearest_of(half, Nearest::ceil) == V{0, 1, 1, 1});
  CHECK(nearest_of(half, Nearest::round_prefer_floor) == V{0, 0, 1, 1});
  CHECK(nearest_of(make_axis(4, 8, Coordinate::align_corners), Nearest::floor) == V{0, 0, 0, 1, 1, 2, 2, 3});
  CHECK(nearest_of(make_axis(4, 1, Coordinate::pytorch_half_pixel), Nearest::floor) == V{0});
  CHECK(nearest_of(make_axis(4, 1, Coordinate::half_pixel), Nearest::round_prefer_floor) == V{1});
  CHECK(nearest_of(make_axis(4, 1, Coordinate::half_pixel), Nearest::round_prefer_ceil) == V{2});
}

TEST_CASE("tables stay inside for any scale") {
  for (f32 scale : {1e-30f, 1e-3f, 0.37f, 1.0f, 2.5f, 1e30f, std::numeric_limits<f32>::infinity(),
                    std::numeric_limits<f32>::denorm_min()})
    for (Coordinate coordinate : kCoordinates)
      for (isize in : {1, 2, 7})
        for (isize out : {1, 2, 9}) {
          const Axis axis{in, out, scale, coordinate};
          for (int rounding = 0; rounding < 4; ++rounding)
            for (s32 index : nearest_of(axis, static_cast<Nearest>(rounding))) CHECK((index >= 0 && index < in));
          for (const Tap& tap : linear_of(axis)) {
            CHECK((tap.lower >= 0 && tap.lower <= tap.upper && tap.upper < in));
            CHECK((tap.weight >= 0 && tap.weight <= 1));
          }
        }
}

TEST_CASE("nearest copies pixels of any size") {
  Random random(1);
  for (Coordinate coordinate : kCoordinates)
    for (isize pixel_bytes : {1, 2, 3, 4, 12, 20})
      for (isize out_h : {3, 5, 10})
        for (isize out_w : {2, 7, 14}) {
          const Axis y = make_axis(5, out_h, coordinate), x = make_axis(7, out_w, coordinate);
          const auto h = nearest_of(y, Nearest::floor), w = nearest_of(x, Nearest::floor);
          Guarded<std::byte> in(2 * 5 * 7 * pixel_bytes), out(2 * out_h * out_w * pixel_bytes);
          for (std::byte& byte : in.span()) byte = static_cast<std::byte>(random.next());
          const isize rows = 2 * out_h, middle = rows / 3;
          nearest({5, 7, out_h, out_w, 0}, pixel_bytes, h.data(), w.data(), in.data(), out.data(), 0, middle);
          nearest({5, 7, out_h, out_w, 0}, pixel_bytes, h.data(), w.data(), in.data(), out.data(), middle, rows);
          for (isize n = 0; n < 2; ++n)
            for (isize oy = 0; oy < out_h; ++oy)
              for (isize ox = 0; ox < out_w; ++ox) {
                const isize iy = std::clamp<isize>(static_cast<isize>(std::floor(exact_source(y, oy) + 1e-6)), 0, 4);
                const isize ix = std::clamp<isize>(static_cast<isize>(std::floor(exact_source(x, ox) + 1e-6)), 0, 6);
                CHECK(std::memcmp(in.data() + ((n * 5 + iy) * 7 + ix) * pixel_bytes,
                                  out.data() + ((n * out_h + oy) * out_w + ox) * pixel_bytes,
                                  static_cast<std::size_t>(pixel_bytes)) == 0);
              }
        }
}

/// Bilinear interpolation in f64.
f64 exact_linear(const Axis& y, const Axis& x, isize oy, isize ox, const auto& pixel) {
  const f64 sy = std::clamp(exact_source(y, oy), 0.0, static_cast<f64>(y.in - 1));
  const f64 sx = std::clamp(exact_source(x, ox), 0.0, static_cast<f64>(x.in - 1));
  const isize y0 = static_cast<isize>(sy), x0 = static_cast<isize>(sx);
  const isize y1 = std::min(y0 + 1, y.in - 1), x1 = std::min(x0 + 1, x.in - 1);
  const f64 wy = sy - static_cast<f64>(y0), wx = sx - static_cast<f64>(x0);
  return (pixel(y0, x0) * (1 - wy) + pixel(y1, x0) * wy) * (1 - wx) +
         (pixel(y0, x1) * (1 - wy) + pixel(y1, x1) * wy) * wx;
}

TEST_CASE("linear, f32 and s8") {
  Random random(2);
  for (Coordinate coordinate : kCoordinates)
    for (isize channels : {1, 3, 8, 17})
      for (auto [out_h, out_w] : {std::pair<isize, isize>{10, 14}, {3, 4}, {1, 1}, {5, 7}, {13, 5}}) {
        const Axis y = make_axis(5, out_h, coordinate), x = make_axis(7, out_w, coordinate);
        const auto h = linear_of(y), w = linear_of(x);
        const Image image{5, 7, out_h, out_w, channels};
        Guarded<f32> in(2 * 5 * 7 * channels), out(2 * out_h * out_w * channels), row(7 * channels);
        Guarded<s8> in_s8(in.size()), out_s8(out.size());
        random.fill_reals(in.span(), -4, 4);
        random.fill_integers(in_s8.span(), -128, 127);
        const Steps steps{-5, 1.3f, 17};
        for (isize r = 0; r < 2 * out_h; ++r) {
          linear(image, h.data(), w.data(), in.data(), out.data(), row.data(), r, r + 1);
          linear(image, h.data(), w.data(), steps, in_s8.data(), out_s8.data(), row.data(), r, r + 1);
        }
        for (isize i = 0; i < out.size(); ++i) {
          const isize c = i % channels, ox = i / channels % out_w, oy = i / channels / out_w % out_h;
          const isize image_begin = i / channels / out_w / out_h * 5 * 7 * channels;
          const auto at = [&](const auto& values, isize iy, isize ix) {
            return static_cast<f64>(values[image_begin + (iy * 7 + ix) * channels + c]);
          };
          const f64 wanted = exact_linear(y, x, oy, ox, [&](isize iy, isize ix) { return at(in, iy, ix); });
          CHECK(std::abs(out[i] - wanted) < 1e-5);
          const f64 real = exact_linear(y, x, oy, ox, [&](isize iy, isize ix) { return at(in_s8, iy, ix) + 5; }) *
                           static_cast<f64>(steps.scale);
          CHECK(std::abs(out_s8[i] - std::clamp(real + 17, -128.0, 127.0)) < 0.5001);
        }
      }
}

TEST_CASE("linear follows its contract to the bit") {
  Random random(3);
  const Axis y = make_axis(3, 8, Coordinate::half_pixel), x = make_axis(4, 9, Coordinate::half_pixel);
  const auto h = linear_of(y), w = linear_of(x);
  std::vector<f32> in(3 * 4), out(8 * 9), row(4);
  std::vector<s8> in_s8(3 * 4), out_s8(8 * 9);
  random.fill_reals(in, -1, 1);
  random.fill_integers(std::span(in_s8), -128, 127);
  const Steps steps{-128, 1.5f, -3};
  linear({3, 4, 8, 9, 1}, h.data(), w.data(), in.data(), out.data(), row.data(), 0, 8);
  linear({3, 4, 8, 9, 1}, h.data(), w.data(), steps, in_s8.data(), out_s8.data(), row.data(), 0, 8);
  for (std::size_t oy = 0; oy < 8; ++oy)
    for (std::size_t ox = 0; ox < 9; ++ox) {
      const Tap ty = h[oy], tx = w[ox];
      const auto blend = [&](const auto& pixel) {
        const auto down = [&](s32 column) {
          const f32 a = pixel(ty.lower, column), b = pixel(ty.upper, column);
          const f32 rest = 1.0f - ty.weight;
          const volatile f32 first = a * rest, second = b * ty.weight;
          return ty.lower == ty.upper ? a : first + second;
        };
        const f32 left = down(tx.lower), right = down(tx.upper), rest = 1.0f - tx.weight;
        const volatile f32 first = left * rest, second = right * tx.weight;
        return tx.lower == tx.upper ? left : first + second;
      };
      const f32 real = blend([&](s32 r, s32 c) { return in[static_cast<std::size_t>(r * 4 + c)]; });
      CHECK(std::memcmp(&real, &out[oy * 9 + ox], sizeof real) == 0);
      const f32 step =
          blend([&](s32 r, s32 c) { return static_cast<f32>(in_s8[static_cast<std::size_t>(r * 4 + c)] + 128); }) *
          steps.scale;
      CHECK(int{out_s8[oy * 9 + ox]} == static_cast<int>(std::nearbyint(std::clamp(step, -125.0f, 130.0f))) - 3);
    }
}

TEST_CASE("s8 rounds half to even") {
  const Axis axis = make_axis(1, 1, Coordinate::asymmetric);
  const auto table = linear_of(axis);
  const Steps steps{0, 0.5f, 0};
  for (auto [in, wanted] : {std::pair<s8, int>{1, 0}, {3, 2}, {5, 2}, {-1, 0}, {-3, -2}, {-5, -2}, {127, 64}}) {
    s8 out = 99;
    f32 row = 0;
    linear({1, 1, 1, 1, 1}, table.data(), table.data(), steps, &in, &out, &row, 0, 1);
    CHECK(int{out} == wanted);
  }
}

}  // namespace
}  // namespace whit::resize
