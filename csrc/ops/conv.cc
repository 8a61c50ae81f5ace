// conv: seven bodies behind one operator. Bits have their own (binary_conv.h), depthwise has its own kernels; 3x3 goes
// through Winograd's transforms where the image is large enough (winograd_conv.h; on s8 where there are no dot
// products, winograd_s8_conv.h); everything else is a matrix product whose rows are output pixels: read in place where
// a pixel needs one input pixel alone (1x1); where channels are few, gathered a few pixels at a time (patch_conv.h) or,
// in large f32 images, read in place row by row of the kernel (row_conv.h); else through a table of offsets built once
// per plan (indirect GEMM, Dukhan, "The Indirect Convolution Algorithm", 2019), so there is no im2col buffer.

#include <limits>
#include <type_traits>

#include "base/checked.h"
#include "kernels/dwconv_f32/dwconv_f32.h"
#include "kernels/dwconv_s8/dwconv_s8.h"
#include "ops/binary_conv.h"
#include "ops/patch_conv.h"
#include "ops/row_conv.h"
#include "ops/sparse_conv.h"
#include "ops/trim.h"
#include "ops/winograd_conv.h"
#include "ops/winograd_s8_conv.h"

namespace whit::ops {
namespace {

template <class Product>
class ProductConv final : public ConvBody, private RowKernel {
 public:
  using Element = typename Product::Element;
  using Weights = typename Product::Weights;

  explicit ProductConv(Weights weights) : weights_(std::move(weights)) {}

  Status prepare(const PrepareContext& context, const ConvGeometry& geometry) override {
    g_ = geometry;
    out_element_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    rows_ = g_.is_pointwise() ? g_.images * g_.out_pixels() : g_.out_pixels();
    const isize n = g_.out_channels / g_.group, k = g_.in_channels / g_.group;
    groups_.resize(static_cast<std::size_t>(g_.group));
    for (isize i = 0; i < g_.group; ++i)
      WHIT_RETURN_IF_ERROR(
          groups_[static_cast<std::size_t>(i)].prepare(context, *weights_, rows_, i * n, n, g_.taps(), k));
    weights_.reset();
    scratch_bytes_ = allocation_bytes(groups_[0].scratch_per_thread(!g_.is_pointwise()), context.threads);
    if (g_.is_pointwise()) return {};
    fill_padding(context.node, context.inputs[0], &pad_);
    return fill_offsets(context.node, g_, g_.in_channels, &offsets_);
  }

  const char* kernel_name() const override { return groups_[0].kernel_name(); }
  std::size_t scratch_bytes() const override { return scratch_bytes_; }
  const RowKernel* row_kernel() const override {
    return g_.is_pointwise() && g_.group == 1 && !Product::kUnpacks ? this : nullptr;
  }

  void run(const RunContext& context) const override {
    const auto* x = reinterpret_cast<const Element*>(context.inputs[0]);
    const std::byte* residual = context.optional_input(3);
    const isize image_in = g_.in_pixels() * g_.in_channels;
    const isize image_out = g_.out_pixels() * g_.out_stride * out_element_bytes_;
    const isize image_residual = g_.out_pixels() * g_.out_channels * static_cast<isize>(sizeof(Element));
    const bool pointwise = g_.is_pointwise();
    for (isize image = 0; image < (pointwise ? 1 : g_.images); ++image) {
      for (isize i = 0; i < g_.group; ++i) {
        const typename Product::Lhs lhs{x + image * image_in + i * (g_.in_channels / g_.group), g_.in_channels,
                                        reinterpret_cast<const s32*>(offsets_.data()),
                                        pad_.empty() ? nullptr : pad_.data() + i * (g_.in_channels / g_.group)};
        groups_[static_cast<std::size_t>(i)].run(
            lhs, rows_, epilogue_, residual ? residual + image * image_residual : nullptr, g_.out_channels,
            context.outputs[0] + image * image_out, out_element_bytes_, g_.out_stride, context.pool, context.scratch);
      }
    }
  }

 private:
  RowGeometry row_geometry() const override {
    return g_.row_geometry(sizeof(Element), out_element_bytes_, groups_[0].packed_bytes(), 0);
  }

  void run_rows(const std::byte* in, RowRange held, RowRange rows, const std::byte* residual, std::byte* out,
                std::byte*) const override {
    const auto* x = reinterpret_cast<const Element*>(in) + (rows.begin - held.begin) * g_.in_w * g_.in_channels;
    groups_[0].run_rows({x, g_.in_channels, nullptr, nullptr}, (rows.end - rows.begin) * g_.out_w, epilogue_, residual,
                        g_.out_channels, out, out_element_bytes_, g_.out_stride);
  }

  std::optional<Weights> weights_;  // until they are packed
  ConvGeometry g_{};
  isize rows_ = 0, out_element_bytes_ = 0;
  std::size_t scratch_bytes_ = 0;
  typename Product::EpilogueParams epilogue_;
  std::vector<PackedProduct<Product>> groups_;
  AlignedBuffer offsets_;
  std::vector<Element> pad_;  // [in_channels]
};

/// The depthwise families behind the names that DepthwiseConv uses.
struct DepthwiseS8 {
  using Element = s8;
  using Product = ProductS8;
  using Kernel = dwconv_s8::Kernel;
  using Geometry = dwconv_s8::Geometry;
  using Args = dwconv_s8::Args;
  static const Kernel& select(const Geometry& geometry, IsaSet isa) { return dwconv_s8::select(geometry, isa); }
  static std::size_t packed_bytes(const Kernel& kernel, isize channels, isize taps) {
    return dwconv_s8::packed_bytes(kernel, channels, taps);
  }
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, isize channels, isize taps,
                   std::byte* out) {
    dwconv_s8::pack(
        kernel,
        {inputs[1].constant<s8>(), constant_bias<s32>(inputs), channels, taps, inputs[0].quantization().zero_point[0]},
        out);
    return true;
  }
};

struct DepthwiseF32 {
  using Element = f32;
  using Product = ProductF32;
  using Kernel = dwconv_f32::Kernel;
  using Geometry = dwconv_f32::Geometry;
  using Args = dwconv_f32::Args;
  static const Kernel& select(const Geometry& geometry, IsaSet isa) { return dwconv_f32::select(geometry, isa); }
  static std::size_t packed_bytes(const Kernel& kernel, isize channels, isize taps) {
    return dwconv_f32::packed_bytes(kernel, channels, taps);
  }
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, isize channels, isize taps,
                   std::byte* out) {
    AlignedBuffer expanded;
    const f32* values = weights_as_f32(inputs[1], &expanded);
    if (!values) return false;
    dwconv_f32::pack(kernel, {values, constant_bias<f32>(inputs), channels, taps}, out);
    return true;
  }
};

template <class Depthwise>
class DepthwiseConv final : public ConvBody, private RowKernel {
 public:
  using Element = typename Depthwise::Element;

  Status prepare(const PrepareContext& context, const ConvGeometry& g) override {
    g_ = g;
    geometry_ = {g.in_h,       g.in_w,       g.in_channels, g.kernel_h, g.kernel_w, g.stride_h, g.stride_w,
                 g.dilation_h, g.dilation_w, g.pad_top,     g.pad_left, g.out_h,    g.out_w};
    out_element_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    kernel_ = &Depthwise::select(geometry_, context.isa);
    packed_bytes_ = Depthwise::packed_bytes(*kernel_, g.in_channels, g.taps());
    fill_padding(context.node, context.inputs[0], &pad_);
    const auto fill = [&](std::byte* out) {
      return Depthwise::pack(*kernel_, context.inputs, g.in_channels, g.taps(), out);
    };
    return pack_weights(context, kernel_name(), packed_bytes_, fill, &packed_);
  }

  const char* kernel_name() const override { return name(*kernel_); }
  const RowKernel* row_kernel() const override { return this; }

  void run(const RunContext& context) const override {
    const std::byte* residual = context.optional_input(3);
    const RowGeometry rows = row_geometry();
    for (isize image = 0; image < g_.images; ++image) {
      const auto args = args_for(geometry_, context.inputs[0] + image * g_.in_h * rows.in_row_bytes,
                                 residual ? residual + image * g_.out_h * rows.residual_row_bytes : nullptr,
                                 context.outputs[0] + image * g_.out_h * rows.out_row_bytes);
      context.pool.parallel_for(g_.out_h, mac_grain(1, rows.macs / g_.out_h),
                                [&](isize begin, isize end, int) { dwconv_run(*kernel_, args, begin, end); });
    }
  }

 private:
  RowGeometry row_geometry() const override {
    return g_.row_geometry(sizeof(Element), out_element_bytes_, static_cast<isize>(packed_bytes_), 0);
  }

  void run_rows(const std::byte* in, RowRange held, RowRange rows, const std::byte* residual, std::byte* out,
                std::byte*) const override {
    const ConvGeometry g = g_.of_rows(held, rows);
    typename Depthwise::Geometry geometry = geometry_;
    geometry.in_h = g.in_h, geometry.out_h = g.out_h, geometry.pad_top = g.pad_top;
    dwconv_run(*kernel_, args_for(geometry, in, residual, out), 0, g.out_h);
  }

  typename Depthwise::Args args_for(const typename Depthwise::Geometry& geometry, const std::byte* in,
                                    const std::byte* residual, std::byte* out) const {
    typename Depthwise::Args args{};
    args.geometry = geometry;
    args.in = reinterpret_cast<const Element*>(in);
    args.pad = pad_.data();
    args.packed = packed_;
    args.epilogue = epilogue_.at(residual, g_.out_channels);
    args.out = reinterpret_cast<decltype(args.out)>(out);
    args.out_stride = g_.out_stride;
    return args;
  }

  static void dwconv_run(const dwconv_s8::Kernel& kernel, const dwconv_s8::Args& args, isize begin, isize end) {
    dwconv_s8::run(kernel, args, begin, end);
  }
  static void dwconv_run(const dwconv_f32::Kernel& kernel, const dwconv_f32::Args& args, isize begin, isize end) {
    dwconv_f32::run(kernel, args, begin, end);
  }

  ConvGeometry g_{};
  typename Depthwise::Geometry geometry_{};
  isize out_element_bytes_ = 0;
  const typename Depthwise::Kernel* kernel_ = nullptr;
  const std::byte* packed_ = nullptr;
  std::size_t packed_bytes_ = 0;
  typename Depthwise::Product::EpilogueParams epilogue_;
  std::vector<Element> pad_;
};

class Conv final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    WHIT_RETURN_IF_ERROR(infer_conv(node, inputs[0].shape, inputs[1].shape, &geometry_, &outputs[0]));
    WHIT_RETURN_IF_ERROR(check_constant_bias(node, inputs, geometry_.out_channels));
    WHIT_RETURN_IF_ERROR(check_pad_values(node, geometry_.in_channels));
    return check_residual_shape(node, inputs, outputs[0]);
  }

  bool can_stride_rows() const override { return true; }

  Status prepare(const PrepareContext& context) override {
    if (context.outputs[0].row_stride) geometry_.out_stride = context.outputs[0].row_stride;
    const DType dtype = context.inputs[0].dtype();
    body_ = dtype == DType::b1 ? make_binary() : dtype == DType::s8 ? make_s8(context) : make_f32(context);
    if (!body_) return node_error(context.node, Code::unsupported, "a b1 input; this build has no binarize");
    WHIT_RETURN_IF_ERROR(body_->prepare(context, geometry_));
    kernel_ = body_->kernel_name();
    scratch_bytes_ = body_->scratch_bytes();
    return {};
  }

  void run(const RunContext& context) const override { body_->run(context); }
  const RowKernel* row_kernel() const override {
    // Windows that lie in the padding alone would need no row at all.
    const ConvGeometry& g = geometry_;
    const isize reach = (g.kernel_h - 1) * g.dilation_h + 1;
    return g.pad_top < reach && g.pad_bottom < reach ? body_->row_kernel() : nullptr;
  }

 private:
  /// What Winograd's algorithms take of the time of a product of all taps, about.
  static constexpr f64 kWinogradS8 = 0.6, kWinogradF32 = 0.4;

  static std::unique_ptr<ConvBody> make_binary() {
    if constexpr (is_compiled(",binarize,")) return std::make_unique<BinaryConv>();
    return nullptr;
  }

  std::unique_ptr<ConvBody> make_s8(const PrepareContext& context) {
    const bool winograd = WinogradS8Conv::suits(context, geometry_);
    if (auto sparse = sparse_body<SparseS8>(context, winograd ? kWinogradS8 : 1)) return sparse;
    if (winograd) return std::make_unique<WinogradS8Conv>();
    return make_body<DepthwiseS8>(context);
  }

  std::unique_ptr<ConvBody> make_f32(const PrepareContext& context) {
    const isize tile = winograd_tile(context);
    if (auto sparse = sparse_body<SparseF32>(context, tile > 0 ? kWinogradF32 : 1)) return sparse;
    if (tile > 0) return std::make_unique<WinogradConv>(tile);
    return make_body<DepthwiseF32>(context);
  }

  /// Null where dense is faster.
  template <class Sparse>
  std::unique_ptr<ConvBody> sparse_body(const PrepareContext& context, f64 dense) {
    if constexpr (is_compiled(",sparse,")) {
      auto choice = SparseConv<Sparse>::choose(context, geometry_, dense);
      reason_ = std::move(choice.reason);
      if (choice.sparse) return std::make_unique<SparseConv<Sparse>>(std::move(*choice.sparse));
    }
    return nullptr;
  }

  isize winograd_tile(const PrepareContext& context) const {
    if (geometry_.is_depthwise() || PatchConv<ProductF32>::suits(geometry_)) return 0;
    return WinogradConv::best_tile(context.node, context.inputs[0], geometry_);
  }

  template <class Depthwise>
  std::unique_ptr<ConvBody> make_body(const PrepareContext& context) const {
    using Product = typename Depthwise::Product;
    if (geometry_.is_depthwise()) return std::make_unique<DepthwiseConv<Depthwise>>();
    if constexpr (std::is_same_v<Product, ProductF32>) {
      if (RowConv::suits(geometry_)) return std::make_unique<RowConv>();
    }
    if (PatchConv<Product>::suits(geometry_)) return std::make_unique<PatchConv<Product>>();
    if constexpr (is_compiled(",w4,") && std::is_same_v<Product, ProductS8>) {
      const isize n = geometry_.out_channels / geometry_.group;
      auto coded = make_coded<ConvBody>(
          context.inputs[1], geometry_.out_pixels(), n, context.isa,
          []<class Coded>(const typename Coded::Weights& w) { return std::make_unique<ProductConv<Coded>>(w); });
      if (coded) return coded;
    }
    return std::make_unique<ProductConv<Product>>(typename Product::Weights(context.inputs[1]));
  }

  ConvGeometry geometry_{};
  std::unique_ptr<ConvBody> body_;
};

}  // namespace

std::unique_ptr<Operator> make_conv(const Node&) { return std::make_unique<Conv>(); }

}  // namespace whit::ops
