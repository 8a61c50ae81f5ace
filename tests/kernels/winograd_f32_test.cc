#include "kernels/winograd_f32/winograd_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "f32_support.h"
#include "kernels/winograd_f32/kernel.h"
#include "winograd_support.h"

namespace whit::winograd_f32 {
namespace {

using namespace whit::test;

/// A convolution with all its operands, each beside a guard page.
struct Convolution {
  Geometry g;
  isize images, out_pixel_stride, residual_stride;
  Guarded<f32> in, zeros, values, bias, residual;

  Convolution(const Geometry& g, isize images, Random& random)
      : g(g),
        images(images),
        out_pixel_stride(g.out_channels + random.integer(0, 3)),
        residual_stride(g.out_channels + random.integer(0, 3)),
        in(units(random, images * g.in_h * g.in_w * g.in_channels)),
        zeros(g.in_channels),
        values(units(random, g.out_channels * 9 * g.in_channels)),
        bias(units(random, g.out_channels)),
        residual(units(random, (pixels() - 1) * residual_stride + g.out_channels)) {
    std::fill_n(zeros.data(), g.in_channels, 0.0f);
  }

  isize pixels() const { return images * g.out_h * g.out_w; }
  f64 input(isize image, isize y, isize x, isize c) const {
    if (y < 0 || y >= g.in_h || x < 0 || x >= g.in_w) return 0;
    return in[((image * g.in_h + y) * g.in_w + x) * g.in_channels + c];
  }
  Guarded<f32> new_out() const { return untouched((pixels() - 1) * out_pixel_stride + g.out_channels); }

  f64 exact(isize image, isize y, isize x, isize n) const {
    f64 sum = bias[n];
    for (isize tap = 0; tap < 9; ++tap)
      for (isize c = 0; c < g.in_channels; ++c)
        sum += input(image, y + tap / 3 - g.pad_top, x + tap % 3 - g.pad_left, c) *
               values[(n * 9 + tap) * g.in_channels + c];
    return sum;
  }
};

/// The matrices of a convolution, and with all values taken for their magnitudes.
struct Matrices {
  isize tiles, in_stride, out_stride, in_element, out_element;
  Guarded<f32> in, out;
  std::vector<f32> filters;            // [element][n][c]
  std::vector<f64> exact, magnitudes;  // [tile][c][element] of inputs

  Matrices(const Kernel& kernel, const Convolution& p, Random& random)
      : tiles(p.images * tiles_per_image(kernel, p.g)),
        in_stride(round_up(p.g.in_channels, kRowMultiple) + kRowMultiple * random.integer(0, 1)),
        out_stride(round_up(p.g.out_channels, kRowMultiple) + kRowMultiple * random.integer(0, 1)),
        in_element(tiles * in_stride + kRowMultiple * random.integer(0, 2)),
        out_element(tiles * out_stride + kRowMultiple * random.integer(0, 2)),
        in(untouched((elements(kernel) - 1) * in_element + tiles * in_stride)),
        out(untouched((elements(kernel) - 1) * out_element + tiles * out_stride)),
        filters(elements(kernel) * p.g.out_channels * p.g.in_channels) {
    const Winograd w(kernel.tile);
    const isize across = ceil_div(p.g.out_w, w.tile), down = ceil_div(p.g.out_h, w.tile);
    for (isize tile = 0; tile < tiles; ++tile) {
      const isize y = tile / across % down * w.tile - p.g.pad_top, x = tile % across * w.tile - p.g.pad_left;
      for (isize c = 0; c < p.g.in_channels; ++c) {
        std::vector<f64> d;
        for (isize i = 0; i < w.size; ++i)
          for (isize j = 0; j < w.size; ++j) d.push_back(p.input(tile / across / down, y + i, x + j, c));
        for (const f64 v : w.inputs(d)) exact.push_back(v);
        for (const f64 v : w.inputs(d, true)) magnitudes.push_back(v);
      }
    }
  }

  f32& input(isize tile, isize c, isize element) { return in[element * in_element + tile * in_stride + c]; }

  /// What gemm_f32 does between the transforms.
  void multiply(const Kernel& kernel, const Convolution& p) {
    for (isize e = 0; e < elements(kernel); ++e) {
      for (isize tile = 0; tile < tiles; ++tile) {
        for (isize n = 0; n < p.g.out_channels; ++n) {
          f32 acc = 0;
          for (isize c = 0; c < p.g.in_channels; ++c)
            acc = multiply_add(isa(kernel), input(tile, c, e),
                               filters[(e * p.g.out_channels + n) * p.g.in_channels + c], acc);
          out[e * out_element + tile * out_stride + n] = acc;
        }
      }
    }
  }

  InputArgs input_args(const Convolution& p) {
    return {p.g, p.in.data(), p.zeros.data(), in.data(), in_stride, in_element};
  }
  OutputArgs output_args(const Convolution& p, const EpilogueF32& e, Guarded<f32>& to) {
    return {p.g, out.data(), out_stride, out_element, p.bias.data(), e, to.data(), p.out_pixel_stride};
  }
};

/// Runs a transform over tiles [0, tiles) in pieces of `step`.
template <class Args, class Transform, class Pointer>
void in_pieces(const Kernel& kernel, Args args, const Transform& transform, Pointer Args::* matrix, isize tiles,
               isize step) {
  for (isize tile = 0; tile < tiles; tile += step) {
    transform(kernel, args, tile, std::min(tiles, tile + step));
    args.*matrix += step * args.row_stride;
  }
}

void check_inputs(const Kernel& kernel, const Convolution& p, Matrices& m, isize step) {
  in_pieces(kernel, m.input_args(p), transform_input, &InputArgs::out, m.tiles, step);
  const isize count = elements(kernel);
  std::vector<bool> known(m.in.size());
  isize wrong = 0;
  for (isize tile = 0; tile < m.tiles; ++tile) {
    for (isize c = 0; c < round_up(p.g.in_channels, kRowMultiple); ++c) {
      for (isize e = 0; e < count; ++e) {
        const f32 got = m.input(tile, c, e);
        known[&m.input(tile, c, e) - m.in.data()] = true;
        if (c >= p.g.in_channels) {
          wrong += got != 0 && bits(got) != kUntouched;
        } else {  // two roundings in each direction, or four where products are rounded too
          const isize at = (tile * p.g.in_channels + c) * count + e;
          wrong +=
              !(std::abs(got - m.exact[at]) <= (isa(kernel) == Isa::scalar ? 4.01 : 2.01) * kEps * m.magnitudes[at]);
        }
      }
    }
  }
  for (isize at = 0; at < m.in.size(); ++at) wrong += !known[at] && bits(m.in[at]) != kUntouched;
  REQUIRE(wrong == 0);
}

void check_filters(const Kernel& kernel, const Convolution& p, Matrices& m) {
  const isize n = p.g.out_channels, k = p.g.in_channels;
  transform_filters(kernel, p.values.data(), n, k, m.filters.data());
  const Winograd w(kernel.tile);
  isize wrong = 0;
  for (isize row = 0; row < n; ++row) {
    for (isize c = 0; c < k; ++c) {
      std::vector<f64> taps;
      for (isize tap = 0; tap < 9; ++tap) taps.push_back(p.values[(row * 9 + tap) * k + c]);
      const std::vector<f64> exact = w.filter(taps), magnitudes = w.filter(taps, true);
      for (isize e = 0; e < elements(kernel); ++e)
        wrong += !(std::abs(m.filters[(e * n + row) * k + c] - exact[e]) <= 0.501 * kEps * magnitudes[e]);
    }
  }
  REQUIRE(wrong == 0);
}

/// The outputs without residual and activation, each within the bound of docs/NUMERICS.md of the exact convolution.
void check_outputs(const Kernel& kernel, const Convolution& p, const Matrices& m, const Guarded<f32>& out) {
  const Winograd w(kernel.tile);
  const isize n = p.g.out_channels, k = p.g.in_channels, count = elements(kernel);
  const isize across = ceil_div(p.g.out_w, w.tile), down = ceil_div(p.g.out_h, w.tile);
  std::vector<f64> filters;
  for (isize row = 0; row < n; ++row) {
    for (isize c = 0; c < k; ++c) {
      std::vector<f64> taps;
      for (isize tap = 0; tap < 9; ++tap) taps.push_back(p.values[(row * 9 + tap) * k + c]);
      for (const f64 v : w.filter(taps, true)) filters.push_back(v);
    }
  }
  isize wrong = 0;
  std::vector<bool> known(out.size());
  for (isize tile = 0; tile < m.tiles; ++tile) {
    const isize image = tile / across / down, y = tile / across % down * w.tile, x = tile % across * w.tile;
    for (isize row = 0; row < n; ++row) {
      std::vector<f64> products(count);
      for (isize c = 0; c < k; ++c)
        for (isize e = 0; e < count; ++e)
          products[e] += m.magnitudes[(tile * k + c) * count + e] * filters[(row * k + c) * count + e];
      const std::vector<f64> magnitudes = w.outputs(products, true);
      for (isize i = 0; i < w.tile && y + i < p.g.out_h; ++i) {
        for (isize j = 0; j < w.tile && x + j < p.g.out_w; ++j) {
          const isize at = ((image * p.g.out_h + y + i) * p.g.out_w + x + j) * p.out_pixel_stride + row;
          const f64 bound = kEps * (static_cast<f64>(k) + 20) * (magnitudes[i * w.tile + j] + std::abs(p.bias[row]));
          wrong += !(std::abs(out[at] - p.exact(image, y + i, x + j, row)) <= bound);
          known[at] = true;
        }
      }
    }
  }
  for (isize at = 0; at < out.size(); ++at) wrong += !known[at] && bits(out[at]) != kUntouched;
  REQUIRE(wrong == 0);
}

isize wrong_epilogues(const Convolution& p, const EpilogueF32& e, const Guarded<f32>& plain, const Guarded<f32>& out) {
  isize wrong = 0;
  for (isize at = 0; at < out.size(); ++at) {
    const isize pixel = at / p.out_pixel_stride, n = at % p.out_pixel_stride;
    const u32 want =
        n < p.g.out_channels ? bits(epilogue(e, plain[at], p.residual[pixel * p.residual_stride + n])) : kUntouched;
    wrong += bits(out[at]) != want;
  }
  return wrong;
}

void check(const Kernel& kernel, const Geometry& g, isize images, u32 seed) {
  CAPTURE(seed);
  CAPTURE(g.in_h);
  CAPTURE(g.in_w);
  CAPTURE(g.in_channels);
  CAPTURE(g.out_channels);
  CAPTURE(g.pad_top);
  CAPTURE(g.pad_left);
  CAPTURE(g.out_h);
  CAPTURE(g.out_w);
  CAPTURE(images);
  Random random(seed);
  const Convolution p(g, images, random);
  Matrices m(kernel, p, random);
  check_inputs(kernel, p, m, random.integer(1, m.tiles));
  check_filters(kernel, p, m);
  m.multiply(kernel, p);

  Guarded<f32> plain = p.new_out();
  transform_output(kernel, m.output_args(p, no_epilogue(), plain), 0, m.tiles);
  check_outputs(kernel, p, m, plain);

  EpilogueF32 e = random_epilogue(random);
  if (coin(random)) {
    e.residual = p.residual.data();
    e.residual_stride = p.residual_stride;
  }
  Guarded<f32> out = p.new_out();
  in_pieces(kernel, m.output_args(p, e, out), transform_output, &OutputArgs::in, m.tiles, random.integer(1, m.tiles));
  REQUIRE(wrong_epilogues(p, e, plain, out) == 0);
}

/// Any padding; the output is at least one pixel.
Geometry geometry(isize in_h, isize in_w, isize in_channels, isize out_channels, Random& random) {
  const isize top = random.integer(0, 2), left = random.integer(0, 2);
  const isize bottom = random.integer(in_h + top < 3 ? 3 - in_h - top : 0, 2);
  const isize right = random.integer(in_w + left < 3 ? 3 - in_w - left : 0, 2);
  return {in_h, in_w, in_channels, top, left, in_h + top + bottom - 2, in_w + left + right - 2, out_channels};
}

TEST_CASE("a kernel's name says its tile and level") {
  for (const Kernel& kernel : kernels()) {
    const std::string tile = std::to_string(kernel.tile);
    CHECK(name(kernel) == "winograd_f32_" + tile + "x" + tile + "_" + isa_name(isa(kernel)));
    CHECK(elements(kernel) == (kernel.tile + 2) * (kernel.tile + 2));
  }
}

TEST_CASE("the matrices are those of an exact convolution") {
  for (const isize tile : {2, 4}) {
    const Winograd w(tile);
    Random random(1);
    std::vector<f64> d(w.size * w.size), taps(9), products;
    for (f64& v : d) v = random.real(-1, 1);
    for (f64& v : taps) v = random.real(-1, 1);
    const std::vector<f64> inputs = w.inputs(d), filter = w.filter(taps);
    for (isize e = 0; e < w.size * w.size; ++e) products.push_back(inputs[e] * filter[e]);
    const std::vector<f64> out = w.outputs(products);
    for (isize at = 0; at < tile * tile; ++at) {
      f64 want = 0;
      for (isize tap = 0; tap < 9; ++tap) want += d[(at / tile + tap / 3) * w.size + at % tile + tap % 3] * taps[tap];
      CHECK(out[at] == doctest::Approx(want).epsilon(1e-12));
    }
  }
}

TEST_CASE("every number of channels") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1;
    for (isize channels = 1; channels <= 35; ++channels, ++seed) {
      Random random(seed);
      check(kernel, geometry(5, 6, channels, random.integer(1, 35), random), 1, seed);
      check(kernel, geometry(6, 5, random.integer(1, 35), channels, random), 1, seed);
    }
  });
}

TEST_CASE("every image size, with every border") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1000;
    for (isize in_h = 1; in_h <= 10; ++in_h) {
      for (isize in_w = 1; in_w <= 10; ++in_w, ++seed) {
        Random random(seed);
        const isize in_channels = random.integer(1, 18), out_channels = random.integer(1, 18);
        check(kernel, geometry(in_h, in_w, in_channels, out_channels, random), random.integer(1, 3), seed);
      }
    }
  });
}

TEST_CASE("the residual may be the output") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    Random random(2000);
    const Convolution p(geometry(9, 11, 5, 19, random), 2, random);
    Matrices m(kernel, p, random);
    transform_input(kernel, m.input_args(p), 0, m.tiles);
    check_filters(kernel, p, m);
    m.multiply(kernel, p);
    Guarded<f32> plain = p.new_out();
    transform_output(kernel, m.output_args(p, no_epilogue(), plain), 0, m.tiles);
    Guarded<f32> out = units(random, plain.size());
    const std::vector<f32> residual(out.data(), out.data() + out.size());
    EpilogueF32 e = no_epilogue();
    e.clamp_min = 0;
    e.residual = out.data();
    e.residual_stride = p.out_pixel_stride;
    transform_output(kernel, m.output_args(p, e, out), 0, m.tiles);
    for (isize at = 0; at < out.size(); ++at)
      if (at % p.out_pixel_stride < p.g.out_channels)
        REQUIRE(bits(out[at]) == bits(epilogue(e, plain[at], residual[at])));
  });
}

TEST_CASE("a NaN reaches every output that it is part of, through the clamp") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    Random random(3000);
    const Geometry g{kernel.tile, kernel.tile, 3, 1, 1, kernel.tile, kernel.tile, 17};
    Convolution p(g, 1, random);
    const isize y = random.integer(0, kernel.tile - 1), x = random.integer(0, kernel.tile - 1);
    p.in[(y * g.in_w + x) * g.in_channels + 1] = kNan;
    Matrices m(kernel, p, random);
    transform_input(kernel, m.input_args(p), 0, m.tiles);
    transform_filters(kernel, p.values.data(), g.out_channels, g.in_channels, m.filters.data());
    m.multiply(kernel, p);
    EpilogueF32 e = no_epilogue();
    e.clamp_min = 0;
    e.clamp_max = 6;
    Guarded<f32> out = p.new_out();
    transform_output(kernel, m.output_args(p, e, out), 0, m.tiles);
    for (isize i = std::max<isize>(0, y - 1); i <= std::min<isize>(kernel.tile - 1, y + 1); ++i)
      for (isize j = std::max<isize>(0, x - 1); j <= std::min<isize>(kernel.tile - 1, x + 1); ++j)
        for (isize n = 0; n < g.out_channels; ++n) REQUIRE(std::isnan(out[(i * g.out_w + j) * p.out_pixel_stride + n]));
  });
}

std::string selected(isize tile, Isa level) { return name(select(tile, isa_up_to(level))); }

TEST_CASE("select is a function of the tile and the levels alone") {
  for (const isize tile : {2, 4}) {
    const std::string prefix = "winograd_f32_" + std::to_string(tile) + "x" + std::to_string(tile) + "_";
    CHECK(selected(tile, Isa::scalar) == prefix + "scalar");
#ifdef WHIT_HAVE_AVX2
    CHECK(selected(tile, Isa::avx2) == prefix + "avx2");
    CHECK(selected(tile, Isa::avxvnni) == prefix + "avx2");
#endif
#ifdef WHIT_HAVE_AVX512VNNI
    CHECK(selected(tile, Isa::avx512vnni) == prefix + "avx512vnni");
    CHECK(selected(tile, Isa::amx) == prefix + "avx512vnni");
#endif
#ifdef WHIT_HAVE_NEON32
    CHECK(selected(tile, Isa::neon32) == prefix + "neon32");
#endif
#ifdef WHIT_HAVE_NEON
    CHECK(selected(tile, Isa::neon) == prefix + "neon");
    CHECK(selected(tile, Isa::i8mm) == prefix + "neon");
#endif
  }
}

}  // namespace
}  // namespace whit::winograd_f32
