#include "kernels/dwconv_f32/dwconv_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "f32_support.h"
#include "kernels/dwconv_f32/kernel.h"

namespace whit::dwconv_f32 {
namespace {

using namespace whit::test;

/// A convolution with all its operands, each beside a guard page.
struct Convolution {
  Geometry g;
  isize taps, out_stride, residual_stride;
  Guarded<f32> in, pad, values, bias, residual;

  Convolution(const Geometry& g, Random& random)
      : g(g),
        taps(g.kernel_h * g.kernel_w),
        out_stride(g.channels + random.integer(0, 3)),
        residual_stride(g.channels + random.integer(0, 3)),
        in(units(random, g.in_h * g.in_w * g.channels)),
        pad(units(random, g.channels)),  // zeros in real use; here a tap that does not read it shows
        values(units(random, g.channels * taps)),
        bias(units(random, g.channels)),
        residual(units(random, (pixels() - 1) * residual_stride + g.channels)) {}

  isize pixels() const { return g.out_h * g.out_w; }

  PackedBuffer pack(const Kernel& kernel) const {
    const std::size_t bytes = packed_bytes(kernel, g.channels, taps);
    PackedBuffer packed(bytes);
    std::fill_n(packed.data(), bytes, std::byte{0xff});
    dwconv_f32::pack(kernel, {values.data(), bias.data(), g.channels, taps}, packed.data());
    return packed;
  }

  Args args(const PackedBuffer& packed, const EpilogueF32& epilogue, Guarded<f32>& out) const {
    return {g, in.data(), pad.data(), packed.data(), epilogue, out.data(), out_stride};
  }

  Guarded<f32> new_out() const { return untouched((pixels() - 1) * out_stride + g.channels); }

  /// Calls tap(input, weight) for every tap of an output, in the order of (i, j).
  template <class F>
  void for_each_tap(isize y, isize x, isize c, const F& tap) const {
    for (isize i = 0; i < g.kernel_h; ++i) {
      for (isize j = 0; j < g.kernel_w; ++j) {
        const isize in_y = y * g.stride_h + i * g.dilation_h - g.pad_top;
        const isize in_x = x * g.stride_w + j * g.dilation_w - g.pad_left;
        const bool inside = in_y >= 0 && in_y < g.in_h && in_x >= 0 && in_x < g.in_w;
        tap(inside ? in[(in_y * g.in_w + in_x) * g.channels + c] : pad[c], values[c * taps + i * g.kernel_w + j]);
      }
    }
  }

  /// The accumulators as this level's kernels must have them, bit for bit.
  std::vector<f32> accumulators(Isa isa) const {
    std::vector<f32> result;
    for (isize y = 0; y < g.out_h; ++y) {
      for (isize x = 0; x < g.out_w; ++x) {
        for (isize c = 0; c < g.channels; ++c) {
          f32 acc = bias[c];
          for_each_tap(y, x, c, [&](f32 a, f32 w) { acc = multiply_add(isa, a, w, acc); });
          result.push_back(acc);
        }
      }
    }
    return result;
  }

  f64 exact(isize pixel, isize c) const {
    f64 sum = bias[c];
    for_each_tap(pixel / g.out_w, pixel % g.out_w, c, [&](f32 a, f32 w) { sum += static_cast<f64>(a) * w; });
    return sum;
  }
};

/// The number of elements of `out` in rows [row_begin, row_end) that are not epilogue(acc), or were written elsewhere.
isize wrong_elements(const Convolution& p, const EpilogueF32& e, const std::vector<f32>& acc, const Guarded<f32>& out,
                     isize row_begin, isize row_end) {
  isize wrong = 0;
  for (isize at = 0; at < out.size(); ++at) {
    const isize pixel = at / p.out_stride, c = at % p.out_stride, y = pixel / p.g.out_w;
    u32 want = kUntouched;
    if (c < p.g.channels && y >= row_begin && y < row_end)
      want = bits(epilogue(e, acc[pixel * p.g.channels + c], p.residual[pixel * p.residual_stride + c]));
    wrong += bits(out[at]) != want;
  }
  return wrong;
}

void check(const Kernel& kernel, const Geometry& g, u32 seed) {
  CAPTURE(seed);
  CAPTURE(g.in_h);
  CAPTURE(g.in_w);
  CAPTURE(g.channels);
  CAPTURE(g.kernel_h);
  CAPTURE(g.kernel_w);
  CAPTURE(g.pad_top);
  CAPTURE(g.pad_left);
  CAPTURE(g.out_h);
  CAPTURE(g.out_w);
  Random random(seed);
  const Convolution p(g, random);
  const PackedBuffer packed = p.pack(kernel);
  const std::vector<f32> acc = p.accumulators(isa(kernel));

  Guarded<f32> plain = p.new_out();
  run(kernel, p.args(packed, no_epilogue(), plain), 0, g.out_h);
  REQUIRE(wrong_elements(p, no_epilogue(), acc, plain, 0, g.out_h) == 0);
  f64 worst = 0;
  for (isize pixel = 0; pixel < p.pixels(); ++pixel)
    for (isize c = 0; c < g.channels; ++c)
      worst = std::max(worst, std::abs(plain[pixel * p.out_stride + c] - p.exact(pixel, c)));
  REQUIRE(worst <= sum_bound(p.taps + 1));

  EpilogueF32 e = random_epilogue(random);
  if (coin(random)) {
    e.residual = p.residual.data();
    e.residual_stride = p.residual_stride;
  }
  Guarded<f32> out = p.new_out();
  const isize row_begin = random.integer(0, g.out_h - 1), row_end = random.integer(row_begin + 1, g.out_h);
  run(kernel, p.args(packed, e, out), row_begin, row_end);
  REQUIRE(wrong_elements(p, e, acc, out, row_begin, row_end) == 0);
}

struct Shape {
  isize kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
};

/// What a kernel is written for: one shape, or (size 0) any.
std::vector<Shape> shapes(const Kernel& kernel) {
  const isize size = kernel.kernel_size, stride = kernel.stride;
  if (size > 0) return {{size, size, stride, stride, 1, 1}};
  return {{1, 1, 1, 1, 1, 1}, {1, 9, 1, 1, 1, 1}, {9, 1, 1, 2, 1, 1}, {2, 3, 3, 2, 1, 1}, {3, 3, 1, 1, 2, 3},
          {3, 3, 1, 1, 1, 1}, {5, 5, 2, 2, 1, 1}, {7, 7, 1, 1, 1, 1}, {3, 3, 1, 2, 1, 1}, {3, 3, 2, 2, 2, 2}};
}

/// Output size as ONNX has it, and at least 1.
isize out_size(isize in, isize pads, isize kernel, isize stride, isize dilation) {
  return std::max<isize>(0, (in + pads - dilation * (kernel - 1) - 1) / stride) + 1;
}

Geometry geometry(const Shape& s, isize in_h, isize in_w, isize channels, Random& random) {
  Geometry g = {in_h,         in_w,         channels, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w,
                s.dilation_h, s.dilation_w, 0,        0,          0,          0};
  g.pad_top = random.integer(0, s.dilation_h * (s.kernel_h - 1));
  g.pad_left = random.integer(0, s.dilation_w * (s.kernel_w - 1));
  const isize pad_bottom = random.integer(0, s.dilation_h * (s.kernel_h - 1));
  const isize pad_right = random.integer(0, s.dilation_w * (s.kernel_w - 1));
  g.out_h = out_size(in_h, g.pad_top + pad_bottom, s.kernel_h, s.stride_h, s.dilation_h);
  g.out_w = out_size(in_w, g.pad_left + pad_right, s.kernel_w, s.stride_w, s.dilation_w);
  return g;
}

TEST_CASE("a kernel's name says its shape and level") {
  for (const Kernel& kernel : kernels()) {
    const std::string size = std::to_string(kernel.kernel_size);
    const std::string shape = kernel.kernel_size ? size + "x" + size + "s" + std::to_string(kernel.stride) : "any";
    CHECK(name(kernel) == "dwconv_f32_" + shape + "_" + isa_name(isa(kernel)));
  }
}

TEST_CASE("every number of channels") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1;
    for (const Shape& shape : shapes(kernel)) {
      for (isize channels = 1; channels <= 5 * kernel.lanes + 1; ++channels, ++seed) {
        Random random(seed);
        check(kernel, geometry(shape, 6, 7, channels, random), seed);
      }
    }
  });
}

TEST_CASE("every image size, with every border") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1000;
    for (const Shape& shape : shapes(kernel)) {
      for (isize in_h = 1; in_h <= 11; ++in_h) {
        for (isize in_w = 1; in_w <= 12; ++in_w, ++seed) {
          Random random(seed);
          check(kernel, geometry(shape, in_h, in_w, random.integer(1, 2 * kernel.lanes + 1), random), seed);
        }
      }
    }
  });
}

TEST_CASE("powers of two and their neighbours") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 4000;
    for (const Shape& shape : shapes(kernel)) {
      for (const isize size : {15, 16, 17, 31, 32, 33, 63, 64, 65}) {
        Random random(seed);
        check(kernel, geometry(shape, 3, size, 5, random), seed++);
        check(kernel, geometry(shape, size, 5, 3, random), seed++);
        check(kernel, geometry(shape, 4, 5, size, random), seed++);
      }
    }
  });
}

TEST_CASE("images of several tiles, in whole vectors of channels and a rest") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 4500;
    for (const Shape& shape : shapes(kernel)) {
      for (isize size = 13; size <= 30; ++size) {
        Random random(seed);
        check(kernel, geometry(shape, 5, size, kernel.lanes + 1, random), seed++);
        check(kernel, geometry(shape, 9, 2 * size, 2 * kernel.lanes, random), seed++);
      }
    }
  });
}

TEST_CASE("any split into rows gives the bits of the whole") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const Shape& shape : shapes(kernel)) {
      Random random(5000);
      const Convolution p(geometry(shape, 13, 10, 2 * kernel.lanes + 1, random), random);
      const PackedBuffer packed = p.pack(kernel);
      const std::vector<f32> acc = p.accumulators(isa(kernel));
      EpilogueF32 e = no_epilogue();
      e.activation = Activation::hard_swish;
      e.residual = p.residual.data();
      e.residual_stride = p.residual_stride;
      for (isize rows = 1; rows <= p.g.out_h; ++rows) {
        CAPTURE(rows);
        Guarded<f32> out = p.new_out();
        for (isize y = 0; y < p.g.out_h; y += rows)
          run(kernel, p.args(packed, e, out), y, std::min(p.g.out_h, y + rows));
        REQUIRE(wrong_elements(p, e, acc, out, 0, p.g.out_h) == 0);
      }
    }
  });
}

TEST_CASE("the residual may be the output") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const Shape& shape : shapes(kernel)) {
      Random random(6000);
      const Convolution p(geometry(shape, 9, 11, kernel.lanes + 1, random), random);
      const PackedBuffer packed = p.pack(kernel);
      const std::vector<f32> acc = p.accumulators(isa(kernel));
      Guarded<f32> out = units(random, (p.pixels() - 1) * p.out_stride + p.g.channels);
      const std::vector<f32> residual(out.data(), out.data() + out.size());
      EpilogueF32 e = no_epilogue();
      e.clamp_min = 0;
      e.residual = out.data();
      e.residual_stride = p.out_stride;
      run(kernel, p.args(packed, e, out), 0, p.g.out_h);
      for (isize pixel = 0; pixel < p.pixels(); ++pixel) {
        for (isize c = 0; c < p.g.channels; ++c) {
          const isize at = pixel * p.out_stride + c;
          REQUIRE(bits(out[at]) == bits(epilogue(e, acc[pixel * p.g.channels + c], residual[at])));
        }
      }
    }
  });
}

TEST_CASE("NaN stays, infinities are clamped, minus zero is not below zero") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    const f32 centres[] = {kNan, kInf, -kInf, -0.0f, 0.25f};
    for (const Shape& shape : shapes(kernel)) {
      // One input pixel in the first tap of one output; all other taps are padding.
      const isize taps = shape.kernel_h * shape.kernel_w, channels = kernel.lanes + 1;
      const Geometry g = {1,
                          1,
                          channels,
                          shape.kernel_h,
                          shape.kernel_w,
                          shape.stride_h,
                          shape.stride_w,
                          shape.dilation_h,
                          shape.dilation_w,
                          0,
                          0,
                          1,
                          1};
      const std::vector<f32> pad(channels, -0.0f), weights(channels * taps, 1.0f), bias(channels, -0.0f);
      PackedBuffer packed(packed_bytes(kernel, channels, taps));
      pack(kernel, {weights.data(), bias.data(), channels, taps}, packed.data());
      const auto outputs = [&](const EpilogueF32& e) {
        std::vector<u32> first;
        for (const f32 centre : centres) {
          const std::vector<f32> in(channels, centre);
          std::vector<f32> out(channels);
          run(kernel, {g, in.data(), pad.data(), packed.data(), e, out.data(), channels}, 0, 1);
          first.push_back(std::isnan(out[0]) ? bits(kNan) : bits(out[0]));
          for (const f32 v : out) REQUIRE((std::isnan(v) ? bits(kNan) : bits(v)) == first.back());
        }
        return first;
      };
      const auto want = [](std::initializer_list<f32> values) {
        std::vector<u32> result;
        for (const f32 v : values) result.push_back(bits(v));
        return result;
      };
      EpilogueF32 e = no_epilogue();
      CHECK(outputs(e) == want({kNan, kInf, -kInf, -0.0f, 0.25f}));
      e.clamp_min = 0;
      e.clamp_max = 6;
      CHECK(outputs(e) == want({kNan, 6, 0, -0.0f, 0.25f}));
      e.clamp_min = -1;
      e.activation = Activation::hard_swish;
      // -inf * 0 is NaN; hard_swish(-0) = -0 * 0.5
      CHECK(outputs(e) == want({kNan, 6, kNan, -0.0f, 0.25f * (0.25f * (1.0f / 6) + 0.5f)}));
    }
  });
}

TEST_CASE("the packed layout") {
  for (const Kernel& kernel : kernels()) {
    INFO("kernel ", std::string(name(kernel)));
    const isize lanes = kernel.lanes, taps = 9;
    for (const isize channels : {isize{1}, lanes, 2 * lanes + 1}) {
      Random random(7000);
      const Guarded<f32> values = units(random, channels * taps), bias = units(random, channels);
      for (const f32* some_bias : {bias.data(), static_cast<const f32*>(nullptr)}) {
        const std::size_t bytes =
            static_cast<std::size_t>(ceil_div(channels, lanes) * (1 + taps) * lanes) * sizeof(f32);
        REQUIRE(packed_bytes(kernel, channels, taps) == bytes);
        PackedBuffer packed(bytes);
        pack(kernel, {values.data(), some_bias, channels, taps}, packed.data());
        const f32* at = reinterpret_cast<const f32*>(packed.data());
        for (isize c = 0; c < channels; c += lanes) {
          for (isize tap = -1; tap < taps; ++tap) {
            for (isize lane = c; lane < c + lanes; ++lane, ++at) {
              f32 want = 0;
              if (lane < channels && tap >= 0) want = values[lane * taps + tap];
              if (lane < channels && tap < 0 && some_bias) want = bias[lane];
              REQUIRE(bits(*at) == bits(want));
            }
          }
        }
      }
    }
  }
}

std::string selected(Isa level, isize kernel_h, isize kernel_w, isize stride, isize dilation) {
  const Geometry g = {56, 56, 24, kernel_h, kernel_w, stride, stride, dilation, dilation, 1, 1, 56, 56};
  return name(select(g, isa_up_to(level)));
}

void check_select(Isa level, const std::string& suffix) {
  CHECK(selected(level, 3, 3, 1, 1) == "dwconv_f32_3x3s1_" + suffix);
  CHECK(selected(level, 3, 3, 2, 1) == "dwconv_f32_3x3s2_" + suffix);
  CHECK(selected(level, 5, 5, 1, 1) == "dwconv_f32_5x5s1_" + suffix);
  CHECK(selected(level, 5, 5, 2, 1) == "dwconv_f32_5x5s2_" + suffix);
  CHECK(selected(level, 3, 3, 1, 2) == "dwconv_f32_any_" + suffix);
  CHECK(selected(level, 3, 3, 3, 1) == "dwconv_f32_any_" + suffix);
  CHECK(selected(level, 3, 5, 1, 1) == "dwconv_f32_any_" + suffix);
  CHECK(selected(level, 7, 7, 1, 1) == "dwconv_f32_any_" + suffix);
  CHECK(selected(level, 1, 3, 1, 1) == "dwconv_f32_any_" + suffix);
}

TEST_CASE("select is a function of the geometry and the levels alone") {
  CHECK(selected(Isa::scalar, 3, 3, 1, 1) == "dwconv_f32_any_scalar");
#ifdef WHIT_HAVE_AVX2
  check_select(Isa::avx2, "avx2");
  check_select(Isa::avxvnni, "avx2");
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  check_select(Isa::avx512vnni, "avx512vnni");
  check_select(Isa::amx, "avx512vnni");
#endif
#ifdef WHIT_HAVE_NEON32
  check_select(Isa::neon32, "neon32");
#endif
#ifdef WHIT_HAVE_NEON
  check_select(Isa::neon, "neon");
  check_select(Isa::i8mm, "neon");
#else
  CHECK(selected(Isa::neon, 3, 3, 1, 1) == "dwconv_f32_any_scalar");
#endif
}

}  // namespace
}  // namespace whit::dwconv_f32
