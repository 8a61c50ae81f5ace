#pragma once
// conv, 3x3 with stride 1, on s8 by Winograd's minimal filtering in integers (kernels/winograd_s8): the same bytes as
// from a product of all taps, with a quarter of the multiplications. They are of s16, and so pay on CPUs whose
// multiplications of s8 are no wider than those of s16: where there are no dot products.

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "kernels/winograd_s8/winograd_s8.h"
#include "ops/conv_body.h"
#include "ops/product.h"

namespace whit::ops {

class WinogradS8Conv final : public ConvBody {
 public:
  /// Whether this convolution is cheaper so, and exact.
  static bool suits(const PrepareContext& context, const ConvGeometry& g) {
    if (g.kernel_h != 3 || g.kernel_w != 3 || g.stride_h != 1 || g.stride_w != 1) return false;
    if (g.dilation_h != 1 || g.dilation_w != 1 || g.group != 1) return false;
    // Levels that gemm_s8 alone has kernels of have dot products, or what is as good.
    const Isa isa = gemm_s8::isa(gemm_s8::select({g.out_pixels(), g.out_channels, 9, g.in_channels}, context.isa));
    if (isa != winograd_s8::isa(winograd_s8::select(context.isa))) return false;
    const TensorInfo& w = context.inputs[1];
    if (!w.is_constant() || w.dtype() != DType::s8 || !is_cheaper(g, context.threads)) return false;
    return winograd_s8::fits({w.constant<s8>(), nullptr, g.out_channels, g.in_channels, 0});
  }

  Status prepare(const PrepareContext& context, const ConvGeometry& g) override {
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    fill_padding(context.node, context.inputs[0], &pad_);
    geometry_ = {g.in_h, g.in_w, g.in_channels, g.pad_top, g.pad_left, g.out_h, g.out_w, g.out_channels};
    pixel_stride_ = g.out_stride;
    kernel_ = &winograd_s8::select(context.isa);
    const std::size_t bytes = winograd_s8::packed_bytes(g.out_channels, g.in_channels);
    const auto fill = [&](std::byte* out) {
      winograd_s8::pack({context.inputs[1].constant<s8>(), constant_bias<s32>(context.inputs), g.out_channels,
                         g.in_channels, context.inputs[0].quantization().zero_point[0]},
                        out);
      return true;
    };
    WHIT_RETURN_IF_ERROR(pack_weights(context, "winograd_s8", bytes, fill, &packed_));
    tiles_ = tiles(g);
    block_ = std::min(tiles_, round_up(ceil_div(tiles_, blocks(g, context.threads)), kRows));
    row_stride_ = round_up(g.in_channels, winograd_s8::kGroup);
    // An odd multiple of a line, so that the elements of a tile are in different sets of L1.
    constexpr isize kLine = isize{kAlignment} / isize{sizeof(s16)};
    element_stride_ = (ceil_div(block_ * row_stride_, kLine) | 1) * kLine;
    products_ = block_ * winograd_s8::kElements * winograd_s8::kColumns;
    in_bytes_ = allocation_bytes(winograd_s8::kElements, element_stride_, sizeof(s16));
    const std::size_t products_bytes = allocation_bytes(context.threads, products_, sizeof(s32));
    scratch_bytes_ = products_bytes > SIZE_MAX - in_bytes_ ? SIZE_MAX : in_bytes_ + products_bytes;
    return {};
  }

  const char* kernel_name() const override { return winograd_s8::name(*kernel_); }
  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  void run(const RunContext& context) const override {
    using winograd_s8::kElements, winograd_s8::kPanel;
    const std::byte* residual = context.optional_input(3);
    s16* const transformed = reinterpret_cast<s16*>(context.scratch);
    s32* const products = reinterpret_cast<s32*>(context.scratch + in_bytes_);
    const isize in = geometry_.in_channels, n = geometry_.out_channels;
    winograd_s8::InputArgs inputs{geometry_,   reinterpret_cast<const s8*>(context.inputs[0]),
                                  pad_.data(), transformed,
                                  row_stride_, element_stride_};
    winograd_s8::OutputArgs outputs{
        geometry_,          transformed,  row_stride_, element_stride_, packed_, products, epilogue_.at(residual, n),
        context.outputs[0], pixel_stride_};
    for (isize first = 0; first < tiles_; first += block_) {
      const isize count = std::min(block_, tiles_ - first);
      context.pool.parallel_for(count, mac_grain(1, s64{kElements} * kTransform * in),
                                [&](isize begin, isize end, int) {
                                  winograd_s8::InputArgs args = inputs;
                                  args.out += begin * row_stride_;
                                  winograd_s8::transform_input(*kernel_, args, first + begin, first + end);
                                });
      // All tiles of the block with some of the weights, which so are read once.
      context.pool.parallel_for(n, mac_grain(kPanel, s64{count} * kElements * in),
                                [&](isize begin, isize end, int thread) {
                                  winograd_s8::OutputArgs args = outputs;
                                  args.products += thread * products_;
                                  winograd_s8::multiply(*kernel_, args, first, first + count, begin, end);
                                });
    }
  }

 private:
  static constexpr isize kRows = 8;       // of a product are best a multiple of it
  static constexpr isize kTransform = 8;  // products that take as long as an element of a channel's tile

  static isize tiles(const ConvGeometry& g) {
    return g.images * ceil_div(g.out_h, winograd_s8::kTile) * ceil_div(g.out_w, winograd_s8::kTile);
  }

  /// Blocks of tiles that are taken from inputs to outputs together. What they are in between stays in L2 beside the
  /// weights; where these are too many for it, blocks are larger, as each of them reads all weights.
  static isize blocks(const ConvGeometry& g, int threads) {
    using winograd_s8::kColumns, winograd_s8::kElements, winograd_s8::kGroup;
    const s64 bytes = s64{weights_fit_l2(g) ? 160 : 320} << 10;
    const s64 transformed = s64{kElements} * round_up(g.in_channels, kGroup) * isize{sizeof(s16)};
    const s64 products = s64{kElements} * kColumns * isize{sizeof(s32)} * threads;
    const s64 most = std::max<s64>(bytes / std::max(transformed, products) / kRows, 1) * kRows;
    return std::max<isize>(ceil_div(tiles(g), static_cast<isize>(most)), 1);
  }

  static bool weights_fit_l2(const ConvGeometry& g) {
    return s64{g.in_channels} * g.out_channels * winograd_s8::kElements * 2 <= 320 << 10;
  }

  /// In issue slots of a Cortex-A53. A byte of weights that is not in L2 counts what a core could do meanwhile, and
  /// takes the time of all threads.
  static bool is_cheaper(const ConvGeometry& g, int threads) {
    constexpr f64 kMacsS8 = 5.6, kMacsS16 = 3.1, kByte = 0.6, kInput = 42, kOutput = 100;
    const f64 in = static_cast<f64>(round_up(g.in_channels, winograd_s8::kGroup));
    const f64 out = static_cast<f64>(g.out_channels), rows = static_cast<f64>(tiles(g));
    const f64 byte = weights_fit_l2(g) ? 0 : kByte * threads, reads = static_cast<f64>(blocks(g, threads));
    const f64 direct = in * out * 9 * (static_cast<f64>(g.images * g.out_pixels()) / kMacsS8 + byte);
    const f64 now =
        in * out * winograd_s8::kElements * (rows / kMacsS16 + 2 * reads * byte) + rows * (in * kInput + out * kOutput);
    return now < 0.9 * direct;
  }

  winograd_s8::Geometry geometry_{};
  const winograd_s8::Kernel* kernel_ = nullptr;
  EpilogueParamsS8 epilogue_;
  std::vector<s8> pad_;  // [in_channels]
  const std::byte* packed_ = nullptr;
  isize pixel_stride_ = 0;       // of the output
  isize tiles_ = 0, block_ = 0;  // tiles of all images; those of a block
  isize row_stride_ = 0, element_stride_ = 0, products_ = 0;
  std::size_t in_bytes_ = 0, scratch_bytes_ = 0;
};

}  // namespace whit::ops
