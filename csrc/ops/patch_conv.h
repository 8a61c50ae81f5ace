#pragma once
// conv over few input channels (the first layer of an image or audio network). Read tap by tap, three channels would
// fill 3 of the 4 to 16 values that a kernel takes at a time; so the taps of some output pixels at a time are laid side
// by side in scratch, a patch of kernel_h * kernel_w * channels values per pixel, and multiplied as one row each.

#include <algorithm>
#include <cstring>

#include "ops/conv_body.h"
#include "ops/product.h"

namespace whit::ops {

/// Copies the patches of output pixels from one image.
template <class Element>
class Patches {
 public:
  /// Patches are `stride` elements apart, stride >= taps * channels of the group.
  Patches(const ConvGeometry& g, isize stride)
      : g_(g),
        channels_(g.in_channels / g.group),
        stride_(stride),
        // A row of the kernel is one run of memory, unless its taps lie apart.
        run_(g.group == 1 && g.dilation_w == 1 ? g.kernel_w * channels_ : channels_),
        runs_(g.kernel_w * channels_ / run_) {}

  /// Patches of output pixels [first, first + count). `x` is the image from the group's first channel on, `x_end` its
  /// end; kSlack bytes behind the last patch may be overwritten.
  static constexpr isize kSlack = 16;
  void gather(const Element* x, const Element* x_end, Element padding, isize first, isize count, Element* out) const {
    isize oy = first / g_.out_w, ox = first % g_.out_w;
    for (isize i = 0; i < count; ++i, out += stride_) {
      patch(x, x_end, padding, oy, ox, out);
      if (++ox == g_.out_w) ox = 0, ++oy;
    }
  }

 private:
  void patch(const Element* x, const Element* x_end, Element padding, isize oy, isize ox, Element* out) const {
    const isize top = oy * g_.stride_h - g_.pad_top, left = ox * g_.stride_w - g_.pad_left;
    const bool whole = left >= 0 && left + g_.dilation_w * (g_.kernel_w - 1) < g_.in_w;
    for (isize i = 0; i < g_.kernel_h; ++i, out += g_.kernel_w * channels_) {
      const isize y = top + i * g_.dilation_h;
      if (y < 0 || y >= g_.in_h) {
        std::fill_n(out, g_.kernel_w * channels_, padding);
        continue;
      }
      const Element* row = x + y * g_.in_w * g_.in_channels;
      if (whole) {
        for (isize j = 0; j < runs_; ++j)
          copy(row + (left + j * g_.dilation_w) * g_.in_channels, x_end, run_, out + j * run_);
        continue;
      }
      for (isize j = 0; j < g_.kernel_w; ++j) {
        const isize column = left + j * g_.dilation_w;
        if (column >= 0 && column < g_.in_w)
          std::copy_n(row + column * g_.in_channels, channels_, out + j * channels_);
        else
          std::fill_n(out + j * channels_, channels_, padding);
      }
    }
  }

  /// In pieces of kSlack bytes, the last one too where the source has that many: no call, no loop over bytes.
  static void copy(const Element* from, const Element* from_end, isize count, Element* to) {
    constexpr isize kPiece = kSlack / static_cast<isize>(sizeof(Element));
    for (; count > 0 && from_end - from >= kPiece; count -= kPiece, from += kPiece, to += kPiece)
      std::memcpy(to, from, kSlack);
    if (count > 0) std::copy_n(from, count, to);
  }

  ConvGeometry g_;
  isize channels_, stride_, run_, runs_;
};

template <class Product>
class PatchConv final : public ConvBody {
 public:
  using Element = typename Product::Element;

  /// Where a tap is so short that a kernel would read it value by value.
  static bool suits(const ConvGeometry& g) { return g.in_channels / g.group < 8 && g.taps() > 1; }

  Status prepare(const PrepareContext& context, const ConvGeometry& geometry) override {
    g_ = geometry;
    out_element_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    const isize n = g_.out_channels / g_.group, k = g_.taps() * (g_.in_channels / g_.group);
    groups_.resize(static_cast<std::size_t>(g_.group));
    for (isize i = 0; i < g_.group; ++i)
      WHIT_RETURN_IF_ERROR(groups_[static_cast<std::size_t>(i)].prepare(context, g_.out_pixels(), i * n, n, 1, k));
    padding_ = Product::padding(context.inputs[0]);
    for (auto& group : groups_) stride_ = group.pad_k();
    const isize patch_bytes = stride_ * static_cast<isize>(sizeof(Element));
    const isize rows = groups_[0].tile_rows();
    block_ = round_up(std::clamp<isize>(kBlockBytes / patch_bytes, 1, g_.out_pixels()), rows);
    scratch_per_thread_ = round_up(block_ * patch_bytes + Patches<Element>::kSlack, isize{kAlignment});
    threads_ = context.threads;
    return {};
  }

  const char* kernel_name() const override { return groups_[0].kernel_name(); }
  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(scratch_per_thread_ * threads_); }

  void run(const RunContext& context) const override {
    const auto* x = reinterpret_cast<const Element*>(context.inputs[0]);
    const std::byte* residual = context.inputs.size() > 3 ? context.inputs[3] : nullptr;
    const isize image_in = g_.in_pixels() * g_.in_channels, channels = g_.out_channels;
    const isize work = channels / g_.group * stride_;
    const Patches<Element> patches(g_, stride_);
    for (isize image = 0; image < g_.images; ++image) {
      const Element* const image_begin = x + image * image_in;
      for (isize i = 0; i < g_.group; ++i) {
        const auto& group = groups_[static_cast<std::size_t>(i)];
        context.pool.parallel_for(
            g_.out_pixels(), mac_grain(group.tile_rows(), work), [&](isize begin, isize end, int thread) {
              auto* block = reinterpret_cast<Element*>(context.scratch + thread * scratch_per_thread_);
              for (isize row = begin; row < end; row += block_) {
                const isize count = std::min(block_, end - row), at = (image * g_.out_pixels() + row) * channels;
                patches.gather(image_begin + i * (g_.in_channels / g_.group), image_begin + image_in, padding_, row,
                               count, block);
                group.run_rows({block, stride_, nullptr, nullptr}, count, epilogue_,
                               residual ? residual + at * static_cast<isize>(sizeof(Element)) : nullptr, channels,
                               context.outputs[0] + at * out_element_bytes_, out_element_bytes_, channels);
              }
            });
      }
    }
  }

 private:
  static constexpr isize kBlockBytes = 4 << 10;  // of patches: in L1 beside weights and outputs

  ConvGeometry g_{};
  isize out_element_bytes_ = 0, stride_ = 0, block_ = 0, scratch_per_thread_ = 0;
  int threads_ = 1;
  typename Product::EpilogueParams epilogue_;
  std::vector<PackedProduct<Product>> groups_;
  Element padding_{};
};

}  // namespace whit::ops
