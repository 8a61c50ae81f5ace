#pragma once
// conv over few input channels (the first layer of an image or audio network). Read tap by tap, three channels would
// fill 3 of the 4 to 16 values that a kernel takes at a time; so the taps of some output pixels at a time are laid side
// by side in scratch, a patch of kernel_h * kernel_w * channels values per pixel, and multiplied as one row each.

#include <algorithm>
#include <cstring>

#include "kernels/copy/runs.h"
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
        row_(g.kernel_w * channels_),
        // A row of the kernel is one run of memory, unless its taps lie apart.
        run_(g.group == 1 && g.dilation_w == 1 ? row_ : channels_),
        pieces_(ceil_div(run_, kPiece)),
        columns_(InsideRange::columns(g)) {}

  /// Patches of output pixels [first, first + count). `x` is the image from the group's first channel on, `x_end` the
  /// image's end, `padding` what the group's channels hold outside of it, for a whole row of the kernel if there is but
  /// one group. kSlack bytes behind the last patch may be overwritten.
  static constexpr isize kSlack = 16;
  void gather(const Element* x, const Element* x_end, const Element* padding, isize first, isize count,
              Element* out) const {
    for (const isize end = first + count; first < end;) {
      const isize oy = first / g_.out_w, ox = first % g_.out_w, some = std::min(end - first, g_.out_w - ox);
      gather_row(x, x_end, padding, oy, ox, ox + some, out);
      first += some, out += some * stride_;
    }
  }

 private:
  static constexpr isize kPiece = kSlack / static_cast<isize>(sizeof(Element));

  /// Output pixels [begin, end) of row oy.
  void gather_row(const Element* x, const Element* x_end, const Element* padding, isize oy, isize begin, isize end,
                  Element* out) const {
    const isize top = oy * g_.stride_h - g_.pad_top, bottom = top + g_.dilation_h * (g_.kernel_h - 1);
    const bool inside = top >= 0 && bottom < g_.in_h;
    const isize step = g_.stride_w * g_.in_channels, down = g_.dilation_h * g_.in_w * g_.in_channels;
    const isize first = (top * g_.in_w - g_.pad_left) * g_.in_channels;
    // Pixels whose patch can be read in whole pieces, at the end of the image too.
    const isize last_read = (g_.kernel_h - 1) * down + (g_.kernel_w - 1) * g_.dilation_w * g_.in_channels;
    const isize readable = (x_end - x) - pieces_ * kPiece - last_read - first;
    const isize fast_begin = inside ? std::clamp(columns_.begin, begin, end) : end;
    const isize fast_end =
        inside && readable >= 0 ? std::clamp(std::min(columns_.end, readable / step + 1), fast_begin, end) : fast_begin;
    const auto slowly = [&](isize from, isize to) {
      for (isize ox = from; ox < to; ++ox, out += stride_) patch(x, padding, top, ox * g_.stride_w - g_.pad_left, out);
    };
    slowly(begin, fast_begin);
    if (const isize count = fast_end - fast_begin; count > 0) {
      const Element* source = x + first + fast_begin * step;
      if (run_ == row_ && pieces_ == 1 && g_.kernel_h == 3) {
        copy<1, 3>(source, count, step, down, out);
      } else if (run_ == row_ && pieces_ == 1) {
        copy<1, 0>(source, count, step, down, out);
      } else if (run_ == row_ && pieces_ == 2) {
        copy<2, 0>(source, count, step, down, out);
      } else {
        copy<0, 0>(source, count, step, down, out);
      }
      out += count * stride_;
    }
    slowly(fast_end, end);
  }

  /// `count` pixels whose patches lie inside of the image, in pieces of kSlack bytes: no call, no loop over bytes. What
  /// is written too much is overwritten by what follows. RowPieces: of a row of the kernel that is one run; 0: any,
  /// also of several runs. Rows: of the kernel; 0: any.
  template <int RowPieces, int Rows>
  void copy(const Element* x, isize count, isize step, isize down, Element* out) const {
    // Copies, since a store of bytes might change members.
    const isize kernel_h = Rows ? Rows : g_.kernel_h, row = row_, run = run_, pieces = pieces_, stride = stride_;
    const isize right = g_.dilation_w * g_.in_channels;
    for (isize i = 0; i < count; ++i, x += step, out += stride) {
      if constexpr (RowPieces > 0) {
#pragma GCC unroll 4
        for (isize y = 0; y < kernel_h; ++y) {
#pragma GCC unroll 2
          for (isize piece = 0; piece < RowPieces; ++piece)
            put(out + y * row + piece * kPiece, x + y * down + piece * kPiece);
        }
      } else {
        const Element* from = x;
        Element* to = out;
        for (isize y = 0; y < kernel_h; ++y, from += down) {
          const Element* tap = from;
          for (Element* const row_end = to + row; to < row_end; to += run, tap += right)
            for (isize piece = 0; piece < pieces; ++piece) put(to + piece * kPiece, tap + piece * kPiece);
        }
      }
    }
  }

  static void put(Element* to, const Element* from) {
    using Bytes = u8 __attribute__((vector_size(kSlack)));
    copy::store(reinterpret_cast<std::byte*>(to), copy::load<Bytes>(reinterpret_cast<const std::byte*>(from)));
  }

  /// One pixel at the image's edge.
  void patch(const Element* x, const Element* padding, isize top, isize left, Element* out) const {
    // Of a row of the kernel that is one run: where the image begins and ends.
    const isize begin = std::clamp<isize>(-left, 0, g_.kernel_w) * channels_;
    const isize end = std::clamp(g_.in_w - left, isize{0}, g_.kernel_w) * channels_;
    for (isize i = 0; i < g_.kernel_h; ++i) {
      const isize y = top + i * g_.dilation_h;
      const bool inside = y >= 0 && y < g_.in_h;
      const Element* const line = inside ? x + y * g_.in_w * g_.in_channels : padding;
      if (run_ != row_) {
        for (isize j = 0; j < g_.kernel_w; ++j, out += channels_) {
          const isize column = left + j * g_.dilation_w;
          const bool image = inside && column >= 0 && column < g_.in_w;
          copy_exactly(image ? line + column * g_.in_channels : padding, channels_, out);
        }
        continue;
      }
      if (!inside || begin >= end) {
        copy_exactly(padding, row_, out);
      } else {
        copy_exactly(padding, begin, out);
        copy_exactly(line + (left * g_.in_channels + begin), end - begin, out + begin);
        copy_exactly(padding, row_ - end, out + end);
      }
      out += row_;
    }
  }

  static void copy_exactly(const Element* from, isize count, Element* to) {
    if (count == 0) return;
    copy::copy_run(reinterpret_cast<std::byte*>(to), reinterpret_cast<const std::byte*>(from),
                   count * static_cast<isize>(sizeof(Element)));
  }

  ConvGeometry g_;
  isize channels_, stride_, row_, run_, pieces_;
  InsideRange columns_;
};

template <class Product>
class PatchConv final : public ConvBody, private RowKernel {
 public:
  using Element = typename Product::Element;

  /// Where a tap is so short that a kernel would read it value by value.
  static bool suits(const ConvGeometry& g) { return g.in_channels / g.group < 8 && g.taps() > 1; }

  Status prepare(const PrepareContext& context, const ConvGeometry& geometry) override {
    g_ = geometry;
    out_element_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    const isize n = g_.out_channels / g_.group, k = g_.taps() * (g_.in_channels / g_.group);
    typename Product::Weights weights(context.inputs[1]);
    groups_.resize(static_cast<std::size_t>(g_.group));
    for (isize i = 0; i < g_.group; ++i)
      WHIT_RETURN_IF_ERROR(
          groups_[static_cast<std::size_t>(i)].prepare(context, weights, g_.out_pixels(), i * n, n, 1, k));
    fill_row_padding(context.node, context.inputs[0], g_.kernel_w, &padding_);
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

  const RowKernel* row_kernel() const override { return this; }

  void run(const RunContext& context) const override {
    const std::byte* residual = context.optional_input(3);
    const RowGeometry rows = row_geometry();
    const isize grain = mac_grain(groups_[0].tile_rows(), g_.out_channels * stride_);
    for (isize image = 0; image < g_.images; ++image) {
      const std::byte* in = context.inputs[0] + image * g_.in_h * rows.in_row_bytes;
      const std::byte* added = residual ? residual + image * g_.out_h * rows.residual_row_bytes : nullptr;
      std::byte* out = context.outputs[0] + image * g_.out_h * rows.out_row_bytes;
      context.pool.parallel_for(g_.out_pixels(), grain, [&](isize begin, isize end, int thread) {
        pixels(g_, in, added, out, begin, end, context.scratch + thread * scratch_per_thread_);
      });
    }
  }

 private:
  RowGeometry row_geometry() const override {
    isize weights = 0;
    for (const auto& group : groups_) weights += group.packed_bytes();
    return g_.row_geometry(sizeof(Element), out_element_bytes_, weights, scratch_per_thread_);
  }

  void run_rows(const std::byte* in, RowRange held, RowRange rows, const std::byte* residual, std::byte* out,
                std::byte* scratch) const override {
    const ConvGeometry g = g_.of_rows(held, rows);
    pixels(g, in, residual, out, 0, g.out_pixels(), scratch);
  }

  /// Output pixels [begin, end) of one image.
  void pixels(const ConvGeometry& g, const std::byte* in, const std::byte* residual, std::byte* out, isize begin,
              isize end, std::byte* scratch) const {
    const auto* x = reinterpret_cast<const Element*>(in);
    auto* block = reinterpret_cast<Element*>(scratch);
    const Patches<Element> patches(g, stride_);
    const isize channels = g.out_channels, k = g.in_channels / g.group;
    for (isize row = begin; row < end; row += block_) {
      const isize count = std::min(block_, end - row);
      const std::byte* added = residual ? residual + row * channels * static_cast<isize>(sizeof(Element)) : nullptr;
      for (isize i = 0; i < g.group; ++i) {
        patches.gather(x + i * k, x + g.in_pixels() * g.in_channels, padding_.data() + i * k, row, count, block);
        groups_[static_cast<std::size_t>(i)].run_rows({block, stride_, nullptr, nullptr}, count, epilogue_, added,
                                                      channels, out + row * g.out_stride * out_element_bytes_,
                                                      out_element_bytes_, g.out_stride);
      }
    }
  }

  static constexpr isize kBlockBytes = 4 << 10;  // of patches: in L1 beside weights and outputs

  ConvGeometry g_{};
  isize out_element_bytes_ = 0, stride_ = 0, block_ = 0, scratch_per_thread_ = 0;
  int threads_ = 1;
  typename Product::EpilogueParams epilogue_;
  std::vector<PackedProduct<Product>> groups_;
  std::vector<Element> padding_;  // [kernel_w][in_channels]
};

}  // namespace whit::ops
