#include "kernels/winograd_s8/winograd_s8.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "epilogue_s8_reference.h"
#include "kernels/winograd_s8/kernel.h"

namespace whit::winograd_s8 {
namespace {

using namespace whit::test;

constexpr s32 kBt[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                           {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};

enum class Values { random, extreme };

Guarded<s8> integers(Random& random, isize count, Values kind, s8 least) {
  Guarded<s8> values(count, random.integer(0, 1) ? Guarded<s8>::Side::end : Guarded<s8>::Side::begin);
  for (s8& v : values.span())
    v = static_cast<s8>(kind == Values::random ? random.integer(least, 127) : random.integer(0, 1) ? least : 127);
  return values;
}

/// A convolution with all its operands, each beside a guard page.
struct Convolution {
  Geometry g;
  isize images;
  s32 zero_point;
  Guarded<s8> in, pad, values;
  Guarded<s32> bias;

  Convolution(const Geometry& g, isize images, Values kind, Random& random)
      : g(g),
        images(images),
        zero_point(static_cast<s32>(random.integer(-128, 127))),
        in(integers(random, images * g.in_h * g.in_w * g.in_channels, kind, -128)),
        pad(integers(random, g.in_channels, kind, -128)),
        values(integers(random, g.out_channels * 9 * g.in_channels, kind, -127)),
        bias(g.out_channels) {
    random.fill_integers(bias.span(), -100000, 100000);
  }

  isize pixels() const { return images * g.out_h * g.out_w; }
  isize tiles() const { return images * tiles_per_image(g); }
  s8 input(isize image, isize y, isize x, isize c) const {
    if (y < 0 || y >= g.in_h || x < 0 || x >= g.in_w) return pad[c];
    return in[((image * g.in_h + y) * g.in_w + x) * g.in_channels + c];
  }
  s32 exact(isize image, isize y, isize x, isize n) const {
    s64 sum = bias[n];
    for (isize tap = 0; tap < 9; ++tap)
      for (isize c = 0; c < g.in_channels; ++c)
        sum += s64{input(image, y + tap / 3 - g.pad_top, x + tap % 3 - g.pad_left, c) - zero_point} *
               values[(n * 9 + tap) * g.in_channels + c];
    return static_cast<s32>(sum);
  }
  Rhs rhs() const { return {values.data(), bias.data(), g.out_channels, g.in_channels, zero_point}; }
};

Geometry geometry(isize in_h, isize in_w, isize in_channels, isize out_channels, Random& random) {
  const isize top = random.integer(in_h < 3 ? 1 : 0, 2), left = random.integer(in_w < 3 ? 1 : 0, 2);
  const isize bottom = random.integer(in_h < 3 ? 1 : 0, 2), right = random.integer(in_w < 3 ? 1 : 0, 2);
  return {in_h, in_w, in_channels, top, left, in_h + top + bottom - 2, in_w + left + right - 2, out_channels};
}

void check_inputs(const Kernel& kernel, const Convolution& p, std::span<s16> got, isize row_stride,
                  isize element_stride, isize step) {
  constexpr s16 kUntouched = 0x5a5a;  // more than 100 * 128
  std::fill(got.begin(), got.end(), kUntouched);
  for (isize tile = 0; tile < p.tiles(); tile += step) {
    const InputArgs args{p.g, p.in.data(), p.pad.data(), got.data() + tile * row_stride, row_stride, element_stride};
    transform_input(kernel, args, tile, std::min(p.tiles(), tile + step));
  }
  const isize across = ceil_div(p.g.out_w, kTile), down = ceil_div(p.g.out_h, kTile);
  std::vector<s16> wanted(got.size(), kUntouched);
  for (isize tile = 0; tile < p.tiles(); ++tile) {
    const isize y = tile / across % down * kTile - p.g.pad_top, x = tile % across * kTile - p.g.pad_left;
    for (isize c = 0; c < row_stride; ++c) {
      for (isize e = 0; e < kElements; ++e) {
        s32 sum = 0;
        for (isize i = 0; i < 6 && c < p.g.in_channels; ++i)
          for (isize j = 0; j < 6; ++j)
            sum += kBt[e / 6][i] * kBt[e % 6][j] * p.input(tile / across / down, y + i, x + j, c);
        wanted[e * element_stride + tile * row_stride + c] = static_cast<s16>(sum);
      }
    }
  }
  CHECK(std::equal(got.begin(), got.end(), wanted.begin()));
}

/// Both halves of a kernel, by `step` tiles and `columns` output channels at a time.
void check(const Kernel& kernel, const Convolution& p, Random& random, isize step, isize columns) {
  const isize row_stride = round_up(p.g.in_channels, kGroup);
  const isize element_stride = p.tiles() * row_stride + kGroup * random.integer(0, 3);
  Guarded<s16> transformed((kElements - 1) * element_stride + p.tiles() * row_stride);
  check_inputs(kernel, p, transformed.span(), row_stride, element_stride, step);

  const Rhs rhs = p.rhs();
  REQUIRE(fits(rhs));
  PackedBuffer packed(packed_bytes(rhs.n, rhs.k));
  pack(rhs, packed.data());
  Guarded<s32> products(step * kElements * kColumns);

  using Type = EpilogueS8::Output;
  const Type type = std::vector{Type::s32, Type::s8, Type::s8, Type::s8, Type::f32}[random.integer(0, 4)];
  const bool residual = type != Type::s32 && random.integer(0, 1);
  const Activation activation = random.integer(0, 2) ? Activation::clamp : Activation::hard_swish;
  const ScaleKind scales = std::vector{ScaleKind::usual, ScaleKind::ties, ScaleKind::special}[random.integer(0, 2)];
  const EpilogueCase e = make_epilogue(random, type, residual, activation, scales, p.pixels(), p.g.out_channels,
                                       5000.0 * static_cast<f64>(p.g.in_channels));
  Output wanted(type, p.pixels(), p.g.out_channels, e.out_stride),
      got(type, p.pixels(), p.g.out_channels, e.out_stride);
  isize pixel = 0;
  for (isize image = 0; image < p.images; ++image)
    for (isize y = 0; y < p.g.out_h; ++y)
      for (isize x = 0; x < p.g.out_w; ++x, ++pixel)
        for (isize n = 0; n < p.g.out_channels; ++n)
          wanted.set(pixel, n, reference_epilogue(e.spec, p.exact(image, y, x, n), pixel, n));
  for (isize tile = 0; tile < p.tiles(); tile += step) {
    const OutputArgs args{p.g,           transformed.data() + tile * row_stride,
                          row_stride,    element_stride,
                          packed.data(), products.data(),
                          e.spec,        got.data(),
                          e.out_stride};
    for (isize n = 0; n < p.g.out_channels; n += columns)
      multiply(kernel, args, tile, std::min(p.tiles(), tile + step), n, std::min(p.g.out_channels, n + columns));
  }
  INFO("first difference at byte ", wanted.first_difference(got));
  CHECK(wanted.agrees(got, isa(kernel)));
}

void check(const Kernel& kernel, const Geometry& g, isize images, Values kind, Random& random, u32 seed) {
  CAPTURE(seed);
  CAPTURE(g.in_h);
  CAPTURE(g.in_w);
  CAPTURE(g.in_channels);
  CAPTURE(g.out_channels);
  const Convolution p(g, images, kind, random);
  check(kernel, p, random, random.integer(1, p.tiles()), kPanel * random.integer(1, 5));
}

TEST_CASE("every remainder of channels") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    u32 seed = 1;
    for (isize channels = 1; channels <= 35; ++channels, ++seed) {
      Random random(seed);
      const Values kind = channels % 3 ? Values::random : Values::extreme;
      check(kernel, geometry(5, 6, channels, random.integer(1, 35), random), 1, kind, random, seed);
      check(kernel, geometry(6, 5, random.integer(1, 35), channels, random), 1, kind, random, seed);
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
        check(kernel, geometry(in_h, in_w, in_channels, out_channels, random), random.integer(1, 3), Values::random,
              random, seed);
      }
    }
  });
}

TEST_CASE("every number of rows of a product") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (isize tiles = 1; tiles <= 40; ++tiles) {
      Random random(2000 + static_cast<u32>(tiles));
      CAPTURE(tiles);
      const Convolution p({4, 4 * tiles, 8, 1, 1, 4, 4 * tiles, 8}, 1, Values::extreme, random);
      check(kernel, p, random, tiles, 8);
    }
  });
}

TEST_CASE("the largest sums that fit are exact, and those beyond are refused") {
  constexpr isize kChannels = 230;  // 9 * 230 * 127 = 2^18 + 746
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const s8 sign : {-1, 1}) {
      Random random(3000);
      Convolution p({6, 6, kChannels, 0, 0, 4, 4, 3}, 1, Values::extreme, random);
      for (isize i = 0; i < p.values.size(); ++i) {
        const isize n = i / (9 * kChannels), at = i % (9 * kChannels);
        const s32 magnitude = at < 5 ? 127 : at < 10 ? 0 : 127;
        // Outputs 0 and 1 sum magnitudes in every tap; output 2 mixes signs.
        const s32 value = n == 2 && at % 2 ? -magnitude : magnitude;
        p.values[i] = static_cast<s8>(sign * value);
      }
      for (isize n = 0; n < 3; ++n) {
        s8& last = p.values[n * 9 * kChannels + 10];
        last = static_cast<s8>(last < 0 ? last + 112 : last - 112);  // 2^18 - 1 in all
      }
      std::fill_n(p.in.data(), p.in.size(), s8{-128});
      CHECK(fits(p.rhs()));
      check(kernel, p, random, 1, 8);
      s8& last = p.values[10];
      last = static_cast<s8>(last < 0 ? last - 1 : last + 1);
      CHECK_FALSE(fits(p.rhs()));
    }
  });
}

TEST_CASE("the residual may be the output") {
  for_each_kernel(kernels(), [](const Kernel& kernel) {
    Random random(4000);
    const Convolution p(geometry(9, 11, 5, 19, random), 2, Values::random, random);
    const isize row_stride = 8, element_stride = p.tiles() * row_stride, n = p.g.out_channels;
    Guarded<s16> transformed(kElements * element_stride);
    transform_input(kernel, {p.g, p.in.data(), p.pad.data(), transformed.data(), row_stride, element_stride}, 0,
                    p.tiles());
    PackedBuffer packed(packed_bytes(n, p.g.in_channels));
    pack(p.rhs(), packed.data());
    Guarded<s32> products(p.tiles() * kElements * kColumns);
    EpilogueCase e =
        make_epilogue(random, EpilogueS8::Output::s8, true, Activation::clamp, ScaleKind::usual, p.pixels(), n, 50000);
    Guarded<s8> out(e.residual.size());
    std::copy_n(e.residual.data(), out.size(), out.data());
    e.spec.residual = out.data();
    multiply(kernel,
             {p.g, transformed.data(), row_stride, element_stride, packed.data(), products.data(), e.spec, out.data(),
              e.spec.residual_stride},
             0, p.tiles(), 0, n);
    e.spec.residual = e.residual.data();
    isize wrong = 0;
    for (isize pixel = 0; pixel < p.pixels(); ++pixel) {
      for (isize c = 0; c < n; ++c) {
        const isize in_image = pixel % (p.g.out_h * p.g.out_w);
        const s32 acc = p.exact(pixel / (p.g.out_h * p.g.out_w), in_image / p.g.out_w, in_image % p.g.out_w, c);
        const f64 wanted = std::clamp(reference_epilogue(e.spec, acc, pixel, c), -128.0, 127.0);
        wrong += out[pixel * e.spec.residual_stride + c] != static_cast<s8>(wanted);
      }
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("select is a function of the levels alone") {
  const auto selected = [](Isa level) { return std::string(name(select(isa_up_to(level)))); };
  CHECK(selected(Isa::scalar) == "winograd_s8_4x4_scalar");
#ifdef WHIT_HAVE_NEON32
  CHECK(selected(Isa::neon32) == "winograd_s8_4x4_neon32");
#endif
#ifdef WHIT_HAVE_NEON
  CHECK(selected(Isa::neon) == "winograd_s8_4x4_neon");
  CHECK(selected(Isa::i8mm) == "winograd_s8_4x4_neon");
#endif
}

}  // namespace
}  // namespace whit::winograd_s8
