// gemm: y[..., n] = x[..., k] * w[n, k]^T + bias[n] (+ residual), see model/op_list.inc.

#include <cstring>
#include <type_traits>

#include "base/checked.h"
#include "kernels/gemm_w4/grouped.h"
#include "ops/binary_product.h"
#include "ops/product.h"
#include "ops/rounded_rows.h"
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
  using Weights = typename Product::Weights;

  explicit TypedGemm(Weights weights) : weights_(std::move(weights)) {}

  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    m_ = m, k_ = k, residual_stride_ = n;
    out_stride_ = context.outputs[0].row_stride ? context.outputs[0].row_stride : n;
    out_element_bytes_ = dtype_bits(context.outputs[0].dtype()) / 8;
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    threads_ = context.threads;
    const Status status = product_.prepare(context, *weights_, m, 0, n, 1, k);
    weights_.reset();
    return status;
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
  std::optional<Weights> weights_;  // until they are packed
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

/// What follows a product whose rows are rounded.
class DynamicBody : public GemmBody {
 public:
  std::size_t scratch_bytes() const final { return scratch_bytes_; }

 protected:
  Status prepare_rows(const PrepareContext& context, isize m, isize n, isize k) {
    m_ = m, n_ = n, k_ = k;
    out_stride_ = context.outputs[0].row_stride ? context.outputs[0].row_stride : n;
    rows_.prepare(context, m, k);
    return fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_);
  }
  void set_scratch(int threads, isize per_thread) {
    per_thread_ = per_thread;
    scratch_bytes_ = allocation_bytes(rows_.bytes() + static_cast<u64>(threads) * static_cast<u64>(per_thread), 1);
  }
  std::byte* thread_scratch(const RunContext& context, int thread = 0) const {
    return context.scratch + static_cast<isize>(rows_.bytes()) + thread * per_thread_;
  }
  RoundedRows::Rows round_rows(const RunContext& context) const {
    return rows_.make(reinterpret_cast<const f32*>(context.inputs[0]), m_, context.scratch, &context.pool);
  }
  f32* row_of(const RunContext& context, isize row) const {
    return reinterpret_cast<f32*>(context.outputs[0]) + row * out_stride_;
  }
  /// For rows from `row` on.
  EpilogueF32 epilogue_at(const RunContext& context, isize row) const {
    const std::byte* residual = context.optional_input(3);
    return epilogue_.at(residual ? residual + row * n_ * static_cast<isize>(sizeof(f32)) : nullptr, n_);
  }

  RoundedRows rows_;
  EpilogueParamsF32 epilogue_;
  isize m_ = 0, n_ = 0, k_ = 0, out_stride_ = 0;

 private:
  isize per_thread_ = 0;
  std::size_t scratch_bytes_ = 0;
};

/// Times weights with a scale for each column or one for all.
template <class Product>
class DynamicGemm final : public DynamicBody {
 public:
  using Weights = typename Product::Weights;

  explicit DynamicGemm(Weights weights) : weights_(std::move(weights)) {}

  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    const TensorInfo& w = context.inputs[1];
    WHIT_RETURN_IF_ERROR(prepare_rows(context, m, n, k));
    WHIT_RETURN_IF_ERROR(check_weights_s8(context.node, w));
    fill_columns(context);
    // The product sees s8 rows around 0; their zero points, the bias and what follows wait for dequantize_rows.
    Tensor rows;
    rows.dtype = DType::s8;
    rows.quantization = {{1.0f}, {0}, -1};
    const TensorInfo inputs[] = {{.tensor = &rows, .shape = context.inputs[0].shape}, w};
    sums_.fields.output = EpilogueS8::Output::s32;
    WHIT_RETURN_IF_ERROR(
        product_.prepare({context.node, inputs, context.outputs, context.isa, context.threads, context.weights},
                         weights_, m, 0, n, 1, k));
    set_scratch(context.threads, product_.scratch_per_thread(false));
    return {};
  }
  const char* kernel_name() const override { return product_.kernel_name(); }
  void run(const RunContext& context) const override {
    const RoundedRows::Rows rows = round_rows(context);
    product_.run({rows.values, k_, nullptr, nullptr}, m_, sums_, nullptr, 0, context.outputs[0], sizeof(s32),
                 out_stride_, context.pool, thread_scratch(context));
    context.pool.parallel_for(m_, work_grain(n_), [&](isize begin, isize end, int) {
      rows_.table().dequantize_rows({reinterpret_cast<std::byte*>(row_of(context, begin)), end - begin, n_, out_stride_,
                                     rows.scale + begin, rows.zero_point + begin, column_sum_.data(), scale_.data(),
                                     bias_.data(), epilogue_at(context, begin)});
    });
  }

 private:
  void fill_columns(const PrepareContext& context) {
    const std::size_t n = static_cast<std::size_t>(n_);
    const Quantization& q = context.inputs[1].quantization();
    const f32* bias = constant_bias<f32>(context.inputs);
    column_sum_ = column_sums(context.inputs[1].constant<s8>(), n_, k_);
    scale_.resize(n), bias_.resize(n);
    for (std::size_t o = 0; o < n; ++o) {
      scale_[o] = q.scale[q.axis < 0 ? 0 : o];
      bias_[o] = bias ? bias[o] : 0;
    }
  }

  Weights weights_;
  PackedProduct<Product> product_;
  EpilogueParamsS8 sums_;
  std::vector<s32> column_sum_;
  std::vector<f32> scale_, bias_;
};

/// Times weights of 4 bits with a scale for each group of a column.
class GroupedGemm final : public DynamicBody {
 public:
  Status prepare(const PrepareContext& context, isize m, isize n, isize k) override {
    static_assert(gemm_w4::kScaleGroup == Quantization::kGroup);
    const TensorInfo& w = context.inputs[1];
    WHIT_RETURN_IF_ERROR(prepare_rows(context, m, n, k));
    const std::span<const s8> values(w.constant<s8>(), static_cast<std::size_t>(n * k));
    if (std::any_of(values.begin(), values.end(), [](s8 value) { return value < -8 || value > 7; }))
      return node_error(context.node, Code::unsupported,
                        "weights '%s' with scales by groups go from -8 to 7 where rows are rounded at run time",
                        tensor_name(w));
    kernel_ = &gemm_w4::select_grouped(context.isa);
    const auto fill = [&](std::byte* out) {
      const std::span<const std::byte> scales = w.quantization().group_scales;
      const AlignedBuffer aligned(scales.size());
      if (!aligned.data()) return false;
      std::memcpy(aligned.data(), scales.data(), scales.size());
      gemm_w4::pack(
          *kernel_,
          {values.data(), reinterpret_cast<const u16*>(aligned.data()), constant_bias<f32>(context.inputs), n, k}, out,
          0, n);
      return true;
    };
    WHIT_RETURN_IF_ERROR(pack_weights(context, kernel_name(), gemm_w4::packed_bytes(*kernel_, n, k), fill, &packed_));
    set_scratch(context.threads, round_up(static_cast<isize>(gemm_w4::scratch_bytes(*kernel_, k)), isize{kAlignment}));
    return {};
  }
  const char* kernel_name() const override { return gemm_w4::name(*kernel_); }
  void run(const RunContext& context) const override {
    const RoundedRows::Rows rows = round_rows(context);
    const ProductParts parts{m_, n_, k_, gemm_w4::panel_columns(*kernel_), true};
    run_in_parts(parts, context.pool, [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int thread) {
      gemm_w4::run(*kernel_,
                   {rows.values, k_, rows.scale, rows.zero_point, packed_, n_, k_, row_of(context, 0), out_stride_,
                    thread_scratch(context, thread)},
                   m_begin, m_end, n_begin, n_end);
    });
    context.pool.parallel_for(m_, work_grain(n_), [&](isize begin, isize end, int) {
      rows_.table().finish_rows({row_of(context, begin), end - begin, n_, out_stride_, epilogue_at(context, begin)});
    });
  }

 private:
  const gemm_w4::GroupedKernel* kernel_ = nullptr;
  const std::byte* packed_ = nullptr;
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
      body_ = make_dynamic(context);
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

  std::unique_ptr<GemmBody> make_dynamic(const PrepareContext& context) const {
    const TensorInfo& w = context.inputs[1];
    if constexpr (is_compiled(",w4,")) {
      if (w.quantization().is_grouped()) return std::make_unique<GroupedGemm>();
      auto coded = make_coded<GemmBody>(w, m_, n_, context.isa, []<class Coded>(const typename Coded::Weights& of) {
        return std::make_unique<DynamicGemm<Coded>>(of);
      });
      if (coded) return coded;
    }
    return std::make_unique<DynamicGemm<ProductS8>>(ProductS8::Weights(w));
  }

  template <class Sparse>
  std::unique_ptr<GemmBody> make_body(const PrepareContext& context) {
    if constexpr (is_compiled(",sparse,")) {
      if (auto sparse = SparseGemm<Sparse>::make(context, m_, n_, k_, &reason_)) return sparse;
    }
    if constexpr (is_compiled(",w4,") && std::is_same_v<Sparse, SparseS8>) {
      auto coded = make_coded<GemmBody>(
          context.inputs[1], m_, n_, context.isa,
          []<class Coded>(const typename Coded::Weights& w) { return std::make_unique<TypedGemm<Coded>>(w); });
      if (coded) return coded;
    }
    using Product = typename Sparse::Product;
    return std::make_unique<TypedGemm<Product>>(typename Product::Weights(context.inputs[1]));
  }

  std::unique_ptr<GemmBody> body_;
  isize m_ = 0, n_ = 0, k_ = 0;
};

}  // namespace

std::unique_ptr<Operator> make_gemm(const Node&) { return std::make_unique<Gemm>(); }

}  // namespace whit::ops
