// gemm: y[..., n] = x[..., k] * w[n, k]^T + bias[n] (+ residual), see model/op_list.inc.

#include "ops/product.h"

namespace whit::ops {
namespace {

/// What gemm does once the element type is known.
class GemmBody {
 public:
  virtual ~GemmBody() = default;
  virtual Status prepare(const PrepareContext& context, isize m, isize n, isize k) = 0;
  virtual const char* kernel_name() const = 0;
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
    return product_.prepare(context, m, 0, n, 1, k);
  }
  const char* kernel_name() const override { return product_.kernel_name(); }
  void run(const RunContext& context) const override {
    const auto* x = reinterpret_cast<const typename Product::Element*>(context.inputs[0]);
    const std::byte* residual = context.optional_input(3);
    product_.run({x, k_, nullptr, nullptr}, m_, epilogue_, residual, residual_stride_, context.outputs[0],
                 out_element_bytes_, out_stride_, context.pool, nullptr);
  }

 private:
  PackedProduct<Product> product_;
  typename Product::EpilogueParams epilogue_;
  isize m_ = 0, k_ = 0, residual_stride_ = 0, out_stride_ = 0, out_element_bytes_ = 0;
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
    if (context.inputs[0].dtype() == DType::s8)
      body_ = std::make_unique<TypedGemm<ProductS8>>();
    else
      body_ = std::make_unique<TypedGemm<ProductF32>>();
    WHIT_RETURN_IF_ERROR(body_->prepare(context, m_, n_, k_));
    kernel_ = body_->kernel_name();
    return {};
  }

  void run(const RunContext& context) const override { body_->run(context); }

 private:
  std::unique_ptr<GemmBody> body_;
  isize m_ = 0, n_ = 0, k_ = 0;
};

}  // namespace

std::unique_ptr<Operator> make_gemm(const Node&) { return std::make_unique<Gemm>(); }

}  // namespace whit::ops
