// conv on s8 by Winograd's transforms: which convolutions take it, and the same bytes as from a product of all taps.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "conv_harness.h"

namespace whit {
namespace {

using namespace test;

OperatorHarness harness_of(const Convolution& c, const std::vector<s8>& x, const std::vector<s8>& w, s32 zero_point) {
  return harness(c, x, w, per_tensor(0.02f, zero_point), per_tensor(0.01f, 0));
}

/// The name of the kernel's family on a CPU of this level.
std::string family(const Convolution& c, Isa level, int threads = 1, s8 weight = 1) {
  const std::vector<s8> x(static_cast<std::size_t>(c.inputs())), w(static_cast<std::size_t>(c.weights()), weight);
  OperatorHarness op = harness_of(c, x, w, 0);
  op.output(DType::f32);
  const Status status = op.prepare(isa_up_to(level), threads);
  INFO(status.message());
  REQUIRE(status.ok());
  const std::string kernel = op.op().kernel();
  return kernel.substr(0, kernel.find("_s8"));
}

TEST_CASE("which convolutions are transformed") {
  // What is chosen does not depend on which level below dot products it is.
  std::vector<Isa> levels{Isa::scalar};
#ifdef WHIT_HAVE_NEON
  levels.push_back(Isa::neon);
#endif
#ifdef WHIT_HAVE_NEON32
  levels.push_back(Isa::neon32);
#endif
  for (const Isa level : levels) {
    CAPTURE(std::string(isa_name(level)));
    CHECK(family({1, 56, 64, 64}, level) == "winograd");
    CHECK(family({1, 56, 64, 64}, level, 4) == "winograd");
    CHECK(family({1, 28, 128, 128}, level) == "winograd");
    CHECK(family({1, 28, 128, 128}, level, 4) == "winograd");
    CHECK(family({1, 14, 256, 256}, level) == "winograd");
    // So few pixels that reading larger weights takes longer than the products, of which threads share the time.
    CHECK(family({1, 14, 256, 256}, level, 4) == "gemm");
    CHECK(family({1, 7, 512, 512}, level) == "gemm");
    CHECK(family({8, 7, 512, 512}, level) == "winograd");  // of eight images they are many
    // So few channels that the transforms take longer.
    CHECK(family({1, 56, 8, 8}, level) == "gemm");
    CHECK(family({1, 56, 64, 1}, level) == "gemm");
    // What it cannot do.
    CHECK(family({1, 56, 64, 64, 2}, level) == "gemm");
    CHECK(family({1, 56, 64, 64, 1, 2}, level) == "gemm");
    CHECK(family({1, 56, 64, 64, 1, 1, 2}, level) == "gemm");
    CHECK(family({1, 56, 64, 64, 1, 1, 1, 5}, level) == "gemm");
    // Sums that need more bits than the transforms leave.
    CHECK(family({1, 24, 229, 64}, level, 1, 127) == "winograd");
    CHECK(family({1, 24, 230, 64}, level, 1, 127) == "gemm");
  }
  // Dot products are better.
#ifdef WHIT_HAVE_NEONDOT
  CHECK(family({1, 56, 64, 64}, Isa::neondot) == "gemm");
  CHECK(family({1, 56, 64, 64}, Isa::i8mm) == "gemm");
#endif
#ifdef WHIT_HAVE_AVX2
  CHECK(family({1, 56, 64, 64}, Isa::avx2) == "gemm");
  CHECK(family({1, 56, 64, 64}, Isa::amx) == "gemm");
#endif
}

/// Runs with f32 and s8 outputs, with bias, residual and activation, and compares with the sums of all taps.
void check(const Convolution& c, u32 seed, bool extreme = false) {
  CAPTURE(seed);
  Random random(seed);
  const s32 zero_point = static_cast<s32>(random.integer(-128, 127));
  const std::vector<s8> x = random_integers<s8>(c.inputs(), random, -128, 127);
  std::vector<s8> w = random_integers<s8>(c.weights(), random, -127, 127);
  if (extreme)
    for (s8& v : w) v = v < 0 ? -127 : 127;
  const std::vector<s32> bias = random_integers<s32>(c.out_channels, random, -100000, 100000);
  OperatorHarness op = harness_of(c, x, w, zero_point);
  op.constant(Shape{c.out_channels}, bias).output(DType::f32);
  const std::vector<f32> got = op.run<f32>();

  // The scalar level, which every CPU of the harness has, is transformed.
  REQUIRE(op.prepare(isa_up_to(Isa::scalar)).ok());
  CHECK(std::string(op.op().kernel()) == "winograd_s8_4x4_scalar");
  REQUIRE(op.shape() == (Shape{c.images, c.out_side(), c.out_side(), c.out_channels}));
  const std::vector<s32> wanted = sums<s32>(c, x, zero_point, w, bias);
  isize wrong = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) wrong += got[i] != static_cast<f32>(wanted[i]) * (0.02f * 0.01f);
  CHECK(wrong == 0);

  // Every level gives the same bytes with all that an epilogue can do.
  const std::vector<s8> residual = random_integers<s8>(static_cast<s64>(got.size()), random, -128, 127);
  const f32 step = 0.02f * static_cast<f32>(std::sqrt(c.in_channels));
  for (const char* activation : {"", "hard_swish"}) {
    for (const bool has_residual : {false, true}) {
      OperatorHarness active = harness_of(c, x, w, zero_point);
      active.constant(Shape{c.out_channels}, bias);
      if (has_residual) active.input(op.shape(), residual, per_tensor(0.7f * step, 5));
      active.output(DType::s8, per_tensor(step, static_cast<s32>(random.integer(-128, 127))));
      active.set("activation", std::string(activation)).set("clamp_min", has_residual ? -INFINITY : 0.0f);
      const std::vector<s8> bytes = active.run<s8>();
      CHECK(std::adjacent_find(bytes.begin(), bytes.end(), std::not_equal_to()) != bytes.end());
    }
  }
}

TEST_CASE("results") {
  check({1, 15, 32, 40}, 1);  // tiles that end beyond the image
  check({3, 11, 32, 33}, 2);  // blocks that span images
  check({1, 33, 33, 37}, 3);  // channels that are no multiple of anything
  check({1, 48, 32, 32}, 4);  // more than one block
  check({1, 16, 72, 72}, 5, true);
  check({2, 20, 40, 40, 1, 1, 1, 3, 0}, 6);
  check({1, 20, 40, 40, 1, 1, 1, 3, 2}, 7, true);
}

}  // namespace
}  // namespace whit
