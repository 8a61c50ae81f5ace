#pragma once
// conv of a b1 input: bits are multiplied and stored without becoming numbers in memory.
//
// Padding of +1 and -1 is bits like any other. Padding of zeros is +1 to the kernel, and what the taps in it add too
// much is taken off again: a constant for each channel and set of taps in the padding, of which an image has few.

#include <bit>
#include <map>

#include "base/checked.h"
#include "ops/binary_product.h"
#include "ops/conv_body.h"

namespace whit::ops {

class BinaryConv final : public ConvBody {
 public:
  Status prepare(const PrepareContext& context, const ConvGeometry& geometry) override {
    g_ = geometry;
    threads_ = context.threads;
    if (g_.group != 1) return node_error(context.node, Code::unsupported, "a grouped convolution of a b1 input");
    const isize m = g_.is_pointwise() ? g_.images * g_.out_pixels() : g_.out_pixels();
    WHIT_RETURN_IF_ERROR(product_.prepare(context, m, g_.out_channels, g_.taps(), g_.in_channels));
    if (!g_.is_pointwise()) {
      WHIT_RETURN_IF_ERROR(fill_offsets(context.node, g_, g_.in_channels / 8, &offsets_));
      WHIT_RETURN_IF_ERROR(fill_pad(context.node));
    }
    product_.drop_weight_bits();
    return {};
  }

  const char* kernel_name() const override { return product_.kernel_name(); }
  std::size_t scratch_bytes() const override { return allocation_bytes(threads_, product_.scratch_per_thread()); }

  void run(const RunContext& context) const override {
    const u8* x = reinterpret_cast<const u8*>(context.inputs[0]);
    const isize channels = g_.in_channels / 8;
    const bool pointwise = g_.is_pointwise();
    const isize images = pointwise ? 1 : g_.images, rows = (pointwise ? g_.images : 1) * g_.out_pixels();
    for (isize image = 0; image < images; ++image) {
      const gemm_b1::Lhs lhs{x + image * g_.in_pixels() * channels, channels,
                             reinterpret_cast<const s32*>(offsets_.data()), pad_.data()};
      product_.run(lhs, {sums_.empty() ? nullptr : sums_.data(), classes_.data()}, rows,
                   context.outputs[0] + image * g_.out_pixels() * g_.out_stride * product_.out_bits() / 8,
                   g_.out_stride, context.pool, context.scratch);
    }
  }

 private:
  Status fill_pad(const Node& node) {
    const std::vector<f32>& values = node.attributes.numbers("pad_values");
    pad_.assign(static_cast<std::size_t>(g_.in_channels / 8), 0);
    const bool zeros = std::all_of(values.begin(), values.end(), [](f32 value) { return value == 0; });
    if (zeros) return fill_border(node);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] != 1 && values[i] != -1)
        return node_error(node, Code::unsupported, "the padding of a b1 input must be 0 everywhere, or +1 and -1");
      pad_[i / 8] = static_cast<u8>(pad_[i / 8] | (values[i] < 0) << i % 8);
    }
    return {};
  }

  /// Classes of pixels with the same taps in the padding, the first one without any.
  Status fill_border(const Node& node) {
    const s32* offset = reinterpret_cast<const s32*>(offsets_.data());
    const std::size_t taps = static_cast<std::size_t>(g_.taps()), n = static_cast<std::size_t>(g_.out_channels);
    constexpr std::size_t kMostClasses = 4096;  // networks have up to (kernel size + 1)^2
    std::vector<bool> outside(taps);
    std::map<std::vector<bool>, u16> known{{outside, 0}};
    sums_.assign(n, 0);
    for (isize pixel = 0; pixel < g_.out_pixels(); ++pixel, offset += taps) {
      for (std::size_t t = 0; t < taps; ++t) outside[t] = offset[t] < 0;
      if (known.size() == kMostClasses)
        return node_error(node, Code::unsupported, "more than 4096 sets of taps in the padding");
      const auto [found, is_new] = known.try_emplace(outside, static_cast<u16>(known.size()));
      classes_.push_back(found->second);
      if (!is_new) continue;
      for (std::size_t o = 0; o < n; ++o) sums_.push_back(-padded_sum(o, outside));
    }
    if (known.size() == 1) sums_.clear();
    return {};
  }

  /// The sum of the weights of channel o in the taps that are outside.
  s32 padded_sum(std::size_t o, const std::vector<bool>& outside) const {
    const isize bytes = g_.in_channels / 8;
    s32 sum = 0;
    for (std::size_t t = 0; t < outside.size(); ++t) {
      if (!outside[t]) continue;
      const u8* bits = product_.weight_bits(static_cast<isize>(o)) + static_cast<isize>(t) * bytes;
      for (isize i = 0; i < bytes; ++i) sum += 8 - 2 * std::popcount(bits[i]);
    }
    return sum;
  }

  ConvGeometry g_{};
  int threads_ = 1;
  BinaryProduct product_;
  AlignedBuffer offsets_;
  std::vector<u8> pad_;
  std::vector<s32> sums_;     // [classes][out_channels], or empty
  std::vector<u16> classes_;  // [out_pixels]
};

}  // namespace whit::ops
