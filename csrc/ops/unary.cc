// clip .. cos, binarize: f32 element by element, s8 through a table of the function of the 256 dequantised values.

#include "kernels/bitpack/bitpack.h"
#include "kernels/convert/convert.h"
#include "kernels/eltwise/eltwise.h"
#include "ops/lut_s8.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

using eltwise::Unary;

class UnaryOperator : public Operator {
 public:
  /// p, q: names of the attributes that UnaryArgs::p and q hold, or null.
  UnaryOperator(Unary function, int cost, const char* p, const char* q)
      : function_(function), cost_(cost), attributes_{p, q} {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    outputs[0] = inputs[0].shape;
    elements_ = outputs[0].elements();
    if (node.op != Op::gelu) return {};
    const std::string& approximate = node.attributes.string("approximate");
    if (approximate == "tanh")
      function_ = Unary::gelu_tanh;
    else if (approximate != "none")
      return node_error(node, Code::unsupported, "approximate '%.40s' is unknown; \"none\" and \"tanh\" are known",
                        approximate.c_str());
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    f32 values[2] = {0, 0};
    for (std::size_t i = 0; i < 2; ++i) {
      if (attributes_[i] == nullptr) continue;
      WHIT_RETURN_IF_ERROR(require_number(node, attributes_[i]));
      values[i] = node.attributes.number(attributes_[i]);
    }
    p_ = values[0], q_ = values[1];
    const eltwise::Table& table = eltwise::select(context.isa);
    map_ = table.unary[static_cast<std::size_t>(function_)];
    in_place_input_ = 0;
    if (x.dtype() == DType::s8) {
      WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input", x));
      WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
      fill_table(convert::select(context.isa), x, y);
      lut_.table = &lut::select(context.isa);
      kernel_ = lut_.table->name;
      return {};
    }
    WHIT_RETURN_IF_ERROR(require_dtype(node, "input", x, DType::f32));
    WHIT_RETURN_IF_ERROR(require_dtype(node, "output", y, DType::f32));
    name_ = kernel_name(node, "f32", table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    if (lut_.table != nullptr) return lut_.run(context, elements_);
    const f32* x = reinterpret_cast<const f32*>(context.inputs[0]);
    f32* y = reinterpret_cast<f32*>(context.outputs[0]);
    context.pool.parallel_for(elements_, work_grain(cost_),
                              [&](isize begin, isize end, int) { map_({x + begin, y + begin, end - begin, p_, q_}); });
  }

 private:
  void fill_table(const convert::Table& table, const TensorInfo& x, const TensorInfo& y) {
    s8 inputs[lut::kEntries];
    f32 values[lut::kEntries];
    for (int i = 0; i < lut::kEntries; ++i) inputs[i] = static_cast<s8>(i);
    const f32 x_scale = x.quantization().scale[0], y_scale = y.quantization().scale[0];
    const s32 x_zero_point = zero_point_of(x), y_zero_point = zero_point_of(y);
    table.dequantize_s8({inputs, values, 1, lut::kEntries, &x_scale, &x_zero_point, false});
    map_({values, values, lut::kEntries, p_, q_});
    table.quantize({values, lut_.entries.data(), 1, lut::kEntries, &y_scale, &y_zero_point, false});
  }

  Unary function_;
  int cost_;
  const char* attributes_[2];
  isize elements_ = 0;
  f32 p_ = 0, q_ = 0;
  void (*map_)(const eltwise::UnaryArgs&) = nullptr;
  LutS8 lut_;
  std::string name_;
};

/// To numbers as the others, or to bits.
class Binarize final : public UnaryOperator {
 public:
  Binarize() : UnaryOperator(Unary::binarize, 1, nullptr, nullptr) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    elements_ = inputs[0].shape.elements();
    return UnaryOperator::infer(node, inputs, outputs);
  }

  Status prepare(const PrepareContext& context) override {
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    if (y.dtype() != DType::b1) return UnaryOperator::prepare(context);
    table_ = &bitpack::select(context.isa);
    kernel_ = table_->name;
    is_s8_ = x.dtype() == DType::s8;
    if (!is_s8_) return require_dtype(context.node, "input", x, DType::f32);
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(context.node, "input", x));
    zero_ = static_cast<s8>(zero_point_of(x));
    return {};
  }

  void run(const RunContext& context) const override {
    if (!table_) return UnaryOperator::run(context);
    constexpr isize kBits = 512;  // bytes are not shared by threads
    context.pool.parallel_for(ceil_div(elements_, kBits), work_grain(kBits), [&](isize begin, isize end, int) {
      const isize first = begin * kBits, count = std::min(end * kBits, elements_) - first;
      u8* bits = reinterpret_cast<u8*>(context.outputs[0]) + first / 8;
      if (is_s8_) {
        const s8* x = reinterpret_cast<const s8*>(context.inputs[0]) + first;
        table_->pack_s8({x, 0, count, nullptr, zero_, bits, 0}, 0, 1);
      } else {
        const f32* x = reinterpret_cast<const f32*>(context.inputs[0]) + first;
        table_->pack_f32({x, 0, count, nullptr, 0.0f, bits, 0}, 0, 1);
      }
    });
  }

 private:
  const bitpack::Table* table_ = nullptr;  // null: to numbers
  bool is_s8_ = false;
  s8 zero_ = 0;
  isize elements_ = 0;
};

}  // namespace

// Costs are rough numbers of simple operations per element; they decide when a second thread is worth waking.
#define WHIT_UNARY(name, cost, p, q)                                 \
  std::unique_ptr<Operator> make_##name(const Node&) {               \
    return std::make_unique<UnaryOperator>(Unary::name, cost, p, q); \
  }
WHIT_UNARY(clip, 1, "clamp_min", "clamp_max")
WHIT_UNARY(leaky_relu, 1, "alpha", nullptr)
WHIT_UNARY(elu, 6, "alpha", nullptr)
WHIT_UNARY(sigmoid, 8, nullptr, nullptr)
WHIT_UNARY(tanh, 8, nullptr, nullptr)
WHIT_UNARY(hard_sigmoid, 1, "alpha", "beta")
WHIT_UNARY(hard_swish, 1, nullptr, nullptr)
WHIT_UNARY(silu, 8, nullptr, nullptr)
WHIT_UNARY(gelu, 8, nullptr, nullptr)
WHIT_UNARY(erf, 8, nullptr, nullptr)
WHIT_UNARY(softplus, 8, nullptr, nullptr)
WHIT_UNARY(exp, 6, nullptr, nullptr)
WHIT_UNARY(log, 6, nullptr, nullptr)
WHIT_UNARY(sqrt, 2, nullptr, nullptr)
WHIT_UNARY(reciprocal, 2, nullptr, nullptr)
WHIT_UNARY(abs, 1, nullptr, nullptr)
WHIT_UNARY(neg, 1, nullptr, nullptr)
WHIT_UNARY(floor, 1, nullptr, nullptr)
WHIT_UNARY(ceil, 1, nullptr, nullptr)
WHIT_UNARY(round, 1, nullptr, nullptr)
WHIT_UNARY(sin, 12, nullptr, nullptr)
WHIT_UNARY(cos, 12, nullptr, nullptr)
#undef WHIT_UNARY

std::unique_ptr<Operator> make_binarize(const Node&) { return std::make_unique<Binarize>(); }

}  // namespace whit::ops
