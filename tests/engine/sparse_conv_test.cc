// conv and gemm with weights that are mostly 0: which of them run sparse, and that they compute what dense ones do.

#include "ops/sparse_conv.h"

#include <doctest/doctest.h>

#include "conv_harness.h"
#include "kernels/spmm_f32/kernel.h"
#include "kernels/spmm_s8/kernel.h"

namespace whit {
namespace {

using test::Convolution;
using test::OperatorHarness;

/// Blocks of rows x lines of a tap that are not 0, one in `one_in`.
template <class T>
std::vector<T> sparse_weights(test::Random& random, const Convolution& c, spmm::Block block, int one_in) {
  std::vector<T> w(static_cast<std::size_t>(c.weights()));
  const s64 taps = c.kernel * c.kernel;
  for (s64 n = 0; n < c.out_channels; n += block.rows)
    for (s64 t = 0; t < taps; ++t)
      for (s64 k = 0; k < c.in_channels; k += block.lines) {
        if (random.integer(1, one_in) != 1) continue;
        for (s64 i = n; i < std::min(n + block.rows, c.out_channels); ++i)
          for (s64 j = k; j < std::min(k + block.lines, c.in_channels); ++j) {
            const int value = static_cast<int>(random.integer(1, 127));
            w[static_cast<std::size_t>((i * taps + t) * c.in_channels + j)] =
                static_cast<T>(random.integer(0, 1) ? value : -value);
          }
      }
  return w;
}

template <class T>
std::vector<T> integers(test::Random& random, s64 count, int low, int high) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(random.integer(low, high));
  return values;
}

bool is_sparse(const ops::Operator& op) { return std::string(op.kernel()).starts_with("spmm_"); }

const Convolution kShapes[] = {
    {2, 9, 96, 72, 1, 1, 1, 1, 0},                               // pointwise, two images
    {1, 1, 300, 130, 1, 1, 1, 1, 0},                             // one pixel
    {1, 13, 68, 81},                                             // 3x3
    {2, 11, 64, 64, 2},                                          // stride 2: four planes
    {1, 12, 64, 64, 2, 1, 1, 1, 0},                              // stride 2 of one tap
    {1, 14, 72, 64, 3, 2, 1, 3, 2},                              // dilated, stride 3
    {1, 10, 64, 65, 1, 1, 1, 5, 2},                              // 5x5
    {1, 7, 64, 64, 2, 1, 1, 2, 1},                               // even kernel
    {1, 40, 64, 64},                                             // bands of several tiles
    {1, 33, 80, 64, 1, 1, 1, 3, 1, std::vector<f32>(80, 3.0f)},  // padding of something else than 0
};

TEST_CASE("s8 convolutions whose weights are mostly 0 are exact, on every level and number of threads") {
  test::Random random(3);
  int sparse = 0;
  for (const Convolution& c : kShapes)
    for (const spmm::Block block : {spmm::Block{1, 1}, spmm::Block{1, 4}, spmm::Block{4, 1}, spmm::Block{8, 1}}) {
      const s32 zero_point = static_cast<s32>(random.integer(-128, 127));
      const auto x = integers<s8>(random, c.inputs(), -128, 127);
      const auto w = sparse_weights<s8>(random, c, block, 20);
      const auto bias = integers<s32>(random, c.out_channels, -100000, 100000);
      OperatorHarness op = test::harness(c, x, w, test::per_tensor(1.0f, zero_point), {{1.0f}, {0}, -1});
      op.constant(Shape{c.out_channels}, bias, {{1.0f}, {0}, -1}).output(DType::f32);
      Convolution padded = c;
      std::vector<s32> wanted = test::sums<s32>(padded, x, zero_point, w, bias);
      const std::vector<f32> got = op.run<f32>();
      sparse += is_sparse(op.op());
      CHECK(!op.op().reason().empty());
      if (!c.pad_values.empty()) continue;  // `sums` pads with 0: run() has compared the levels
      isize wrong = 0;
      for (std::size_t i = 0; i < wanted.size(); ++i) wrong += got[i] != static_cast<f32>(wanted[i]);
      INFO("side ", c.side, " kernel ", c.kernel, " stride ", c.stride, " block ", block.rows, "x", block.lines);
      CHECK(wrong == 0);
    }
  CHECK(sparse >= 24);  // of 40: what this test is about
}

TEST_CASE("s8 with a residual and a clamp gives the bytes of the scalar level") {
  test::Random random(4);
  for (const Convolution& c : kShapes) {
    const auto x = integers<s8>(random, c.inputs(), -128, 127);
    const auto w = sparse_weights<s8>(random, c, {1, 4}, 15);
    const auto bias = integers<s32>(random, c.out_channels, -1000, 1000);
    const s64 outputs = c.images * c.out_side() * c.out_side() * c.out_channels;
    OperatorHarness op = test::harness(c, x, w, test::per_tensor(0.02f, 3), {{0.01f}, {0}, -1});
    op.constant(Shape{c.out_channels}, bias, {{0.02f * 0.01f}, {0}, -1})
        .input(Shape{c.images, c.out_side(), c.out_side(), c.out_channels}, integers<s8>(random, outputs, -128, 127),
               test::per_tensor(0.1f, -5))
        .set("clamp_min", -2.0f)
        .output(DType::s8, test::per_tensor(0.07f, 11));
    op.run<s8>();
  }
}

TEST_CASE("f32 convolutions whose weights are mostly 0") {
  test::Random random(5);
  int sparse = 0;
  for (const Convolution& c : kShapes) {
    if (!c.pad_values.empty()) continue;
    const auto x = integers<f32>(random, c.inputs(), -8, 8);  // sums of small integers are exact in f32
    const auto w = sparse_weights<f32>(random, c, {1, 1}, 20);
    const auto bias = integers<f32>(random, c.out_channels, -100, 100);
    OperatorHarness op = test::harness(c, x, w);
    op.constant(Shape{c.out_channels}, bias).output(DType::f32);
    const auto wanted = test::sums<f32>(c, x, 0.0f, w, bias);
    CHECK(op.run<f32>() == wanted);
    sparse += is_sparse(op.op());
  }
  CHECK(sparse >= 4);
}

TEST_CASE("gemm of one row and of many") {
  test::Random random(6);
  for (const s64 m : {1, 3, 70}) {
    const Convolution c{1, 1, 200, 90, 1, 1, 1, 1, 0};
    const auto x = integers<f32>(random, m * c.in_channels, -8, 8);
    const auto w = sparse_weights<f32>(random, c, {1, 1}, 20);
    OperatorHarness op(Op::gemm);
    op.set("activation", std::string()).set("clamp_min", -INFINITY).set("clamp_max", INFINITY).set("dynamic", s64{0});
    op.input(Shape{m, c.in_channels}, x).constant(Shape{c.out_channels, c.in_channels}, w).output(DType::f32);
    const std::vector<f32> got = op.run<f32>();
    isize wrong = 0;
    for (s64 i = 0; i < m; ++i)
      for (s64 n = 0; n < c.out_channels; ++n) {
        f32 sum = 0;
        for (s64 k = 0; k < c.in_channels; ++k)
          sum +=
              x[static_cast<std::size_t>(i * c.in_channels + k)] * w[static_cast<std::size_t>(n * c.in_channels + k)];
        wrong += got[static_cast<std::size_t>(i * c.out_channels + n)] != sum;
      }
    CHECK(wrong == 0);
  }
}

TEST_CASE("s8: one row by many weights of 0 takes the kernels for one column, and gives what dense ones give") {
  test::Random random(10);
  for (const spmm::Block block : {spmm::Block{1, 1}, spmm::Block{1, 4}, spmm::Block{4, 1}}) {
    for (const int largest : {127, 7}) {
      const Convolution c{1, 1, 1003, 710, 1, 1, 1, 1, 0};
      const s32 zero_point = static_cast<s32>(random.integer(-128, 127));
      const auto x = integers<s8>(random, c.in_channels, -128, 127);
      auto w = sparse_weights<s8>(random, c, block, 50);
      for (s8& each : w) each = static_cast<s8>(std::clamp<int>(each, -largest, largest));
      const auto bias = integers<s32>(random, c.out_channels, -100000, 100000);
      for (const DType output : {DType::f32, DType::s8}) {
        OperatorHarness op(Op::gemm);
        op.set("activation", std::string()).set("clamp_min", -INFINITY).set("clamp_max", INFINITY);
        op.set("dynamic", s64{0});
        op.input(Shape{1, c.in_channels}, x, test::per_tensor(1.0f, zero_point))
            .constant(Shape{c.out_channels, c.in_channels}, w, {{1.0f}, {0}, -1})
            .constant(Shape{c.out_channels}, bias, {{1.0f}, {0}, -1});
        if (output == DType::f32) {
          const std::vector<f32> got = op.output(DType::f32).run<f32>();
          isize wrong = 0;
          for (s64 n = 0; n < c.out_channels; ++n) {
            s32 sum = bias[static_cast<std::size_t>(n)];
            for (s64 k = 0; k < c.in_channels; ++k)
              sum += (x[static_cast<std::size_t>(k)] - zero_point) * w[static_cast<std::size_t>(n * c.in_channels + k)];
            wrong += got[static_cast<std::size_t>(n)] != static_cast<f32>(sum);
          }
          CHECK(wrong == 0);
        } else {
          op.output(DType::s8, test::per_tensor(900.0f, 3)).run<s8>();  // compares levels and numbers of threads
        }
        INFO(op.op().kernel(), ": ", op.op().reason());
        CHECK(std::string(op.op().kernel()).find("_column_") != std::string::npos);
      }
    }
  }
}

TEST_CASE("s8: one row runs sparse where it measured faster") {
  // At 90 % zeros: entries of four always, single weights where dense ones come from beyond L2, except without VNNI.
  test::Random random(12);
  for (const auto& [side, block, isa, sparse] : {
           std::tuple{s64{1024}, spmm::Block{1, 4}, Isa::avx512vnni, true},
           std::tuple{s64{1024}, spmm::Block{1, 1}, Isa::avx512vnni, false},
           std::tuple{s64{2048}, spmm::Block{1, 1}, Isa::avx512vnni, true},
           std::tuple{s64{1024}, spmm::Block{1, 4}, Isa::avxvnni, true},
           std::tuple{s64{1024}, spmm::Block{1, 1}, Isa::avxvnni, false},
           std::tuple{s64{2048}, spmm::Block{1, 1}, Isa::avxvnni, true},
           std::tuple{s64{1024}, spmm::Block{1, 4}, Isa::avx2, true},
           std::tuple{s64{1024}, spmm::Block{1, 1}, Isa::avx2, false},
           std::tuple{s64{2048}, spmm::Block{1, 1}, Isa::avx2, true},
           std::tuple{s64{512}, spmm::Block{1, 4}, Isa::neon, true},
           std::tuple{s64{1024}, spmm::Block{1, 1}, Isa::neon, false},
           std::tuple{s64{2048}, spmm::Block{1, 1}, Isa::neon, true},
       }) {
    if (!test::runnable_isa().has(isa)) continue;
    const Convolution c{1, 1, side, side, 1, 1, 1, 1, 0};
    OperatorHarness op(Op::gemm);
    op.set("activation", std::string()).set("clamp_min", -INFINITY).set("clamp_max", INFINITY).set("dynamic", s64{0});
    op.input(Shape{1, side}, integers<s8>(random, side, -128, 127), test::per_tensor(1.0f, 0))
        .constant(Shape{side, side}, sparse_weights<s8>(random, c, block, 10), {{1.0f}, {0}, -1})
        .absent_input()
        .output(DType::f32);
    REQUIRE(op.prepare(isa_up_to(isa) & test::runnable_isa()).ok());
    INFO(side, " ", op.op().kernel(), ": ", op.op().reason());
    CHECK(is_sparse(op.op()) == sparse);
  }
}

TEST_CASE("rows of several tiles") {
  test::Random random(9);
  const s64 height = 2, width = 600, channels = 64;
  const Convolution c{1, 1, channels, channels};  // for the weights
  const auto x = integers<s8>(random, height * width * channels, -128, 127);
  const auto w = sparse_weights<s8>(random, c, {1, 4}, 20);
  OperatorHarness op(Op::conv);
  op.set("strides", std::vector<s64>{1, 1})
      .set("dilations", std::vector<s64>{1, 1})
      .set("pads", std::vector<s64>(4, 1));
  op.set("group", s64{1}).set("pad_values", std::vector<f32>()).set("activation", std::string());
  op.set("clamp_min", -INFINITY).set("clamp_max", INFINITY);
  op.input(Shape{1, height, width, channels}, x, test::per_tensor(1, 0));
  op.constant(Shape{channels, 3, 3, channels}, w, {{1.0f}, {0}, -1}).absent_input().output(DType::f32);
  const std::vector<f32> got = op.run<f32>();
  CHECK(is_sparse(op.op()));
  isize wrong = 0;
  for (s64 y = 0; y < height; ++y)
    for (s64 column = 0; column < width; ++column)
      for (s64 n = 0; n < channels; ++n) {
        s32 sum = 0;
        for (s64 tap = 0; tap < 9; ++tap) {
          const s64 in_y = y + tap / 3 - 1, in_x = column + tap % 3 - 1;
          if (in_y < 0 || in_y >= height || in_x < 0 || in_x >= width) continue;
          const s8* pixel = x.data() + (in_y * width + in_x) * channels;
          for (s64 k = 0; k < channels; ++k)
            sum += pixel[k] * w[static_cast<std::size_t>((n * 9 + tap) * channels + k)];
        }
        wrong += got[static_cast<std::size_t>((y * width + column) * channels + n)] != static_cast<f32>(sum);
      }
  CHECK(wrong == 0);
}

TEST_CASE("weights that are all 0 leave the bias") {
  test::Random random(8);
  for (const Convolution& c : {kShapes[0], kShapes[2], kShapes[3]}) {
    const auto bias = integers<s32>(random, c.out_channels, -1000, 1000);
    OperatorHarness op = test::harness(c, integers<s8>(random, c.inputs(), -128, 127),
                                       std::vector<s8>(static_cast<std::size_t>(c.weights())), test::per_tensor(1, 5),
                                       {{1.0f}, {0}, -1});
    op.constant(Shape{c.out_channels}, bias, {{1.0f}, {0}, -1}).output(DType::f32);
    const std::vector<f32> got = op.run<f32>();
    isize wrong = 0;
    for (std::size_t i = 0; i < got.size(); ++i) wrong += got[i] != static_cast<f32>(bias[i % bias.size()]);
    CHECK(wrong == 0);
    // Turning so small an image into lines and back takes as long as its dense product by i8mm.
    if (!isa_active()->has(Isa::i8mm)) CHECK(is_sparse(op.op()));
  }
}

TEST_CASE("every sparse kernel of this build has a cost: without one it would never be chosen") {
  for (const spmm_s8::Kernel& kernel : spmm_s8::kernels()) CHECK_MESSAGE(ops::has_cost(name(kernel)), name(kernel));
  for (const spmm_f32::Kernel& kernel : spmm_f32::kernels()) CHECK_MESSAGE(ops::has_cost(name(kernel)), name(kernel));
}

TEST_CASE("weights with few zeros run dense, and nobody is told why") {
  test::Random random(7);
  const Convolution c{1, 8, 64, 64, 1, 1, 1, 1, 0};
  OperatorHarness op =
      test::harness(c, integers<s8>(random, c.inputs(), -128, 127), integers<s8>(random, c.weights(), 1, 127),
                    test::per_tensor(1.0f, 0), {{1.0f}, {0}, -1});
  op.absent_input().output(DType::f32);
  REQUIRE(op.prepare().ok());
  CHECK(!is_sparse(op.op()));
  CHECK(op.op().reason().empty());
}

}  // namespace
}  // namespace whit
