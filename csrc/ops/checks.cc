#include "ops/checks.h"

#include <algorithm>
#include <cmath>

namespace whit::ops {

const char* tensor_name(const TensorInfo& info) { return info.present() ? info.tensor->name.c_str() : ""; }

bool is_per_tensor(const Quantization& quantization) {
  return quantization.axis < 0 && quantization.scale.size() == 1 && quantization.zero_point.size() == 1 &&
         quantization.zero_point[0] >= -128 && quantization.zero_point[0] <= 127;
}

Status require_dtype(const Node& node, const char* role, const TensorInfo& info, DType wanted) {
  if (info.dtype() == wanted) return {};
  return node_error(node, Code::unsupported, "%s '%s' is %s; %s is needed here", role, tensor_name(info),
                    dtype_name(info.dtype()), dtype_name(wanted));
}

Status require_per_tensor_s8(const Node& node, const char* role, const TensorInfo& info) {
  WHIT_RETURN_IF_ERROR(require_dtype(node, role, info, DType::s8));
  if (is_per_tensor(info.quantization())) return {};
  return node_error(node, Code::unsupported, "%s '%s' needs one scale for the whole tensor and a zero point in s8",
                    role, tensor_name(info));
}

Status require_number(const Node& node, const char* attribute) {
  if (!std::isnan(node.attributes.number(attribute))) return {};
  return node_error(node, Code::unsupported, "%s must not be NaN", attribute);
}

Status round_scale(const Node& node, f64 factor, f32* out) {
  *out = static_cast<f32>(factor);
  if (std::isfinite(*out)) return {};
  return node_error(node, Code::unsupported, "the scales of inputs and output combine to %g, which f32 cannot hold",
                    factor);
}

f32 bound_in_steps(f32 bound, f64 step, s32 zero_point) {
  const f64 lowest = -128 - zero_point, highest = 127 - zero_point;
  return static_cast<f32>(std::clamp(std::nearbyint(static_cast<f64>(bound) / step), lowest, highest));
}

std::string kernel_name(const Node& node, const char* dtype, Isa isa) {
  return std::string(op_name(node.op)) + "_" + dtype + "_" + isa_name(isa);
}

}  // namespace whit::ops
