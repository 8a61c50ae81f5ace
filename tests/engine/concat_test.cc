// concat: what is computed in its place, what is copied, and that both give the same bytes.

#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "engine/session_support.h"

namespace whit {
namespace {

using namespace whit::test;
using V = std::vector<s64>;

/// Runs with the parts computed in place and, since they are observed, copied; `dropped` nodes are not run in the first
/// case.
void check_same(ModelBuilder& b, int output, const std::vector<int>& parts, std::size_t dropped) {
  const auto model = b.finish({output});
  REQUIRE(model);
  const Run copied = run(model, parts, 1);
  for (int threads : {1, 3}) {
    const Run in_place = run(model, {}, threads);
    CHECK(in_place.kernels.size() + dropped == copied.kernels.size());
    CHECK(in_place.outputs[0] == copied.outputs[0]);
  }
}

TEST_CASE("parts that follow each other in memory are computed in their place, whatever computes them") {
  for (bool is_output : {true, false}) {
    ModelBuilder b;
    const int x = b.input({3, 7}), y = b.input({2, 7});
    const int p = b.node(Op::exp, {x}, 2), q = b.node(Op::neg, {y}, 2);
    const int r = b.node(Op::transpose, {b.node(Op::reshape, {x}, 2, {{"shape", V{7, 3}}})}, 2, {{"perm", V{1, 0}}});
    const int z = b.node(Op::concat, {p, q, r}, 2, {{"axis", s64{0}}});
    check_same(b, is_output ? z : b.node(Op::exp, {z}, 2), {p, q, r}, 1);
  }
}

TEST_CASE("a part may be read before and after the concat") {
  ModelBuilder b;
  const int x = b.input({3, 7});
  const int p = b.node(Op::exp, {x}, 2), q = b.node(Op::neg, {p}, 2);  // q could be computed in place of p
  const int z = b.node(Op::concat, {p, q}, 2, {{"axis", s64{0}}});
  const int w = b.node(Op::reduce_sum, {z}, 2, {{"axes", V{0}}, {"keepdims", s64{1}}});
  check_same(b, b.node(Op::add, {b.node(Op::add, {q, w}, 2), p}, 2), {p, q}, 1);
}

TEST_CASE("an input, a constant, a view and a tensor that comes twice are copied") {
  ModelBuilder b;
  const int x = b.input({3, 7}), c = b.constant({2, 7});
  const int p = b.node(Op::exp, {x}, 2), twice = b.node(Op::neg, {x}, 2);
  const int view = b.node(Op::reshape, {b.node(Op::abs, {x}, 2)}, 2, {{"shape", V{3, 7}}});
  const int z = b.node(Op::concat, {twice, x, c, p, view, twice}, 2, {{"axis", s64{0}}});
  check_same(b, z, {p}, 0);
}

TEST_CASE("a view of a part lies where the part does") {
  ModelBuilder b;
  const int x = b.input({3, 7});
  const int p = b.node(Op::exp, {x}, 2), q = b.node(Op::neg, {x}, 2);
  const int z = b.node(Op::concat, {p, q}, 2, {{"axis", s64{0}}});
  const int w = b.node(Op::reduce_sum, {z}, 2, {{"axes", V{0}}, {"keepdims", s64{1}}});
  const int view = b.node(Op::reshape, {q}, 2, {{"shape", V{7, 3}}});
  const int v = b.node(Op::transpose, {view}, 2, {{"perm", V{1, 0}}});
  check_same(b, b.node(Op::add, {v, w}, 2), {p, q}, 1);
}

TEST_CASE("a concat inside another") {
  ModelBuilder b;
  const int x = b.input({3, 7});
  const int p = b.node(Op::exp, {x}, 2), q = b.node(Op::neg, {x}, 2), r = b.node(Op::abs, {x}, 2);
  const int inner = b.node(Op::concat, {q, r}, 2, {{"axis", s64{0}}});
  const int outer = b.node(Op::concat, {p, inner, b.node(Op::exp, {inner}, 2)}, 2, {{"axis", s64{0}}});
  check_same(b, outer, {p, q, r, inner}, 2);
}

TEST_CASE("the rows of products lie between each other's") {
  ModelBuilder b;
  const int x = b.input({50, 24});
  const int p = b.node(Op::gemm, {x, b.constant({40, 24})}, 2), q = b.node(Op::exp, {x}, 2);
  const int r = b.node(Op::gemm, {x, b.constant({9, 24})}, 2);
  const int z = b.node(Op::concat, {p, q, r}, 2, {{"axis", s64{-1}}});
  check_same(b, z, {p, q, r}, 0);  // q is copied, so the concat still runs
  ModelBuilder all;
  const int a = all.input({50, 24});
  const int d = all.node(Op::gemm, {a, all.constant({40, 24})}, 2),
            e = all.node(Op::gemm, {a, all.constant({9, 24})}, 2);
  check_same(all, all.node(Op::concat, {d, e}, 2, {{"axis", s64{1}}}), {d, e}, 1);
}

TEST_CASE("the pixels of convolutions of every kind lie between each other's") {
  // Pointwise, depthwise, 3x3 of any channels, by Winograd, grouped; on few channels small and large, with a residual.
  for (const auto& sizes : {std::array<s64, 3>{24, 16, 2}, {24, 3, 1}, {40, 3, 2}, {9, 5, 1}}) {
    const s64 side = sizes[0], channels = sizes[1], images = sizes[2];
    ModelBuilder b;
    const int x = b.input({images, side, side, channels});
    const auto conv = [&](s64 out, s64 kernel, s64 group, int residual) {
      const int w = b.constant({out, kernel, kernel, channels / group});
      const s64 pad = kernel / 2;
      std::vector<int> inputs{x, w};
      if (residual >= 0) inputs = {x, w, -1, residual};
      return b.node(Op::conv, inputs, 4,
                    {{"strides", V{1, 1}},
                     {"dilations", V{1, 1}},
                     {"pads", V{pad, pad, pad, pad}},
                     {"group", group},
                     {"clamp_min", 0.0f}});
    };
    const int first = conv(32, 1, 1, -1);
    const std::vector<int> parts{first,
                                 conv(channels, 3, channels, -1),
                                 conv(40, 3, 1, -1),
                                 conv(32, 3, 1, b.node(Op::abs, {conv(32, 1, 1, -1)}, 4)),
                                 conv(2 * channels, 5, channels, -1),
                                 conv(7, 5, 1, -1)};
    check_same(b, b.node(Op::concat, parts, 4, {{"axis", s64{3}}}), parts, 1);
  }
}

TEST_CASE("rows that somebody else reads stay together") {
  ModelBuilder b;
  const int x = b.input({50, 24});
  const int p = b.node(Op::gemm, {x, b.constant({40, 24})}, 2), q = b.node(Op::gemm, {p, b.constant({9, 40})}, 2);
  check_same(b, b.node(Op::concat, {p, q}, 2, {{"axis", s64{1}}}), {p, q}, 0);
}

}  // namespace
}  // namespace whit
