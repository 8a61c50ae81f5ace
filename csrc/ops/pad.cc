#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "ops/epilogue_params.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class PadOperator final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    const std::string& mode = node.attributes.string("mode");
    pad_ = {};
    if (mode == "constant")
      pad_.mode = copy::PadMode::constant;
    else if (mode == "reflect")
      pad_.mode = copy::PadMode::reflect;
    else if (mode == "edge")
      pad_.mode = copy::PadMode::edge;
    else
      return node_error(node, Code::unsupported,
                        "mode '%.40s' is unknown; \"constant\", \"reflect\" and \"edge\" are known", mode.c_str());
    const std::vector<s64>& pads = node.attributes.integers("pads");
    const std::size_t rank = static_cast<std::size_t>(in.rank());
    if (pads.size() != 2 * rank)
      return node_error(node, Code::shape, "%zu pads for shape %s; two per axis are needed", pads.size(),
                        in.text().c_str());
    Shape out = in;
    for (std::size_t i = 0; i < rank; ++i) {
      const int axis = static_cast<int>(i);
      const s64 before = pads[i], after = pads[rank + i];
      if (before < 0 || after < 0)
        return node_error(node, Code::shape, "pads %lld, %lld of axis %d are negative; slice removes elements",
                          static_cast<long long>(before), static_cast<long long>(after), axis);
      if (pad_.mode == copy::PadMode::reflect && std::max(before, after) >= in[axis])
        return node_error(node, Code::shape, "reflect pads %lld, %lld must be less than axis %d of shape %s",
                          static_cast<long long>(before), static_cast<long long>(after), axis, in.text().c_str());
      if (!checked_add(out[axis], before, &out[axis]) || !checked_add(out[axis], after, &out[axis]))
        return node_error(node, Code::shape, "the pads of axis %d overflow", axis);
      pad_.push(in[axis], before, after);
    }
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    outputs[0] = out;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const TensorInfo& input = context.inputs[0];
    WHIT_RETURN_IF_ERROR(check_movement(context.node, input, context.outputs[0]));
    copy::Pad pad = pad_;
    pad.value_bytes = element_bytes(input);
    if (pad.mode == copy::PadMode::constant) WHIT_RETURN_IF_ERROR(set_value(context.node, input, &pad));
    plan_ = copy::plan(pad);
    kernel_ = "pad";
    return {};
  }

  void run(const RunContext& context) const override {
    context.pool.parallel_for(plan_.rows, movement_grain(plan_.row_bytes), [&](isize begin, isize end, int) {
      copy::run(plan_, context.inputs[0], context.outputs[0], begin, end);
    });
  }

 private:
  /// The bits of the attribute `value`: a real number, so in steps of the tensor where it is quantised.
  static Status set_value(const Node& node, const TensorInfo& input, copy::Pad* pad) {
    f64 value = node.attributes.number("value");
    const auto integer = [&](f64 lowest, f64 highest) {
      if (std::isnan(value)) value = 0;
      return static_cast<s64>(std::clamp(std::nearbyint(value), lowest, highest));
    };
    if (const Quantization& q = input.quantization()) {
      if (!is_per_tensor(q))
        return node_error(node, Code::unsupported, "'%s' needs a zero point in s8", tensor_name(input));
      value = std::nearbyint(value / q.scale[0]) + q.zero_point[0];
    }
    switch (input.dtype()) {
      case DType::f32: {
        const f32 number = static_cast<f32>(value);
        std::memcpy(&pad->value, &number, sizeof number);
        return {};
      }
      case DType::s8: pad->value = static_cast<u8>(integer(-128, 127)); return {};
      case DType::u8: pad->value = static_cast<u8>(integer(0, 255)); return {};
      case DType::s16: pad->value = static_cast<u16>(integer(-32768, 32767)); return {};
      case DType::s32: pad->value = static_cast<u32>(integer(-2147483648.0, 2147483647.0)); return {};
      default:
        if (value == 0) return {};
        return node_error(node, Code::unsupported, "cannot write the pad value %g as %s", value,
                          dtype_name(input.dtype()));
    }
  }

  copy::Pad pad_, plan_;
};

}  // namespace

std::unique_ptr<Operator> make_pad(const Node&) { return std::make_unique<PadOperator>(); }

}  // namespace whit::ops
