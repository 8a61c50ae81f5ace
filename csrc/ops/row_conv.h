#pragma once
// f32 conv over few input channels, as patch_conv.h, for images so large that most windows lie inside. A row of a
// window is one run of memory there, kernel_w * channels floats long, and f32 kernels take floats one by one anyway:
// such rows are multiplied where they are, the kernel's rows being the taps of the product. Patches are gathered along
// the border alone. The order of the sums is that of the patches.

#include <limits>

#include "ops/patch_conv.h"

namespace whit::ops {

class RowConv final : public ConvBody, private RowKernel {
 public:
  /// Where windows have long rows, and threads get some rows of the output each.
  static bool suits(const ConvGeometry& g) {
    constexpr isize kLeast = 16, kLeastRun = 6;
    return PatchConv<ProductF32>::suits(g) && g.group == 1 && g.dilation_w == 1 &&
           g.kernel_w * g.in_channels >= kLeastRun && InsideRange::rows(g).size() >= kLeast &&
           InsideRange::columns(g).size() >= kLeast &&
           s64{g.in_pixels()} * g.in_channels <= std::numeric_limits<s32>::max();
  }

  Status prepare(const PrepareContext& context, const ConvGeometry& geometry) override {
    g_ = geometry;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    const isize n = g_.out_channels, row = g_.kernel_w * g_.in_channels;
    // Two views of the same packed weights, whose layout does not depend on where a tap ends.
    ProductF32::Weights weights(context.inputs[1]);
    WHIT_RETURN_IF_ERROR(rows_.prepare(context, weights, g_.out_pixels(), 0, n, g_.kernel_h, row));
    WHIT_RETURN_IF_ERROR(patches_.prepare(context, weights, g_.out_pixels(), 0, n, 1, g_.kernel_h * row));
    fill_row_padding(context.node, context.inputs[0], g_.kernel_w, &padding_);
    const isize columns = InsideRange::columns(g_).size();
    WHIT_RETURN_IF_ERROR(check_offsets(context.node, columns, g_.kernel_h));
    offsets_.clear();
    for (isize x = 0; x < columns; ++x)
      for (isize i = 0; i < g_.kernel_h; ++i)
        offsets_.push_back(static_cast<s32>((i * g_.dilation_h * g_.in_w + x * g_.stride_w) * g_.in_channels));
    block_ = round_up(std::max<isize>(1, kBlockBytes / (g_.kernel_h * row * kElementBytes)), patches_.tile_rows());
    scratch_per_thread_ =
        round_up(block_ * g_.kernel_h * row * kElementBytes + Patches<f32>::kSlack, isize{kAlignment});
    threads_ = context.threads;
    return {};
  }

  const char* kernel_name() const override { return rows_.kernel_name(); }
  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(scratch_per_thread_ * threads_); }

  const RowKernel* row_kernel() const override { return this; }

  void run(const RunContext& context) const override {
    const std::byte* residual = context.optional_input(3);
    const RowGeometry rows = row_geometry();
    for (isize image = 0; image < g_.images; ++image) {
      const Image at(*this, g_, context.inputs[0] + image * g_.in_h * rows.in_row_bytes,
                     residual ? residual + image * g_.out_h * rows.residual_row_bytes : nullptr,
                     context.outputs[0] + image * g_.out_h * rows.out_row_bytes);
      context.pool.parallel_for(g_.out_h, mac_grain(1, rows.macs / g_.out_h), [&](isize begin, isize end, int thread) {
        at.output_rows(begin, end, reinterpret_cast<f32*>(context.scratch + thread * scratch_per_thread_));
      });
    }
  }

 private:
  static constexpr isize kElementBytes = static_cast<isize>(sizeof(f32));
  static constexpr isize kBlockBytes = 4 << 10;  // of patches: in L1 beside weights and outputs

  RowGeometry row_geometry() const override {
    return g_.row_geometry(kElementBytes, kElementBytes, patches_.packed_bytes(), scratch_per_thread_);
  }

  void run_rows(const std::byte* in, RowRange held, RowRange rows, const std::byte* residual, std::byte* out,
                std::byte* scratch) const override {
    const ConvGeometry g = g_.of_rows(held, rows);
    Image(*this, g, in, residual, out).output_rows(0, g.out_h, reinterpret_cast<f32*>(scratch));
  }

  /// One image of a run.
  class Image {
   public:
    Image(const RowConv& conv, const ConvGeometry& g, const std::byte* in, const std::byte* residual, std::byte* out)
        : conv_(conv),
          g_(g),
          patches_(g, g.taps() * g.in_channels),
          rows_(InsideRange::rows(g)),
          columns_(InsideRange::columns(g)),
          in_(reinterpret_cast<const f32*>(in)),
          residual_(residual),
          out_(out) {}

    void output_rows(isize begin, isize end, f32* scratch) const {
      isize done = begin * g_.out_w;  // output pixels before it
      for (isize y = std::max(begin, rows_.begin); y < std::min(end, rows_.end); ++y) {
        const isize pixel = y * g_.out_w + columns_.begin;
        border(done, pixel, scratch);
        const isize in_y = y * g_.stride_h - g_.pad_top, in_x = columns_.begin * g_.stride_w - g_.pad_left;
        multiply(conv_.rows_, {in_ + (in_y * g_.in_w + in_x) * g_.in_channels, 0, conv_.offsets_.data(), nullptr},
                 pixel, columns_.size());
        done = pixel + columns_.size();
      }
      border(done, end * g_.out_w, scratch);
    }

   private:
    /// Output pixels [begin, end), some of whose windows are not inside.
    void border(isize begin, isize end, f32* scratch) const {
      for (; begin < end; begin += conv_.block_) {
        const isize count = std::min(conv_.block_, end - begin);
        patches_.gather(in_, in_ + g_.in_pixels() * g_.in_channels, conv_.padding_.data(), begin, count, scratch);
        multiply(conv_.patches_, {scratch, g_.taps() * g_.in_channels, nullptr, nullptr}, begin, count);
      }
    }

    void multiply(const PackedProduct<ProductF32>& product, const gemm_f32::Lhs& lhs, isize pixel, isize count) const {
      const isize at = pixel * kElementBytes;
      product.run_rows(lhs, count, conv_.epilogue_, residual_ ? residual_ + at * g_.out_channels : nullptr,
                       g_.out_channels, out_ + at * g_.out_stride, kElementBytes, g_.out_stride);
    }

    const RowConv& conv_;
    const ConvGeometry& g_;
    const Patches<f32> patches_;
    const InsideRange rows_, columns_;
    const f32* const in_;
    const std::byte* const residual_;
    std::byte* const out_;
  };

  ConvGeometry g_{};
  isize block_ = 0, scratch_per_thread_ = 0;
  int threads_ = 1;
  ProductF32::EpilogueParams epilogue_;
  PackedProduct<ProductF32> rows_, patches_;
  std::vector<f32> padding_;  // [kernel_w][in_channels]
  std::vector<s32> offsets_;  // [output columns inside][kernel_h]
};

}  // namespace whit::ops
