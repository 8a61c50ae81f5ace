#pragma once
// conv, 3x3 with stride 1, in f32 by Winograd's minimal filtering (kernels/winograd_f32): tiles of inputs become rows
// of one matrix for each element of a tile, these are multiplied with the transformed weights, and the products become
// tiles of outputs.

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/checked.h"
#include "kernels/winograd_f32/winograd_f32.h"
#include "ops/conv_body.h"
#include "ops/product.h"

namespace whit::ops {

class WinogradConv final : public ConvBody {
 public:
  /// The tile, 4 or 2, with which this convolution is faster than as a product of all taps, by so much that it is worth
  /// its larger weights; 0: none.
  static isize best_tile(const Node& node, const TensorInfo& x, const ConvGeometry& g) {
    if (g.kernel_h != 3 || g.kernel_w != 3 || g.stride_h != 1 || g.stride_w != 1) return 0;
    if (g.dilation_h != 1 || g.dilation_w != 1 || g.group != 1) return 0;
    std::vector<f32> padding;
    fill_padding(node, x, &padding);
    if (std::any_of(padding.begin(), padding.end(), [](f32 value) { return value != 0; })) return 0;
    isize best = 0;
    f64 least = 0.9 * cost(static_cast<f64>(g.images * g.out_pixels()), 9, 0, g);
    for (const isize tile : {4, 2}) {
      const isize tiles = g.images * ceil_div(g.out_h, tile) * ceil_div(g.out_w, tile);
      const f64 elements = static_cast<f64>((tile + 2) * (tile + 2));
      const f64 now = cost(static_cast<f64>(tiles), elements, kTransform * elements, g);
      if (now < least) best = tile, least = now;
    }
    return best;
  }

  explicit WinogradConv(isize tile) : tile_(tile) {}

  Status prepare(const PrepareContext& context, const ConvGeometry& g) override {
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    geometry_ = {g.in_h, g.in_w, g.in_channels, g.pad_top, g.pad_left, g.out_h, g.out_w, g.out_channels};
    pixel_stride_ = g.out_stride;
    kernel_ = &winograd_f32::select(tile_, context.isa);
    elements_ = winograd_f32::elements(*kernel_);
    tiles_ = g.images * winograd_f32::tiles_per_image(*kernel_, geometry_);
    gemm_ = &gemm_f32::select({tiles_, g.out_channels, 1, g.in_channels}, context.isa);
    zeros_.resize(static_cast<std::size_t>(g.in_channels));
    bias_.resize(static_cast<std::size_t>(g.out_channels));
    if (const f32* bias = constant_bias<f32>(context.inputs)) std::copy_n(bias, g.out_channels, bias_.begin());
    WHIT_RETURN_IF_ERROR(pack(context));
    plan_blocks(context);
    return {};
  }

  const char* kernel_name() const override { return winograd_f32::name(*kernel_); }
  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  void run(const RunContext& context) const override {
    ThreadPool& pool = context.pool;
    f32* const scratch = reinterpret_cast<f32*>(context.scratch);
    if (!share_block_) {
      const s64 macs = s64{elements_} * geometry_.in_channels * geometry_.out_channels;
      pool.parallel_for(tiles_, mac_grain(1, macs), [&](isize begin, isize end, int thread) {
        f32* const block = scratch + thread * block_floats();
        const isize step = ceil_div(end - begin, ceil_div(end - begin, block_));
        for (isize tile = begin; tile < end; tile += step) {
          const isize tile_end = std::min(end, tile + step);
          transform_input(context, block, tile, tile, tile_end);
          multiply(block, tile_end - tile, 0, elements_);
          transform_output(context, block, tile, tile, tile_end);
        }
      });
      return;
    }
    for (isize tile = 0; tile < tiles_; tile += block_) {
      const isize count = std::min(block_, tiles_ - tile);
      pool.parallel_for(count, 1, [&](isize begin, isize end, int) {
        transform_input(context, scratch, tile, tile + begin, tile + end);
      });
      const s64 macs = s64{count} * geometry_.in_channels * geometry_.out_channels;
      pool.parallel_for(elements_, mac_grain(1, macs),
                        [&](isize begin, isize end, int) { multiply(scratch, count, begin, end); });
      pool.parallel_for(count, 1, [&](isize begin, isize end, int) {
        transform_output(context, scratch, tile, tile + begin, tile + end);
      });
    }
  }

 private:
  /// In multiply-accumulates, for a core at its best: what it computes meanwhile when it reads a weight from beyond L2
  /// (28 GB/s beside 87 GMAC/s of AVX-512, 2 GB/s beside 5 GMAC/s of a Cortex-A53; weights that are more than kMany
  /// bytes take twice as long, since they come from beyond L3), and when it transforms an element of a tile's channel.
  static constexpr f64 kWeight = 10, kMany = 16 << 20, kTransform = 12;

  /// Of `rows` of a product with `depth` weights a channel, and `transforms` for each channel of inputs and outputs.
  static f64 cost(f64 rows, f64 depth, f64 transforms, const ConvGeometry& g) {
    const f64 in = static_cast<f64>(g.in_channels), out = static_cast<f64>(g.out_channels);
    const f64 weights = depth * in * out, weight = weights * sizeof(f32) > kMany ? 2 * kWeight : kWeight;
    return (rows + weight) * weights + rows * transforms * (in + out);
  }

  Status pack(const PrepareContext& context) {
    const isize n = geometry_.out_channels, k = geometry_.in_channels;
    const isize element = static_cast<isize>(gemm_f32::packed_bytes(*gemm_, n, 1, k));
    packed_stride_ = round_up(element, isize{kAlignment});
    const std::size_t bytes = allocation_bytes(packed_stride_, elements_);
    const std::string key = std::string(winograd_f32::name(*kernel_)) + " " + gemm_f32::name(*gemm_);
    const auto fill = [&](std::byte* out) {
      // One panel of columns at a time, so that little memory is needed beside the packed weights.
      const isize panel = gemm_f32::panel_columns(*gemm_);
      const std::size_t panel_bytes = gemm_f32::packed_bytes(*gemm_, panel, 1, k);
      AlignedBuffer expanded, transformed(allocation_bytes(elements_, panel, k, sizeof(f32)));
      const f32* values = weights_as_f32(context.inputs[1], &expanded);
      if (!values || !transformed.data()) return false;
      f32* const u = reinterpret_cast<f32*>(transformed.data());
      for (isize column = 0; column < n; column += panel, out += panel_bytes) {
        const isize columns = std::min(panel, n - column);
        winograd_f32::transform_filters(*kernel_, values + column * 9 * k, columns, k, u);
        for (isize e = 0; e < elements_; ++e)
          gemm_f32::pack(*gemm_, {u + e * columns * k, nullptr, columns, 1, k}, out + e * packed_stride_, 0, columns);
      }
      return true;
    };
    return pack_weights(context, key, bytes, fill, &packed_);
  }

  /// How many tiles are taken from inputs to outputs together. Their matrices stay in L2; the more tiles, the less
  /// often are weights read that do not.
  void plan_blocks(const PrepareContext& context) {
    in_stride_ = round_up(geometry_.in_channels, winograd_f32::kRowMultiple);
    out_stride_ = round_up(geometry_.out_channels, winograd_f32::kRowMultiple);
    const s64 near = gemm_f32::near_bytes(*gemm_);
    const s64 weight_bytes = s64{packed_stride_} * elements_;
    const s64 bytes = weight_bytes > 4 * near ? 6 * near : near;
    const s64 tile_bytes = s64{elements_} * (in_stride_ + out_stride_) * static_cast<s64>(sizeof(f32));
    const isize threads = context.threads;
    // Threads that take tiles of their own each read all weights; threads that share a block read some of its rows from
    // each other's caches instead, which takes twice the time.
    const s64 each = ceil_div(tiles_, threads);
    share_block_ = threads > 1 && 2 * each * (in_stride_ + out_stride_) < s64{in_stride_} * out_stride_;
    const isize most = share_block_ ? tiles_ : static_cast<isize>(each);
    const isize rows = gemm_f32::tile_rows(*gemm_);
    const s64 fit = bytes * (share_block_ ? threads : 1) / tile_bytes;
    block_ = fit >= most ? most : std::min(most, static_cast<isize>(std::max<s64>(1, fit / rows)) * rows);
    in_element_ = element_stride(block_ * in_stride_);
    out_element_ = element_stride(block_ * out_stride_);
    scratch_bytes_ = allocation_bytes(block_floats(), share_block_ ? 1 : threads, sizeof(f32));
  }

  /// An odd multiple of a line, so that the elements of a tile are in different sets of L1.
  static isize element_stride(isize floats) {
    constexpr isize kLine = winograd_f32::kRowMultiple;
    return floats / kLine % 2 ? floats : floats + kLine;
  }

  /// Of the matrices of a block: first those of inputs, then those of outputs.
  isize block_floats() const { return elements_ * (in_element_ + out_element_); }

  /// Tiles [begin, end) of the block that starts with tile `first`.
  void transform_input(const RunContext& context, f32* block, isize first, isize begin, isize end) const {
    const winograd_f32::InputArgs args{geometry_,     reinterpret_cast<const f32*>(context.inputs[0]),
                                       zeros_.data(), block + (begin - first) * in_stride_,
                                       in_stride_,    in_element_};
    winograd_f32::transform_input(*kernel_, args, begin, end);
  }

  /// Elements [begin, end) of `count` tiles.
  void multiply(f32* block, isize count, isize begin, isize end) const {
    const isize n = geometry_.out_channels, k = geometry_.in_channels;
    EpilogueF32 none{};
    none.clamp_min = -std::numeric_limits<f32>::infinity();
    none.clamp_max = std::numeric_limits<f32>::infinity();
    for (isize e = begin; e < end; ++e) {
      const gemm_f32::Args args{{block + e * in_element_, in_stride_, nullptr, nullptr},
                                packed_ + e * packed_stride_,
                                n,
                                1,
                                k,
                                none,
                                block + elements_ * in_element_ + e * out_element_,
                                out_stride_};
      gemm_f32::run(*gemm_, args, 0, count, 0, n);
    }
  }

  void transform_output(const RunContext& context, f32* block, isize first, isize begin, isize end) const {
    const std::byte* residual = context.optional_input(3);
    const winograd_f32::OutputArgs args{geometry_,
                                        block + elements_ * in_element_ + (begin - first) * out_stride_,
                                        out_stride_,
                                        out_element_,
                                        bias_.data(),
                                        epilogue_.at(residual, geometry_.out_channels),
                                        reinterpret_cast<f32*>(context.outputs[0]),
                                        pixel_stride_};
    winograd_f32::transform_output(*kernel_, args, begin, end);
  }

  isize tile_ = 4;
  winograd_f32::Geometry geometry_{};
  const winograd_f32::Kernel* kernel_ = nullptr;
  const gemm_f32::Kernel* gemm_ = nullptr;
  EpilogueParamsF32 epilogue_;
  std::vector<f32> zeros_, bias_;  // [in_channels], [out_channels]
  const std::byte* packed_ = nullptr;
  isize pixel_stride_ = 0;                      // of the output
  isize packed_stride_ = 0;                     // bytes from element to element
  isize elements_ = 0, tiles_ = 0, block_ = 0;  // tiles of all images; those of a block
  isize in_stride_ = 0, out_stride_ = 0;        // from tile to tile
  isize in_element_ = 0, out_element_ = 0;      // from element to element
  bool share_block_ = false;                    // all threads work on one block
  std::size_t scratch_bytes_ = 0;
};

}  // namespace whit::ops
