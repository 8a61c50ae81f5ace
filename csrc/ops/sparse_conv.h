#pragma once
// conv and gemm with weights that are mostly 0 (kernels/spmm). Tensors stay NHWC: a tile of pixels is transposed to
// lines in L1, multiplied, and stored through the epilogue back as pixels. What the transpositions cost beside planning
// the layout over chains of operators is in docs/decisions/008-sparse-tiles.md.
//
// A kernel of several taps sees a band of output rows. The lines hold the band's padded input, rows of `row_` pixels
// one after another, so that output pixel (y, x) is number y * row_ + x and a tap is a constant offset; pixels that
// stick out of the row are computed and dropped. With a stride, every remainder of it has such a plane of its own.

#include <limits>
#include <type_traits>

#include "base/checked.h"
#include "ops/conv_body.h"
#include "ops/sparse_product.h"

namespace whit::ops {

template <class Sparse>
class SparseConv final : public ConvBody, private RowKernel {
 public:
  using Element = typename Sparse::Element;
  using Accumulator = typename Sparse::Accumulator;

  explicit SparseConv(SparseWeights<Sparse> weights) : weights_(std::move(weights)), kernel_(weights_->kernel) {}

  /// `dense`: see choose_product().
  static ProductChoice<Sparse> choose(const PrepareContext& context, const ConvGeometry& g, f64 dense) {
    typename Sparse::Product::EpilogueParams checked;  // what is wrong, dense products say
    if (g.group != 1 || !is_small(g) || !fill_epilogue(context.node, context.inputs, context.outputs[0], &checked).ok())
      return {};
    const isize pixels = g.is_pointwise() ? g.images * g.out_pixels() : std::max<isize>(g.out_pixels(), 2);
    return choose_product<Sparse>(context, g.out_channels, g.taps(), g.in_channels, pixels, dense);
  }

  Status prepare(const PrepareContext& context, const ConvGeometry& geometry) override {
    g_ = geometry;
    threads_ = context.threads;
    out_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    if (!g_.is_pointwise()) fill_padding(context.node, context.inputs[0], &pad_);
    WHIT_RETURN_IF_ERROR(pack(context));
    plan_band();
    return {};
  }

  const char* kernel_name() const override { return name(*kernel_); }
  std::size_t scratch_bytes() const override { return allocation_bytes(threads_, scratch_per_thread_); }
  const RowKernel* row_kernel() const override { return this; }

  void run(const RunContext& context) const override {
    const std::byte* residual = context.optional_input(3);
    if (g_.is_pointwise()) {
      const isize pixels = g_.images * g_.out_pixels();
      if (pixels <= Sparse::pixel_step(*kernel_)) return few_pixels(context, residual, pixels);
      const isize fair = round_up(ceil_div(pixels, context.pool.threads()), Sparse::pixel_step(*kernel_));
      const isize tile = std::min(tile_, fair);
      context.pool.parallel_for(ceil_div(pixels, tile), 1, [&](isize begin, isize end, int thread) {
        for (isize i = begin; i < end; ++i)
          pointwise(context.inputs[0], residual, context.outputs[0], i * tile, std::min(tile, pixels - i * tile),
                    context.scratch + thread * scratch_per_thread_);
      });
      return;
    }
    const RowGeometry rows = row_geometry();
    const isize bands = ceil_div(g_.out_h, band_);
    context.pool.parallel_for(g_.images * bands, 1, [&](isize begin, isize end, int thread) {
      for (isize i = begin; i < end; ++i) {
        const isize image = i / bands, y = i % bands * band_;
        band(g_, context.inputs[0] + image * g_.in_h * rows.in_row_bytes,
             residual ? residual + image * g_.out_h * rows.residual_row_bytes : nullptr,
             context.outputs[0] + image * g_.out_h * rows.out_row_bytes, y, std::min(band_, g_.out_h - y),
             context.scratch + thread * scratch_per_thread_);
      }
    });
  }

 private:
  static constexpr isize kElementBytes = static_cast<isize>(sizeof(Element));
  static constexpr isize kLineBudget = 48 << 10;  // bytes of lines of a band: they are in L2 beside weights
  static constexpr isize kTilePixels = 256;       // of a band, whose accumulators are in memory at once

  /// Whether offsets fit in s32, and a band of one row in memory. What does not is no sensible network.
  static bool is_small(const ConvGeometry& g) {
    constexpr s64 kMost = 1 << 22, kMostTaps = 1 << 10;
    s64 pixels = 0, bytes = 0;
    const s64 down = (s64{g.kernel_h} - 1) * g.dilation_h + 1, right = (s64{g.kernel_w} - 1) * g.dilation_w + 1;
    return checked_mul(s64{g.in_pixels()}, s64{g.in_channels}, &pixels) && pixels <= std::numeric_limits<s32>::max() &&
           g.taps() <= kMostTaps && down <= kMost && right <= kMost && checked_mul(down, g.out_w + right, &pixels) &&
           checked_mul(pixels, s64{g.in_channels} * g.stride_w * kElementBytes, &bytes) && bytes <= kMost;
  }

  RowGeometry row_geometry() const override {
    return g_.row_geometry(kElementBytes, out_bytes_, static_cast<isize>(packed_bytes_), scratch_per_thread_);
  }

  void run_rows(const std::byte* in, RowRange held, RowRange rows, const std::byte* residual, std::byte* out,
                std::byte* scratch) const override {
    if (g_.is_pointwise()) {
      const std::byte* x = in + (rows.begin - held.begin) * g_.in_w * g_.in_channels * kElementBytes;
      const isize pixels = (rows.end - rows.begin) * g_.out_w;
      for (isize p = 0; p < pixels; p += tile_) pointwise(x, residual, out, p, std::min(tile_, pixels - p), scratch);
      return;
    }
    const ConvGeometry g = g_.of_rows(held, rows);
    for (isize y = 0; y < g.out_h; y += band_) band(g, in, residual, out, y, std::min(band_, g.out_h - y), scratch);
  }

  Status pack(const PrepareContext& context) {
    const auto csr = weights_->csr.view();
    packed_bytes_ = Sparse::packed_bytes(*kernel_, csr);
    const auto fill = [&](std::byte* out) {
      Sparse::pack(*kernel_, csr, context.inputs, out);
      return true;
    };
    const Status status = pack_weights(context, kernel_name(), packed_bytes_, fill, &packed_);
    weights_.reset();
    return status;
  }

  void plan_band() {
    const isize step = Sparse::pixel_step(*kernel_), n = g_.out_channels;
    pixel_bytes_ = Sparse::line_bytes(*kernel_, step) / step;
    tile_ = pixel_tile(*kernel_);
    chunk_ = std::min(n, row_step(*kernel_));
    isize pixels = tile_, lines = tile_;  // of acc, of a line
    if (!g_.is_pointwise()) {
      const isize reach_h = (g_.kernel_h - 1) * g_.dilation_h, reach_w = (g_.kernel_w - 1) * g_.dilation_w;
      planes_h_ = std::min(g_.stride_h, reach_h + 1), planes_w_ = std::min(g_.stride_w, reach_w + 1);
      more_ = reach_h / g_.stride_h;
      row_ = g_.out_w + reach_w / g_.stride_w;
      const isize row_bytes = Sparse::line_bytes(*kernel_, planes_h_ * planes_w_ * row_ * g_.in_channels);
      band_ = std::clamp<isize>(kLineBudget / std::max<isize>(row_bytes, 1) - more_, 1,
                                std::max<isize>(1, ceil_div(g_.out_h, threads_)));
      const isize plane = (band_ + more_) * row_;
      for (isize i = 0; i < g_.kernel_h; ++i)
        for (isize j = 0; j < g_.kernel_w; ++j) {
          const isize down = i * g_.dilation_h, right = j * g_.dilation_w;
          const isize number = down % g_.stride_h * planes_w_ + right % g_.stride_w;
          offsets_.push_back(static_cast<s32>(number * plane + down / g_.stride_h * row_ + right / g_.stride_w));
        }
      tile_rows_ = std::clamp<isize>(kTilePixels / row_, 1, band_);
      tile_columns_ = tile_rows_ > 1 ? g_.out_w : std::min(g_.out_w, kTilePixels);
      pixels = (tile_rows_ - 1) * row_ + tile_columns_;
      lines = planes_h_ * planes_w_ * plane;
    }
    const bool one_pixel = g_.is_pointwise() && g_.images * g_.out_pixels() == 1;
    acc_stride_ = tile_ == 1 ? 1 : round_up(round_up(pixels, step), isize{kAlignment / sizeof(Accumulator)});
    lines_ = lines;
    // Kernels read whole steps from every offset on.
    line_stride_ = round_up(Sparse::line_bytes(*kernel_, round_up(lines + step + tile_, step)), isize{kAlignment});
    // Kernels for one column take it as it is; f32 ones of 8 rows do so if they may.
    if (tile_ == 1 || (std::is_same_v<Element, f32> && one_pixel)) line_stride_ = Sparse::line_bytes(*kernel_, 1);
    acc_bytes_ =
        round_up((chunk_ + Sparse::entry(*kernel_).rows) * acc_stride_ * static_cast<isize>(sizeof(Accumulator)),
                 isize{kAlignment});
    index_bytes_ = g_.is_pointwise() ? 0 : round_up(lines * static_cast<isize>(sizeof(s32)), isize{kAlignment});
    scratch_per_thread_ = round_up(
        acc_bytes_ + index_bytes_ + line_stride_ * Sparse::line_count(*kernel_, g_.in_channels), isize{kAlignment});
  }

  /// Output pixels [first, first + count) of a 1x1 convolution.
  void pointwise(const std::byte* in, const std::byte* residual, std::byte* out, isize first, isize count,
                 std::byte* scratch) const {
    std::byte* lines = scratch + acc_bytes_ + index_bytes_;
    const typename Sparse::Rows rows{reinterpret_cast<const Element*>(in), g_.in_channels, nullptr, nullptr};
    Sparse::lines_from_rows(*kernel_, rows, first, count, g_.in_channels, lines, line_stride_);
    const auto epilogue = epilogue_.at(residual, g_.out_channels);
    multiply(lines, nullptr, count, 0, g_.out_channels, scratch, [&](const Accumulator* acc, isize begin, isize end) {
      Sparse::store(*kernel_, acc, acc_stride_, begin, end, count, epilogue, out, g_.out_stride, first);
    });
  }

  /// A 1x1 convolution of so few pixels that threads share the weights, not these.
  void few_pixels(const RunContext& context, const std::byte* residual, isize pixels) const {
    std::byte* lines = context.scratch + acc_bytes_;
    const typename Sparse::Rows rows{reinterpret_cast<const Element*>(context.inputs[0]), g_.in_channels, nullptr,
                                     nullptr};
    Sparse::lines_from_rows(*kernel_, rows, 0, pixels, g_.in_channels, lines, line_stride_);
    const auto epilogue = epilogue_.at(residual, g_.out_channels);
    const auto store = [&](const Accumulator* acc, isize begin, isize end) {
      Sparse::store(*kernel_, acc, acc_stride_, begin, end, pixels, epilogue, context.outputs[0], g_.out_stride, 0);
    };
    const isize n = g_.out_channels, steps = ceil_div(n, row_step(*kernel_));
    context.pool.parallel_for(
        steps, mac_grain(1, s64{row_step(*kernel_)} * g_.in_channels / 4), [&](isize begin, isize end, int thread) {
          multiply(lines, nullptr, pixels, begin * row_step(*kernel_), std::min(end * row_step(*kernel_), n),
                   context.scratch + thread * scratch_per_thread_, store);
        });
  }

  /// Output rows [y, y + rows) of an image.
  void band(const ConvGeometry& g, const std::byte* in, const std::byte* residual, std::byte* out, isize y, isize rows,
            std::byte* scratch) const {
    s32* index = reinterpret_cast<s32*>(scratch + acc_bytes_);
    std::byte* lines = scratch + acc_bytes_ + index_bytes_;
    place_lines(g, y, index);
    Sparse::lines_from_rows(*kernel_, {reinterpret_cast<const Element*>(in), 0, index, pad_.data()}, 0, lines_,
                            g.in_channels, lines, line_stride_);
    const auto epilogue = epilogue_.at(residual, g.out_channels);
    for (isize i = 0; i < rows; i += tile_rows_) {
      const isize tile_rows = std::min(tile_rows_, rows - i);
      for (isize j = 0; j < g.out_w; j += tile_columns_) {
        const isize columns = std::min(tile_columns_, g.out_w - j), pixels = (tile_rows - 1) * row_ + columns;
        const std::byte* from = lines + (i * row_ + j) * pixel_bytes_;
        const auto store = [&](const Accumulator* acc, isize begin, isize end) {
          for (isize r = 0; r < tile_rows; ++r)
            Sparse::store(*kernel_, acc + r * row_, acc_stride_, begin, end, columns, epilogue, out, g.out_stride,
                          (y + i + r) * g.out_w + j);
        };
        multiply(from, offsets_.data(), pixels, 0, g.out_channels, scratch, store);
      }
    }
  }

  /// index[p]: where pixel p of the lines of the band from output row y on begins in the image; -1 in the padding.
  void place_lines(const ConvGeometry& g, isize y, s32* index) const {
    for (isize down = 0; down < planes_h_; ++down)
      for (isize right = 0; right < planes_w_; ++right)
        for (isize i = 0; i < band_ + more_; ++i) {
          const isize in_y = (y + i) * g.stride_h + down - g.pad_top;
          const bool inside = in_y >= 0 && in_y < g.in_h;
          for (isize j = 0; j < row_; ++j) {
            const isize in_x = j * g.stride_w + right - g.pad_left;
            *index++ =
                inside && in_x >= 0 && in_x < g.in_w ? static_cast<s32>((in_y * g.in_w + in_x) * g.in_channels) : -1;
          }
        }
  }

  /// Rows [n_begin, n_end) of the weights, some after the other, so that accumulators stay in L1 until they are stored.
  template <class Store>
  void multiply(const std::byte* lines, const s32* offsets, isize pixels, isize n_begin, isize n_end,
                std::byte* scratch, const Store& store) const {
    Accumulator* acc = reinterpret_cast<Accumulator*>(scratch);
    for (isize begin = n_begin; begin < n_end; begin += chunk_) {
      const isize end = std::min(begin + chunk_, n_end);
      Accumulator* row_0 = acc - begin * acc_stride_;
      Sparse::run(*kernel_, packed_, lines, line_stride_, offsets, row_0, acc_stride_, begin, end, pixels);
      store(row_0, begin, end);
    }
  }

  ConvGeometry g_{};
  int threads_ = 1;
  isize out_bytes_ = 0;
  typename Sparse::Product::EpilogueParams epilogue_;
  std::optional<SparseWeights<Sparse>> weights_;  // until they are packed
  const typename Sparse::Kernel* kernel_;
  const std::byte* packed_ = nullptr;
  std::size_t packed_bytes_ = 0;
  std::vector<Element> pad_;                // [in_channels]
  isize tile_ = 0;                          // pixels that are taken at once where there is one tap
  isize chunk_ = 0;                         // rows of weights whose accumulators are in memory together
  isize pixel_bytes_ = 0;                   // of a line
  isize tile_rows_ = 1, tile_columns_ = 0;  // of a band, whose accumulators are in memory together
  isize band_ = 0;                          // output rows that are taken at once where there are several taps
  isize planes_h_ = 1, planes_w_ = 1, more_ = 0, row_ = 0, lines_ = 0;
  std::vector<s32> offsets_;  // [taps] pixels of the lines
  isize line_stride_ = 0, acc_stride_ = 0, acc_bytes_ = 0, index_bytes_ = 0, scratch_per_thread_ = 0;
};

}  // namespace whit::ops
