// gemm: y[..., n] = x[..., k] * w[n, k]^T + bias[n] (+ residual), see model/op_list.inc.

#include <type_traits>

#include "base/checked.h"
#include "kernels/convert/convert.h"
#include "ops/binary_product.h"
#include "ops/product.h"
#include "ops/sparse_conv.h"
#include "ops/trim.h"

namespace whit::ops {
namespace {

/// What gemm does once the element type is known.
class GemmBody {
 public:
  virtual ~GemmBody() = default;
  virtual Status prepare(const PrepareContext& context, isize m, isize n, isize k) = 0;
  virtual const char* kernel_name() const = 0;
  virtual std::size_t scratch_bytes() const { return 0; }
  virtual void run(const RunContext& context) const = 0;
};

template <class Product>
class TypedGemm final : public GemmBody {
 public:
  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    m_ = m, k_ = k, residual_stride_ = n;
    out_stride_ = context.outputs[0].row_stride ? context.outputs[0].row_stride : n;
    out_element_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    threads_ = context.threads;
    return product_.prepare(context, m, 0, n, 1, k);
  }
  const char* kernel_name() const override { return product_.kernel_name(); }
  std::size_t scratch_bytes() const override { return allocation_bytes(threads_, product_.scratch_per_thread(false)); }
  void run(const RunContext& context) const override {
    const auto* x = reinterpret_cast<const typename Product::Element*>(context.inputs[0]);
    const std::byte* residual = context.optional_input(3);
    product_.run({x, k_, nullptr, nullptr}, m_, epilogue_, residual, residual_stride_, context.outputs[0],
                 out_element_bytes_, out_stride_, context.pool, context.scratch);
  }

 private:
  PackedProduct<Product> product_;
  typename Product::EpilogueParams epilogue_;
  int threads_ = 1;
  isize m_ = 0, k_ = 0, residual_stride_ = 0, out_stride_ = 0, out_element_bytes_ = 0;
};

/// As a 1x1 convolution of m pixels.
template <class Sparse>
class SparseGemm final : public GemmBody {
 public:
  /// Null where dense is faster.
  static std::unique_ptr<GemmBody> make(const PrepareContext& context, isize m, isize n, isize k, std::string* reason) {
    auto choice = SparseConv<Sparse>::choose(context, geometry(context, m, n, k), 1);
    *reason = std::move(choice.reason);
    if (!choice.sparse) return nullptr;
    return std::make_unique<SparseGemm>(std::move(*choice.sparse));
  }

  explicit SparseGemm(SparseWeights<Sparse> weights) : conv_(std::move(weights)) {}
  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    return conv_.prepare(context, geometry(context, m, n, k));
  }
  const char* kernel_name() const override { return conv_.kernel_name(); }
  std::size_t scratch_bytes() const override { return conv_.scratch_bytes(); }
  void run(const RunContext& context) const override { conv_.run(context); }

 private:
  static ConvGeometry geometry(const PrepareContext& context, isize m, isize n, isize k) {
    ConvGeometry g{};
    g.images = g.in_h = g.out_h = g.group = g.kernel_h = g.kernel_w = 1;
    g.stride_h = g.stride_w = g.dilation_h = g.dilation_w = 1;
    g.in_w = g.out_w = m;
    g.in_channels = k;
    g.out_channels = n;
    g.out_stride = context.outputs[0].row_stride ? context.outputs[0].row_stride : n;
    return g;
  }

  SparseConv<Sparse> conv_;
};

/// b1 x, bits to bits or numbers.
class BinaryGemm final : public GemmBody {
 public:
  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    m_ = m, k_ = k, threads_ = context.threads;
    out_stride_ = context.outputs[0].row_stride ? context.outputs[0].row_stride : n;
    return product_.prepare(context, m, n, 1, k);
  }
  const char* kernel_name() const override { return product_.kernel_name(); }
  std::size_t scratch_bytes() const override { return allocation_bytes(threads_, product_.scratch_per_thread()); }
  void run(const RunContext& context) const override {
    const u8* x = reinterpret_cast<const u8*>(context.inputs[0]);
    product_.run({x, k_ / 8, nullptr, nullptr}, {}, m_, context.outputs[0], out_stride_, context.pool, context.scratch);
  }

 private:
  BinaryProduct product_;
  int threads_ = 1;
  isize m_ = 0, k_ = 0, out_stride_ = 0;
};

/// f32 x in integers: each row is rounded to s8 on a grid of its own while the model runs ("dynamic quantisation").
class DynamicGemm final : public GemmBody {
 public:
  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    const TensorInfo& w = context.inputs[1];
    m_ = m, n_ = n, k_ = k;
    out_stride_ = context.outputs[0].row_stride ? context.outputs[0].row_stride : n;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    WHIT_RETURN_IF_ERROR(check_weights_s8(context.node, w));
    fill_columns(context);
    // The product sees s8 rows around 0; their zero points, the bias and what follows wait for dequantize_rows.
    Tensor rows;
    rows.dtype = DType::s8;
    rows.quantization = {{1.0f}, {0}, -1};
    const TensorInfo inputs[] = {{.tensor = &rows, .shape = context.inputs[0].shape}, w};
    sums_.fields.output = EpilogueS8::Output::s32;
    WHIT_RETURN_IF_ERROR(product_.prepare(
        {context.node, inputs, context.outputs, context.isa, context.threads, context.weights}, m, 0, n, 1, k));
    convert_ = &convert::select(context.isa);
    values_bytes_ = round_up(m * k, isize{kAlignment});
    scratch_bytes_ =
        allocation_bytes(static_cast<u64>(values_bytes_) + static_cast<u64>(m) * (sizeof(f32) + sizeof(s32)), 1);
    return {};
  }
  const char* kernel_name() const override { return product_.kernel_name(); }
  std::size_t scratch_bytes() const override { return scratch_bytes_; }
  void run(const RunContext& context) const override {
    const f32* x = reinterpret_cast<const f32*>(context.inputs[0]);
    const std::byte* residual = context.optional_input(3);
    s8* values = reinterpret_cast<s8*>(context.scratch);
    f32* scale = reinterpret_cast<f32*>(context.scratch + values_bytes_);
    s32* zero_point = reinterpret_cast<s32*>(scale + m_);
    context.pool.parallel_for(m_, work_grain(k_), [&](isize begin, isize end, int) {
      convert_->quantize_rows(
          {x + begin * k_, values + begin * k_, end - begin, k_, scale + begin, zero_point + begin});
    });
    product_.run({values, k_, nullptr, nullptr}, m_, sums_, nullptr, 0, context.outputs[0], sizeof(s32), out_stride_,
                 context.pool, nullptr);
    context.pool.parallel_for(m_, work_grain(n_), [&](isize begin, isize end, int) {
      convert_->dequantize_rows(
          {context.outputs[0] + begin * out_stride_ * static_cast<isize>(sizeof(f32)), end - begin, n_, out_stride_,
           scale + begin, zero_point + begin, column_sum_.data(), scale_.data(), bias_.data(),
           epilogue_.at(residual ? residual + begin * n_ * static_cast<isize>(sizeof(f32)) : nullptr, n_)});
    });
  }

 private:
  void fill_columns(const PrepareContext& context) {
    const std::size_t n = static_cast<std::size_t>(n_);
    const Quantization& q = context.inputs[1].quantization();
    const s8* w = context.inputs[1].constant<s8>();
    const f32* bias = constant_bias<f32>(context.inputs);
    column_sum_.resize(n), scale_.resize(n), bias_.resize(n);
    for (std::size_t o = 0; o < n; ++o) {
      u32 sum = 0;  // modulo 2^32, as the products are summed
      for (isize i = 0; i < k_; ++i) sum += static_cast<u32>(s32{*w++});
      column_sum_[o] = static_cast<s32>(sum);
      scale_[o] = q.scale[q.axis < 0 ? 0 : o];
      bias_[o] = bias ? bias[o] : 0;
    }
  }

  PackedProduct<ProductS8> product_;
  EpilogueParamsS8 sums_;
  EpilogueParamsF32 epilogue_;
  const convert::Table* convert_ = nullptr;
  std::vector<s32> column_sum_;
  std::vector<f32> scale_, bias_;
  isize m_ = 0, n_ = 0, k_ = 0, out_stride_ = 0, values_bytes_ = 0;
  std::size_t scratch_bytes_ = 0;
};

class Gemm final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape &x = inputs[0].shape, &w = inputs[1].shape;
    if (x.rank() < 1 || w.rank() != 2 || x[x.rank() - 1] != w[1])
      return node_error(node, Code::shape, "cannot multiply x %s with weights %s (wanted [..., k] and [n, k])",
                        x.text().c_str(), w.text().c_str());
    if (w[0] < 1 || w[1] < 1) return node_error(node, Code::shape, "weights %s are empty", w.text().c_str());
    n_ = w[0], k_ = w[1], m_ = x.elements(0, x.rank() - 1);
    outputs[0] = x;
    outputs[0][x.rank() - 1] = n_;
    WHIT_RETURN_IF_ERROR(check_constant_bias(node, inputs, n_));
    return check_residual_shape(node, inputs, outputs[0]);
  }

  bool can_stride_rows() const override { return true; }

  Status prepare(const PrepareContext& context) override {
    const s64 dynamic = context.node.attributes.integer("dynamic");
    if (dynamic != 0 && dynamic != 1)
      return node_error(context.node, Code::unsupported, "dynamic is %lld; 0 and 1 are known",
                        static_cast<long long>(dynamic));
    if (dynamic)
      body_ = std::make_unique<DynamicGemm>();
    else if (is_compiled(",binarize,") && context.inputs[0].dtype() == DType::b1)
      body_ = make_binary();
    else if (context.inputs[0].dtype() == DType::s8)
      body_ = make_body<SparseS8>(context);
    else
      body_ = make_body<SparseF32>(context);
    WHIT_RETURN_IF_ERROR(body_->prepare(context, m_, n_, k_));
    kernel_ = body_->kernel_name();
    scratch_bytes_ = body_->scratch_bytes();
    return {};
  }

  void run(const RunContext& context) const override { body_->run(context); }

 private:
  static std::unique_ptr<GemmBody> make_binary() {
    if constexpr (is_compiled(",binarize,")) return std::make_unique<BinaryGemm>();
    return nullptr;
  }

  template <class Sparse>
  std::unique_ptr<GemmBody> make_body(const PrepareContext& context) {
    if constexpr (is_compiled(",sparse,")) {
      if (auto sparse = SparseGemm<Sparse>::make(context, m_, n_, k_, &reason_)) return sparse;
    }
    if constexpr (is_compiled(",w4,") && std::is_same_v<Sparse, SparseS8>) {
      if (ProductW4::suits(context.inputs[1], m_, context.isa)) return std::make_unique<TypedGemm<ProductW4>>();
    }
    return std::make_unique<TypedGemm<typename Sparse::Product>>();
  }

  std::unique_ptr<GemmBody> body_;
  isize m_ = 0, n_ = 0, k_ = 0;
};

}  // namespace

std::unique_ptr<Operator> make_gemm(const Node&) { return std::make_unique<Gemm>(); }

}  // namespace whit::ops
