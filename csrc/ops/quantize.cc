// quantize_linear, dequantize_linear and requantize.

#include "kernels/eltwise/eltwise.h"
#include "ops/epilogue_params.h"
#include "ops/lut_s8.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

// Between f32 and a quantised tensor, per tensor or along an axis.
class Convert final : public Operator {
 public:
  explicit Convert(bool quantize) : quantize_(quantize) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    outputs[0] = inputs[0].shape;
    return check_sizes(node, "the output", outputs[0]);
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    const TensorInfo& stepped = quantize_ ? y : x;
    const eltwise::Table& table = eltwise::select(context.isa);
    const bool from_s32 = !quantize_ && x.dtype() == DType::s32;
    WHIT_RETURN_IF_ERROR(require_dtype(node, quantize_ ? "input" : "output", quantize_ ? x : y, DType::f32));
    if (!from_s32) WHIT_RETURN_IF_ERROR(require_dtype(node, quantize_ ? "output" : "input", stepped, DType::s8));
    WHIT_RETURN_IF_ERROR(set_layout(node, stepped, from_s32));
    convert_ = quantize_ ? table.quantize : from_s32 ? table.dequantize_s32 : table.dequantize_s8;
    x_bytes_ = element_bytes(x);
    y_bytes_ = element_bytes(y);
    name_ = kernel_name(node, dtype_name(stepped.dtype()), table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    context.pool.parallel_for(runs_, work_grain(run_length_), [&](isize begin, isize end, int) {
      const std::byte* x = context.inputs[0] + begin * run_length_ * x_bytes_;
      std::byte* y = context.outputs[0] + begin * run_length_ * y_bytes_;
      if (!by_run_)
        return convert_({x, y, end - begin, run_length_, scale_.data(), zero_point_.data(), scale_.size() > 1});
      for (isize i = begin; i < end; ++i, x += run_length_ * x_bytes_, y += run_length_ * y_bytes_) {
        const std::size_t c = static_cast<std::size_t>(i) % scale_.size();
        convert_({x, y, 1, run_length_, &scale_[c], &zero_point_[c], false});
      }
    });
  }

 private:
  // runs_ runs of run_length_ elements: a run has one scale each (by_run_), or all scales, or all runs have the same.
  Status set_layout(const Node& node, const TensorInfo& stepped, bool any_zero_point) {
    const Quantization& q = stepped.quantization();
    const Shape& shape = stepped.shape;
    if (!q || q.zero_point.size() != q.scale.size())
      return node_error(node, Code::unsupported, "'%s' has no quantisation", tensor_name(stepped));
    for (s32 zero_point : q.zero_point)
      if (!any_zero_point && (zero_point < -128 || zero_point > 127))
        return node_error(node, Code::unsupported, "zero point %d of '%s' is outside s8", zero_point,
                          tensor_name(stepped));
    scale_ = q.scale;
    zero_point_ = q.zero_point;
    if (q.axis < 0) {
      if (q.scale.size() != 1)
        return node_error(node, Code::unsupported, "'%s' has %zu scales but no axis", tensor_name(stepped),
                          q.scale.size());
      runs_ = shape.elements(), run_length_ = 1;
      return {};
    }
    if (q.axis >= shape.rank() || static_cast<s64>(q.scale.size()) != shape[q.axis])
      return node_error(node, Code::shape, "'%s' %s has %zu scales along axis %d", tensor_name(stepped),
                        shape.text().c_str(), q.scale.size(), q.axis);
    const isize inner = shape.elements(q.axis + 1, shape.rank());
    by_run_ = inner > 1;
    run_length_ = by_run_ ? inner : shape[q.axis];
    runs_ = shape.elements() / run_length_;
    return {};
  }

  bool quantize_, by_run_ = false;
  isize runs_ = 0, run_length_ = 1, x_bytes_ = 0, y_bytes_ = 0;
  std::vector<f32> scale_;
  std::vector<s32> zero_point_;
  void (*convert_)(const eltwise::QuantizeArgs&) = nullptr;
  std::string name_;
};

/// y = s8(round_to_nearest_even(clamp(f32(x - x_zero_point) * f32(x_scale / y_scale))) + y_zero_point), as a table.
class Requantize final : public Operator {
 public:
  Status infer(const Node&, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    outputs[0] = inputs[0].shape;
    elements_ = outputs[0].elements();
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input", x));
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
    f32 factor = 0;
    WHIT_RETURN_IF_ERROR(round_scale(node, scale_of(x) / scale_of(y), &factor));
    s8 inputs[lut::kEntries];
    f32 steps[lut::kEntries];
    for (int i = 0; i < lut::kEntries; ++i) inputs[i] = static_cast<s8>(i);
    const eltwise::Table& table = eltwise::select(context.isa);
    const f32 one = 1;
    const s32 x_zero_point = zero_point_of(x), y_zero_point = zero_point_of(y);
    table.dequantize_s8({inputs, steps, 1, lut::kEntries, &factor, &x_zero_point, false});
    table.quantize({steps, lut_.entries.data(), 1, lut::kEntries, &one, &y_zero_point, false});
    lut_.table = &lut::select(context.isa);
    in_place_input_ = 0;
    kernel_ = lut_.table->name;
    return {};
  }

  void run(const RunContext& context) const override { lut_.run(context, elements_); }

 private:
  isize elements_ = 0;
  LutS8 lut_;
};

}  // namespace

std::unique_ptr<Operator> make_quantize_linear(const Node&) { return std::make_unique<Convert>(true); }
std::unique_ptr<Operator> make_dequantize_linear(const Node&) { return std::make_unique<Convert>(false); }
std::unique_ptr<Operator> make_requantize(const Node&) { return std::make_unique<Requantize>(); }

}  // namespace whit::ops
