#include "ops/epilogue_params.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/half.h"

namespace whit::ops {
namespace {

Status fill_common(const Node& node, Activation* activation, f32* clamp_min, f32* clamp_max) {
  const std::string& name = node.attributes.string("activation");
  if (name.empty())
    *activation = Activation::clamp;
  else if (name == "hard_swish")
    *activation = Activation::hard_swish;
  else
    return node_error(node, Code::unsupported, "activation '%.40s' is unknown; \"\" and \"hard_swish\" are known",
                      name.c_str());
  *clamp_min = node.attributes.number("clamp_min");
  *clamp_max = node.attributes.number("clamp_max");
  if (std::isnan(*clamp_min) || std::isnan(*clamp_max))
    return node_error(node, Code::unsupported, "clamp_min and clamp_max must not be NaN");
  return {};
}

/// One scale per tensor or per index of `axis`.
bool has_scales_along(const TensorInfo& w, int axis) {
  const Quantization& q = w.quantization();
  if (!q || q.zero_point.size() != q.scale.size()) return false;
  if (q.axis < 0) return q.scale.size() == 1;
  return q.axis == axis && axis < w.shape.rank() && static_cast<s64>(q.scale.size()) == w.shape[axis];
}

void dequantize_groups(const TensorInfo& w, f32* out) {
  const s8* in = w.constant<s8>();
  const s64 columns = w.shape[w.shape.rank() - 1], groups = ceil_div(columns, Quantization::kGroup);
  const Quantization& q = w.quantization();
  for (std::size_t i = 0; i < q.group_count(); ++i) {
    const f32 scale = half_to_float(q.group_scale(i));
    const s64 first = static_cast<s64>(i) % groups * Quantization::kGroup;
    const s64 count = std::min(Quantization::kGroup, columns - first);
    for (s64 k = 0; k < count; ++k) *out++ = static_cast<f32>(*in++) * scale;
  }
}

}  // namespace

Status fill_epilogue(const Node& node, std::span<const TensorInfo> inputs, const TensorInfo& output,
                     EpilogueParamsS8* params) {
  const TensorInfo &x = inputs[0], &w = inputs[1];
  const TensorInfo *bias = optional_input(inputs, 2), *residual = optional_input(inputs, 3);
  f32 clamp_min = 0, clamp_max = 0;
  EpilogueS8& fields = params->fields;
  WHIT_RETURN_IF_ERROR(fill_common(node, &fields.activation, &clamp_min, &clamp_max));
  WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input", x));
  WHIT_RETURN_IF_ERROR(check_weights_s8(node, w));
  const Quantization& wq = w.quantization();
  const bool to_s8 = output.dtype() == DType::s8;
  if (to_s8) {
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", output));
  } else {
    WHIT_RETURN_IF_ERROR(require_dtype(node, "output", output, DType::f32));
  }

  const f64 x_scale = x.quantization().scale[0];
  const f64 step = to_s8 ? output.quantization().scale[0] : 1.0;
  const std::size_t n = static_cast<std::size_t>(w.shape[0]);
  const auto w_scale = [&](std::size_t o) { return wq.scale[wq.axis < 0 ? 0 : o]; };
  params->scale.resize(n);
  for (std::size_t o = 0; o < n; ++o) {
    // In f32, product first: the multiplier that onnxruntime and XNNPACK compute, so that imported integer models round
    // the same way.
    params->scale[o] = x.quantization().scale[0] * w_scale(o) / static_cast<f32>(step);
    if (!std::isfinite(params->scale[o]))
      return node_error(node, Code::unsupported, "output channel %zu: the scales %g * %g / %g leave f32", o, x_scale,
                        static_cast<f64>(w_scale(o)), step);
  }

  if (bias) {
    WHIT_RETURN_IF_ERROR(require_dtype(node, "bias", *bias, DType::s32));
    const Quantization& bq = bias->quantization();
    if (bq && !has_scales_along(*bias, 0))
      return node_error(node, Code::unsupported, "bias '%s' needs one scale, or one per output channel",
                        tensor_name(*bias));
    for (std::size_t o = 0; bq && o < n; ++o) {
      const std::size_t i = bq.axis < 0 ? 0 : o;
      const f64 wanted = x_scale * w_scale(o);
      if (i >= bq.scale.size() || bq.zero_point[i] != 0 || std::abs(bq.scale[i] - wanted) > 1e-3 * wanted)
        return node_error(node, Code::unsupported,
                          "bias '%s' of output channel %zu is not in steps of input scale * weight scale = %g",
                          tensor_name(*bias), o, wanted);
    }
  }

  fields.output = to_s8 ? EpilogueS8::Output::s8 : EpilogueS8::Output::f32;
  fields.hard_swish_alpha = static_cast<f32>(step / 6.0);
  if (fields.activation == Activation::hard_swish && fields.hard_swish_alpha < std::numeric_limits<f32>::min())
    return node_error(node, Code::unsupported, "an output scale of %g is too small for hard_swish", step);
  fields.zero_point = to_s8 ? output.quantization().zero_point[0] : 0;
  fields.clamp_min = to_s8 ? bound_in_steps(clamp_min, step, fields.zero_point) : clamp_min;
  fields.clamp_max = to_s8 ? bound_in_steps(clamp_max, step, fields.zero_point) : clamp_max;
  if (residual) {
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "residual", *residual));
    fields.residual_scale = static_cast<f32>(residual->quantization().scale[0] / step);
    fields.residual_zero_point = residual->quantization().zero_point[0];
    if (!std::isfinite(fields.residual_scale))
      return node_error(node, Code::unsupported, "the scales of residual '%s' and the output leave f32",
                        tensor_name(*residual));
  }
  return {};
}

Status fill_epilogue(const Node& node, std::span<const TensorInfo> inputs, const TensorInfo& output,
                     EpilogueParamsF32* params) {
  EpilogueF32& fields = params->fields;
  WHIT_RETURN_IF_ERROR(fill_common(node, &fields.activation, &fields.clamp_min, &fields.clamp_max));
  WHIT_RETURN_IF_ERROR(require_dtype(node, "input", inputs[0], DType::f32));
  WHIT_RETURN_IF_ERROR(check_weights_f32(node, inputs[1], 0));
  if (const TensorInfo* bias = optional_input(inputs, 2))
    WHIT_RETURN_IF_ERROR(require_dtype(node, "bias", *bias, DType::f32));
  if (const TensorInfo* residual = optional_input(inputs, 3))
    WHIT_RETURN_IF_ERROR(require_dtype(node, "residual", *residual, DType::f32));
  return require_dtype(node, "output", output, DType::f32);
}

Status check_weights_s8(const Node& node, const TensorInfo& w, int axis) {
  WHIT_RETURN_IF_ERROR(require_dtype(node, "weights", w, DType::s8));
  if (!w.is_constant()) return node_error(node, Code::unsupported, "weights '%s' must be a constant", tensor_name(w));
  if (std::memchr(w.constant<s8>(), 0x80, static_cast<std::size_t>(w.shape.elements())) != nullptr)
    return node_error(node, Code::unsupported, "weights '%s' contain -128; s8 weights go from -127 to 127",
                      tensor_name(w));
  if (!has_scales_along(w, axis))
    return node_error(node, Code::unsupported, "weights '%s' need one scale, or one per output channel (axis %d)",
                      tensor_name(w), axis);
  const std::vector<s32>& zero_points = w.quantization().zero_point;
  if (std::any_of(zero_points.begin(), zero_points.end(), [](s32 z) { return z != 0; }))
    return node_error(node, Code::unsupported, "weights '%s' have a zero point other than 0", tensor_name(w));
  return {};
}

Status check_weights_f32(const Node& node, const TensorInfo& w, int axis) {
  if (!w.is_constant()) return node_error(node, Code::unsupported, "weights '%s' must be a constant", tensor_name(w));
  if (w.dtype() == DType::f32) return {};
  if (w.dtype() != DType::s8)
    return node_error(node, Code::unsupported, "weights '%s' are %s; f32 or s8 is needed here", tensor_name(w),
                      dtype_name(w.dtype()));
  if (!w.quantization().is_grouped() && !has_scales_along(w, axis))
    return node_error(node, Code::unsupported, "weights '%s' need one scale, or one per index of axis %d",
                      tensor_name(w), axis);
  return {};
}

void dequantize_weights(const TensorInfo& w, f32* out) {
  const std::size_t elements = static_cast<std::size_t>(w.shape.elements());
  if (w.dtype() == DType::f32) {
    if (elements) std::memcpy(out, w.constant<f32>(), elements * sizeof(f32));
    return;
  }
  const Quantization& q = w.quantization();
  if (q.is_grouped()) return dequantize_groups(w, out);
  const int axis = q.axis < 0 ? 0 : q.axis;
  const isize outer = q.axis < 0 ? 1 : w.shape.elements(0, axis), steps = q.axis < 0 ? 1 : w.shape[axis];
  const isize run = q.axis < 0 ? w.shape.elements() : w.shape.elements(axis + 1, w.shape.rank());
  const s8* in = w.constant<s8>();
  for (isize i = 0; i < outer; ++i)
    for (isize o = 0; o < steps; ++o) {
      const f32 scale = q.scale[static_cast<std::size_t>(o)];
      const s32 zero_point = q.zero_point[static_cast<std::size_t>(o)];
      for (isize k = 0; k < run; ++k) *out++ = static_cast<f32>(s64{*in++} - zero_point) * scale;
    }
}

const f32* weights_as_f32(const TensorInfo& w, AlignedBuffer* expanded) {
  if (w.dtype() == DType::f32) return w.constant<f32>();
  *expanded = AlignedBuffer(allocation_bytes(w.shape.elements(), sizeof(f32)));
  f32* values = reinterpret_cast<f32*>(expanded->data());
  if (values) dequantize_weights(w, values);
  return values;
}

}  // namespace whit::ops
