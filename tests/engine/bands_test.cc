// Chains of convolutions run band by band: which do, and that the bytes are those of one operator after the other.

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <vector>

#include "engine/session_support.h"

namespace whit {
namespace {

using namespace whit::test;
using V = std::vector<s64>;

/// Convolutions on tensors that are too large for any L2 to keep.
class Chain {
 public:
  explicit Chain(s64 images = 1, std::array<s64, 3> size = {97, 113, 32}) {
    last = x = b.input({images, size[0], size[1], size[2]});
  }

  int conv(int from, s64 in, s64 out, s64 kernel, s64 stride, V pads, s64 group, s64 dilation = 1, int residual = -1) {
    std::vector<int> inputs{from, b.constant({out, kernel, kernel, in / group})};
    if (residual >= 0) inputs = {inputs[0], inputs[1], -1, residual};
    return b.node(Op::conv, inputs, 4,
                  {{"strides", V{stride, stride}},
                   {"dilations", V{dilation, dilation}},
                   {"pads", std::move(pads)},
                   {"group", group},
                   {"clamp_min", -0.5f}});
  }
  void pointwise(s64 in, s64 out, int residual = -1) {
    parts.push_back(last = conv(last, in, out, 1, 1, V(4, 0), 1, 1, residual));
  }
  void depthwise(s64 channels, s64 kernel, s64 stride, V pads, s64 dilation = 1) {
    parts.push_back(last = conv(last, channels, channels, kernel, stride, std::move(pads), channels, dilation));
  }

  ModelBuilder b;
  int x, last;
  std::vector<int> parts;
};

bool same_bytes(const std::vector<f32>& a, const std::vector<f32>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(f32)) == 0;
}

/// Everything in `chain` runs as one, to the same bytes as when tensors inside are observed, which keeps them whole.
void check_one_band(Chain& chain, std::size_t others = 0) {
  const auto model = chain.b.finish({chain.last});
  REQUIRE(model);
  const Run whole = run(model, chain.parts, 1);
  CHECK(whole.kernels.size() == chain.parts.size() + others);
  for (int threads : {1, 2, 3}) {
    const Run bands = run(model, {}, threads);
    REQUIRE(bands.kernels.size() == 1 + others);
    CHECK(bands.kernels[0].rfind("bands:", 0) == 0);
    CHECK(same_bytes(bands.outputs[0], whole.outputs[0]));
  }
}

TEST_CASE("an expansion, a depthwise convolution and a projection") {
  for (s64 stride : {1, 2}) {
    for (s64 kernel : {3, 5}) {
      Chain chain;
      chain.pointwise(32, 100);
      chain.depthwise(100, kernel, stride, V(4, kernel / 2));
      if (stride == 1) chain.pointwise(100, 24);
      check_one_band(chain);
    }
  }
}

TEST_CASE("a first layer, whose windows are rows of memory or gathered") {
  for (s64 channels : {3, 1}) {
    Chain chain(2, {197, 229, channels});
    chain.parts.push_back(chain.last = chain.conv(chain.x, channels, 40, 3, 2, V(4, 1), 1));
    chain.depthwise(40, 3, 1, V(4, 1));
    chain.pointwise(40, 16);
    check_one_band(chain);
  }
}

TEST_CASE("a long chain, of several images") {
  Chain chain(2);
  chain.depthwise(32, 3, 1, V(4, 1));
  chain.pointwise(32, 64);
  chain.depthwise(64, 3, 1, V(4, 1));
  chain.pointwise(64, 72);
  chain.depthwise(72, 5, 1, V(4, 2));
  check_one_band(chain);
}

TEST_CASE("padding of all kinds, and dilation") {
  for (const V& pads : {V{0, 0, 0, 0}, V{2, 1, 0, 2}, V{0, 2, 2, 0}}) {
    for (s64 dilation : {1, 3}) {
      Chain chain;
      chain.pointwise(32, 48);
      chain.depthwise(48, 3, 1, pads, dilation);
      check_one_band(chain);
    }
  }
}

TEST_CASE("a residual at the end") {
  Chain chain;
  chain.pointwise(32, 64);
  chain.depthwise(64, 3, 1, V(4, 1));
  chain.pointwise(64, 32, chain.x);
  check_one_band(chain);
}

TEST_CASE("into a concat") {
  Chain chain;
  chain.pointwise(32, 64);
  chain.depthwise(64, 3, 1, V(4, 1));
  const auto whole_parts = chain.parts;
  const int other = chain.conv(chain.x, 32, 8, 1, 1, V(4, 0), 1);
  chain.last = chain.b.node(Op::concat, {chain.last, other}, 4, {{"axis", s64{3}}});
  const auto model = chain.b.finish({chain.last});
  REQUIRE(model);
  const Run whole = run(model, whole_parts, 1), bands = run(model, {}, 2);
  CHECK(whole.kernels.size() == 4);
  CHECK(bands.kernels.size() == 2);
  CHECK(same_bytes(bands.outputs[0], whole.outputs[0]));
}

TEST_CASE("what is read twice, small, an output, or has a residual inside the chain is computed whole") {
  Chain twice;
  twice.pointwise(32, 64);
  twice.depthwise(64, 3, 1, V(4, 1));
  twice.last = twice.b.node(Op::add, {twice.parts[0], twice.parts[1]}, 4);
  CHECK(run(twice.b.finish({twice.last}), {}, 1).kernels.size() == 3);

  Chain small;
  small.pointwise(32, 4);
  small.depthwise(4, 3, 1, V(4, 1));
  CHECK(run(small.b.finish({small.last}), {}, 1).kernels.size() == 2);

  Chain output;
  output.pointwise(32, 64);
  output.depthwise(64, 3, 1, V(4, 1));
  CHECK(run(output.b.finish({output.last, output.parts[0]}), {}, 1).kernels.size() == 2);

  Chain residual;
  residual.pointwise(32, 32, residual.x);
  residual.depthwise(32, 3, 1, V(4, 1));
  CHECK(run(residual.b.finish({residual.last}), {}, 1).kernels.size() == 2);
}

TEST_CASE("windows that see padding alone") {
  Chain chain;
  chain.pointwise(32, 64);
  chain.depthwise(64, 3, 1, V{4, 1, 4, 1});
  CHECK(run(chain.b.finish({chain.last}), {}, 1).kernels.size() == 2);
}

}  // namespace
}  // namespace whit
