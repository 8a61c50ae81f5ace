#include "kernels/dwconv_s8/dwconv_s8.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "epilogue_s8_reference.h"
#include "kernels/dwconv_s8/kernel.h"
#include "test_support.h"

namespace whit::dwconv_s8 {
namespace {

using test::EpilogueCase;
using test::Guarded;
using test::Output;
using test::PackedBuffer;
using test::Random;
using test::ScaleKind;

// rows: weights of which those of one row of a 3x3 kernel, its first, second or third in turns, times -128 add up to
// just within s16, and those of the others to just beyond it.
enum class Fill { random, minimum, maximum, opposite, rows };

struct Case {
  Geometry geometry;
  Fill fill = Fill::random;
  EpilogueS8::Output output = EpilogueS8::Output::s32;
  bool residual = false;
  Activation activation = Activation::clamp;
  ScaleKind scales = ScaleKind::usual;
  u64 seed = 1;
  bool relu = false;  ///< an s8 output whose lower bound is the zero point
  s32 bias = 100000;  ///< biases are within [-bias, bias]
  bool dead = false;  ///< a few channels have the bias of a dead one, far outside or at the edge of what taps can move
  bool odd = false;   ///< an s8 output with an odd zero point and no clamp
  isize stride = 0;   ///< elements from pixel to pixel of the output, 0 = any
  f32 low = 1, high = 0;  ///< if low <= high: the clamp of an s8 output whose zero point is within [-100, 100]
};

/// A convolution of an in_h x in_w image padded all around by `pad`.
Geometry geometry(isize in_h, isize in_w, isize channels, isize kernel, isize stride, isize pad) {
  return {.in_h = in_h,
          .in_w = in_w,
          .channels = channels,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .dilation_h = 1,
          .dilation_w = 1,
          .pad_top = pad,
          .pad_left = pad,
          .out_h = (in_h + 2 * pad - kernel) / stride + 1,
          .out_w = (in_w + 2 * pad - kernel) / stride + 1};
}

const Kernel& scalar_kernel() { return select(Geometry{}, IsaSet().with(Isa::scalar)); }

/// A convolution with all its operands at guard pages, and its result by the definition.
class Fixture {
 public:
  explicit Fixture(const Case& c)
      : c_(c),
        g_(c.geometry),
        random_(c.seed),
        in_(g_.in_h * g_.in_w * g_.channels, random_.integer(0, 3) ? Guarded<s8>::Side::end : Guarded<s8>::Side::begin),
        pad_(g_.channels),
        weights_(g_.channels * g_.kernel_h * g_.kernel_w),
        bias_(g_.channels),
        has_bias_(random_.integer(0, 3) > 0),
        zero_point_(static_cast<s32>(random_.integer(-128, 127))),
        epilogue_(test::make_epilogue(random_, c.output, c.residual, c.activation, c.scales, g_.out_h * g_.out_w,
                                      g_.channels, 5500 * std::sqrt(static_cast<f64>(g_.kernel_h * g_.kernel_w)))),
        expected_(with_stride().new_output()) {
    if (c.relu) {
      epilogue_.spec.clamp_min = 0;
      epilogue_.spec.clamp_max = static_cast<f32>(random_.integer(0, 127 - epilogue_.spec.zero_point));
    }
    if (c.low <= c.high) {
      epilogue_.spec.zero_point = static_cast<s32>(random_.integer(-100, 100));
      epilogue_.spec.clamp_min = c.low;
      epilogue_.spec.clamp_max = c.high;
    }
    if (c.odd) {
      epilogue_.spec.zero_point |= 1;
      epilogue_.spec.clamp_min = static_cast<f32>(-128 - epilogue_.spec.zero_point);
      epilogue_.spec.clamp_max = static_cast<f32>(127 - epilogue_.spec.zero_point);
    }
    fill();
    compute();
  }

  Output new_output() const { return Output(c_.output, g_.out_h * g_.out_w, g_.channels, epilogue_.out_stride); }
  PackedBuffer packed(const Kernel& kernel) const {
    const isize taps = g_.kernel_h * g_.kernel_w;
    PackedBuffer buffer(packed_bytes(kernel, g_.channels, taps));
    pack(kernel,
         {.values = weights_.data(),
          .bias = has_bias_ ? bias_.data() : nullptr,
          .channels = g_.channels,
          .taps = taps,
          .lhs_zero_point = zero_point_},
         buffer.data());
    return buffer;
  }
  Args args(const PackedBuffer& packed, Output& out) const {
    return {.geometry = g_,
            .in = in_.data(),
            .pad = pad_.data(),
            .packed = packed.data(),
            .epilogue = epilogue_.spec,
            .out = out.data(),
            .out_stride = out.stride()};
  }
  Output result(const Kernel& kernel) const {
    const PackedBuffer weights = packed(kernel);
    Output out = new_output();
    run(kernel, args(weights, out), 0, g_.out_h);
    return out;
  }
  const Output& expected() const { return expected_; }
  f64 expected_value(isize pixel, isize channel) const {
    const s32 acc = acc_[static_cast<std::size_t>(pixel * g_.channels + channel)];
    return test::reference_epilogue(epilogue_.spec, acc, pixel, channel);
  }

 private:
  const Fixture& with_stride() {
    if (c_.stride) epilogue_.out_stride = c_.stride;
    return *this;
  }

  void fill() {
    const s8 in = c_.fill == Fill::maximum ? 127 : -128;
    const s8 weight = c_.fill == Fill::minimum ? -127 : 127;
    if (c_.fill == Fill::random) {
      random_.fill_integers(in_.span(), -128, 127);
      random_.fill_integers(weights_.span(), -127, 127);
    } else {
      std::ranges::fill(in_.span(), in);
      std::ranges::fill(weights_.span(), weight);
      zero_point_ = in == 127 ? -128 : 127;
    }
    if (c_.fill == Fill::rows) {
      const isize taps = g_.kernel_h * g_.kernel_w;
      for (isize i = 0; i < g_.channels * taps; ++i) {
        const isize row = i % taps / g_.kernel_w, small = i / taps / 8 % 4;
        weights_[i] = i % g_.kernel_w == 1 && row != small ? -86 : -85;
      }
    }
    std::ranges::fill(pad_.span(), static_cast<s8>(zero_point_));
    random_.fill_integers(bias_.span(), -c_.bias, c_.bias);
    if (!c_.dead) return;
    has_bias_ = true;
    const s32 products = static_cast<s32>(128 * 127 * g_.kernel_h * g_.kernel_w);
    const s32 biases[] = {1 << 30, -(1 << 30), products, -products, INT32_MAX, INT32_MIN, INT32_MAX - 2 * products};
    for (isize channel = random_.integer(0, 5); channel < g_.channels; channel += random_.integer(3, 9)) {
      bias_[channel] = biases[random_.integer(0, 6)];
      if (random_.integer(0, 1)) {  // no weights: the bias is all there is
        const isize taps = g_.kernel_h * g_.kernel_w;
        std::fill_n(weights_.data() + channel * taps, taps, s8{0});
      }
    }
  }

  void compute() {
    for (isize y = 0; y < g_.out_h; ++y) {
      for (isize x = 0; x < g_.out_w; ++x) {
        for (isize channel = 0; channel < g_.channels; ++channel) {
          s64 acc = has_bias_ ? bias_[channel] : 0;
          for (isize i = 0; i < g_.kernel_h; ++i) {
            for (isize j = 0; j < g_.kernel_w; ++j) {
              const isize iy = y * g_.stride_h + i * g_.dilation_h - g_.pad_top;
              const isize ix = x * g_.stride_w + j * g_.dilation_w - g_.pad_left;
              if (iy < 0 || iy >= g_.in_h || ix < 0 || ix >= g_.in_w) continue;
              const s64 value = in_[(iy * g_.in_w + ix) * g_.channels + channel];
              acc += (value - zero_point_) * weights_[(channel * g_.kernel_h + i) * g_.kernel_w + j];
            }
          }
          acc_.push_back(static_cast<s32>(acc));
          expected_.set(y * g_.out_w + x, channel, expected_value(y * g_.out_w + x, channel));
        }
      }
    }
  }

  Case c_;
  Geometry g_;
  Random random_;
  Guarded<s8> in_, pad_, weights_;
  Guarded<s32> bias_;
  bool has_bias_;
  s32 zero_point_;
  EpilogueCase epilogue_;
  std::vector<s32> acc_;
  Output expected_;
};

/// Kernel sizes and strides for a kernel: its own, or a choice for the general ones.
std::vector<std::pair<isize, isize>> sizes(const Kernel& kernel) {
  if (kernel.size) return {{kernel.size, kernel.stride}};
  return {{1, 1}, {2, 1}, {3, 1}, {3, 2}, {4, 2}, {5, 1}, {7, 1}, {7, 3}, {12, 1}};
}

void check(const Kernel& kernel, const Case& c) {
  const Geometry& g = c.geometry;
  INFO("in ", g.in_h, "x", g.in_w, "x", g.channels, " kernel ", g.kernel_h, "x", g.kernel_w, " stride ", g.stride_h,
       "x", g.stride_w, " dilation ", g.dilation_h, "x", g.dilation_w, " pad ", g.pad_top, " ", g.pad_left, " out ",
       g.out_h, "x", g.out_w, " fill ", static_cast<int>(c.fill), " output ", static_cast<int>(c.output), " residual ",
       c.residual, " activation ", static_cast<int>(c.activation), " scales ", static_cast<int>(c.scales), " seed ",
       c.seed);
  const Fixture fixture(c);
  const Output out = fixture.result(kernel);
  INFO("first wrong byte ", out.first_difference(fixture.expected()));
  REQUIRE(fixture.expected().agrees(out, isa(kernel)));
  REQUIRE(fixture.result(scalar_kernel()) == fixture.expected());
}

/// Everything but the geometry drawn from the seed.
Case any_case(const Geometry& geometry, u64 seed) {
  Random random(seed);
  if (random.integer(0, 1)) return {.geometry = geometry, .output = EpilogueS8::Output::s8, .seed = seed, .relu = true};
  return {.geometry = geometry,
          .output = static_cast<EpilogueS8::Output>(random.integer(0, 2)),
          .residual = random.integer(0, 1) == 1,
          .activation = static_cast<Activation>(random.integer(0, 1)),
          .seed = seed};
}

TEST_CASE("every kernel: every tail of channels") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 100;
    const auto [size, stride] = sizes(kernel)[kernel.size ? 0 : 2];
    for (isize channels = 1; channels <= 70; ++channels)
      check(kernel, any_case(geometry(size + 2, size + 3, channels, size, stride, size / 2), ++seed));
    for (const isize channels : {95, 96, 97, 127, 128, 129, 144, 200})
      check(kernel, any_case(geometry(size, size + 1, channels, size, stride, 1), ++seed));
  });
}

TEST_CASE("every kernel: every width and height, with and without padding") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 1000;
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const isize pad : {isize{0}, size / 2, size - 1}) {
        const isize smallest = std::max<isize>(1, size - 2 * pad);
        for (isize in_w = smallest; in_w < smallest + 20; ++in_w)
          check(kernel, any_case(geometry(smallest + 2, in_w, 9, size, stride, pad), ++seed));
        for (isize in_h = smallest; in_h < smallest + 9; ++in_h)
          check(kernel, any_case(geometry(in_h, smallest + 3, 17, size, stride, pad), ++seed));
      }
    }
  });
}

TEST_CASE("every kernel: narrow images of whole blocks of channels and parts of them") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 2000;
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const isize channels : {20, 32, 34, 36, 64, 96, 100, 101}) {
        for (const isize pad : {size / 2, size - 1}) {
          const isize smallest = std::max<isize>(1, size - 2 * pad);
          for (isize in_w = smallest; in_w < smallest + 9; ++in_w) {
            Case c = any_case(geometry(smallest + in_w % 3, in_w, channels, size, stride, pad), ++seed);
            c.relu = c.output == EpilogueS8::Output::s8 && in_w % 2;
            check(kernel, c);
          }
        }
      }
    }
  });
}

TEST_CASE("every kernel: pixels of the output side by side and with a gap that stays as it is") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 2500;
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const auto& [channels, out_stride] :
           {std::pair<isize, isize>{32, 32}, {28, 32}, {32, 64}, {64, 64}, {60, 64}, {96, 96}, {92, 96}}) {
        check(kernel, {.geometry = geometry(size + 2, size + 9, channels, size, stride, size / 2),
                       .output = EpilogueS8::Output::s8,
                       .seed = ++seed,
                       .relu = seed % 2 == 0,
                       .stride = out_stride});
      }
    }
  });
}

TEST_CASE("every kernel: relu with bounds that no short cut has") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const auto& [low, high] : {std::pair<f32, f32>{0, 0}, {0, 1}, {1, 9}, {5, 5}, {-1, 0}, {-3, -1}, {0, 6}}) {
        Case c{.geometry = geometry(size + 3, size + 5, 40, size, stride, size / 2),
               .output = EpilogueS8::Output::s8,
               .bias = 20000};
        c.low = low;
        c.high = high;
        for (c.seed = 1; c.seed < 4; ++c.seed) check(kernel, c);
      }
    }
  });
}

TEST_CASE("every kernel: asymmetric padding") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 3000;
    for (const auto& [size, stride] : sizes(kernel)) {
      Geometry g = geometry(11, 13, 24, size, stride, 0);
      g.pad_top = 0;
      g.pad_left = size - 1;
      g.out_h = 10 / stride + 1;  // up to size - 1 rows and columns of padding behind the image
      g.out_w = 12 / stride + 2;
      check(kernel, any_case(g, ++seed));
      g.pad_top = 3;
      g.pad_left = 0;
      check(kernel, any_case(g, ++seed));
    }
  });
}

TEST_CASE("general kernels: rectangles, dilation, uneven strides, many taps") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    if (kernel.size) return;
    Random random(4000);
    const auto pick = [&](s64 low, s64 high) { return static_cast<isize>(random.integer(low, high)); };
    for (u64 seed = 4001; seed < 4060; ++seed) {
      Geometry g{.in_h = pick(1, 9),
                 .in_w = pick(1, 14),
                 .channels = pick(1, 80),
                 .kernel_h = pick(1, 5),
                 .kernel_w = pick(1, 9),
                 .stride_h = pick(1, 3),
                 .stride_w = pick(1, 3),
                 .dilation_h = pick(1, 3),
                 .dilation_w = pick(1, 3),
                 .pad_top = pick(0, 5),
                 .pad_left = pick(0, 5),
                 .out_h = pick(1, 5),
                 .out_w = pick(1, 7)};
      check(kernel, any_case(g, seed));
    }
    Geometry line = geometry(1, 40, 20, 1, 1, 0);  // one dimension
    line.kernel_w = 31;
    line.out_w = 10;
    check(kernel, any_case(line, 4100));
    line.kernel_w = 200;
    line.pad_left = 90;
    check(kernel, any_case(line, 4101));
  });
}

TEST_CASE("every kernel: extreme values") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const Fill fill : {Fill::minimum, Fill::maximum, Fill::opposite})
        check(kernel, {.geometry = geometry(size + 4, size + 5, 33, size, stride, size / 2), .fill = fill});
    }
  });
}

TEST_CASE("every kernel: sums of three products at the limit of s16") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const auto& [size, stride] : sizes(kernel)) {
      for (u64 seed = 1; seed < 5; ++seed)
        check(kernel, {.geometry = geometry(size + 4, size + 5, 40, size, stride, size / 2),
                       .fill = Fill::rows,
                       .output = EpilogueS8::Output::s8,
                       .seed = seed});
    }
  });
}

TEST_CASE("every kernel: ties around an odd zero point") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const auto& [size, stride] : sizes(kernel)) {
      check(kernel, {.geometry = geometry(size + 12, size + 12, 48, size, stride, size / 2),
                     .output = EpilogueS8::Output::s8,
                     .scales = ScaleKind::ties,
                     .bias = 1000,
                     .odd = true});
    }
  });
}

TEST_CASE("every kernel: long rows and many channels") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 8000;
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const isize in_w : {63, 64, 65, 66, 67, 127, 128, 129, 130, 131}) {
        Geometry g = geometry(size, in_w * stride, 8, size, stride, size / 2);
        check(kernel, any_case(g, ++seed));
        g.out_w += 3;  // padding behind the image beyond the kernel's size
        check(kernel, any_case(g, ++seed));
      }
      check(kernel, any_case(geometry(size, size + 1, 256, size, stride, size / 2), ++seed));
      check(kernel, any_case(geometry(size, size + 1, 531, size, stride, size / 2), ++seed));
    }
  });
}

TEST_CASE("every kernel: every epilogue") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 5000;
    const auto [size, stride] = sizes(kernel).front();
    for (const EpilogueS8::Output output : {EpilogueS8::Output::s32, EpilogueS8::Output::s8, EpilogueS8::Output::f32}) {
      for (const bool residual : {false, true}) {
        for (const Activation activation : {Activation::clamp, Activation::hard_swish}) {
          for (const ScaleKind scales : {ScaleKind::usual, ScaleKind::ties, ScaleKind::special}) {
            for (const isize channels : {5, 16, 77}) {
              check(kernel, {.geometry = geometry(size + 3, size + 6, channels, size, stride, 1),
                             .output = output,
                             .residual = residual,
                             .activation = activation,
                             .scales = scales,
                             .seed = ++seed});
            }
          }
        }
      }
    }
  });
}

TEST_CASE("every kernel: relu, also where accumulators or scales are too large for a short cut") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 6000;
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const ScaleKind scales : {ScaleKind::usual, ScaleKind::ties, ScaleKind::special}) {
        for (const s32 bias : {0, 100000, 3'500'000, 4'000'000, 1 << 23, 1 << 24, INT32_MAX}) {
          for (const isize channels : {3, 16, 36}) {
            check(kernel, {.geometry = geometry(size + 5, size + 4, channels, size, stride, size / 2),
                           .output = EpilogueS8::Output::s8,
                           .scales = scales,
                           .seed = ++seed,
                           .relu = true,
                           .bias = bias});
          }
        }
      }
      for (const Fill fill : {Fill::minimum, Fill::maximum, Fill::opposite})
        check(kernel, {.geometry = geometry(size + 4, size + 5, 33, size, stride, size / 2),
                       .fill = fill,
                       .output = EpilogueS8::Output::s8,
                       .relu = true});
    }
  });
}

TEST_CASE("every kernel: relu, channels with one result for all inputs next to others") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 7000;
    for (const auto& [size, stride] : sizes(kernel)) {
      for (const ScaleKind scales : {ScaleKind::usual, ScaleKind::ties, ScaleKind::special}) {
        for (const isize channels : {5, 16, 24, 48, 51}) {
          for (int repeat = 0; repeat < 3; ++repeat) {
            check(kernel, {.geometry = geometry(size + 2, size + 3, channels, size, stride, size / 2),
                           .output = EpilogueS8::Output::s8,
                           .scales = scales,
                           .seed = ++seed,
                           .relu = true,
                           .dead = true});
          }
        }
      }
    }
  });
}

TEST_CASE("every kernel: ranges of rows, and nothing outside of them") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const auto& [size, stride] : sizes(kernel)) {
      const Geometry g = geometry(9 * stride + size, size + 8, 35, size, stride, size / 2);
      const Fixture fixture({.geometry = g, .output = EpilogueS8::Output::s8, .relu = stride == 1});
      const PackedBuffer packed = fixture.packed(kernel);
      Output pieces = fixture.new_output();
      for (const auto& [begin, end] : {std::pair<isize, isize>{0, 1}, {1, 4}, {4, 4}, {4, g.out_h}})
        run(kernel, fixture.args(packed, pieces), begin, end);
      CHECK(pieces == fixture.expected());

      Output part = fixture.new_output(), wanted = fixture.new_output();
      run(kernel, fixture.args(packed, part), 3, 6);
      for (isize pixel = 3 * g.out_w; pixel < 6 * g.out_w; ++pixel)
        for (isize c = 0; c < g.channels; ++c) wanted.set(pixel, c, fixture.expected_value(pixel, c));
      CHECK(part == wanted);
    }
  });
}

TEST_CASE("every kernel: the residual may be the output") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    for (const auto& [size, stride] : sizes(kernel)) {
      const Geometry g = geometry(size + 10, size + 10, 45, size, stride, 0);
      const Fixture fixture({.geometry = g, .output = EpilogueS8::Output::s8, .residual = true});
      const PackedBuffer packed = fixture.packed(kernel);
      Output out = fixture.new_output();
      Args args = fixture.args(packed, out);
      for (isize pixel = 0; pixel < g.out_h * g.out_w; ++pixel) {
        for (isize c = 0; c < g.channels; ++c)
          out.set(pixel, c, args.epilogue.residual[pixel * args.epilogue.residual_stride + c]);
      }
      args.epilogue.residual = static_cast<const s8*>(args.out);
      args.epilogue.residual_stride = args.out_stride;
      run(kernel, args, 0, g.out_h);
      CHECK(out == fixture.expected());
    }
  });
}

TEST_CASE("select names the best kernel for the shape and the instruction sets") {
  const auto chosen = [](isize kernel, isize stride, IsaSet isa) {
    return std::string(name(select(geometry(20, 20, 32, kernel, stride, 0), isa)));
  };
  CHECK(chosen(3, 1, IsaSet().with(Isa::scalar)) == "dwconv_s8_any_scalar");
  CHECK(chosen(3, 1, IsaSet()) == "dwconv_s8_any_scalar");
  const auto check_level = [&](Isa level) {
    const std::string suffix = std::string("_") + isa_name(level);
    CHECK(chosen(3, 1, isa_up_to(level)) == "dwconv_s8_3x3s1" + suffix);
    CHECK(chosen(3, 2, isa_up_to(level)) == "dwconv_s8_3x3s2" + suffix);
    CHECK(chosen(5, 1, isa_up_to(level)) == "dwconv_s8_5x5s1" + suffix);
    CHECK(chosen(5, 2, isa_up_to(level)) == "dwconv_s8_5x5s2" + suffix);
    CHECK(chosen(3, 3, isa_up_to(level)) == "dwconv_s8_any" + suffix);
    CHECK(chosen(7, 1, isa_up_to(level)) == "dwconv_s8_any" + suffix);
    Geometry g = geometry(20, 20, 32, 3, 1, 0);
    g.dilation_w = 2;
    CHECK(name(select(g, isa_up_to(level))) == "dwconv_s8_any" + suffix);
  };
#ifdef WHIT_HAVE_AVX2
  check_level(Isa::avx2);
#endif
#ifdef WHIT_HAVE_AVXVNNI
  check_level(Isa::avxvnni);
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  check_level(Isa::avx512vnni);
#endif
#ifdef WHIT_HAVE_NEON32
  check_level(Isa::neon32);
#endif
#ifdef WHIT_HAVE_NEON
  check_level(Isa::neon);
#endif
#ifdef WHIT_HAVE_NEONDOT
  CHECK(chosen(3, 1, isa_up_to(Isa::neondot)) == "dwconv_s8_3x3s1_neondot");
  CHECK(chosen(3, 2, isa_up_to(Isa::neondot)) == "dwconv_s8_3x3s2_neondot");
  CHECK(chosen(5, 1, isa_up_to(Isa::neondot)) == "dwconv_s8_5x5s1_neondot");
  CHECK(chosen(5, 2, isa_up_to(Isa::neondot)) == "dwconv_s8_5x5s2_neondot");
  CHECK(chosen(7, 1, isa_up_to(Isa::neondot)) == "dwconv_s8_any_neon");
#endif
  (void)check_level;
}

}  // namespace
}  // namespace whit::dwconv_s8
