#include "ops/binary_product.h"

#include <cmath>

#include "base/checked.h"
#include "ops/epilogue_params.h"
#include "ops/product.h"

namespace whit::ops {

Status BinaryProduct::prepare(const PrepareContext& context, isize m, isize n, isize taps, isize k) {
  n_ = n, taps_ = taps, k_ = k;
  const Node& node = context.node;
  s64 depth = 0;
  if (k % 8 != 0)
    return node_error(node, Code::unsupported, "a b1 input needs channels in multiples of 8; it has %td", k);
  if (!checked_mul(s64{taps}, s64{k}, &depth) || depth > (1 << 24))  // sums are exact in f32
    return node_error(node, Code::unsupported, "more than 2^24 products of b1 for each output");
  WHIT_RETURN_IF_ERROR(fill_epilogue(context));
  WHIT_RETURN_IF_ERROR(fill_bits(context));
  if (epilogue_.output == EpilogueB1::Output::b1) fill_thresholds(static_cast<s32>(depth));
  kernel_ = &gemm_b1::select({m, n, taps, k}, context.isa);
  const auto fill = [&](std::byte* out) {
    gemm_b1::pack(*kernel_, {bits_.data(), n, taps, k}, out, 0, n);
    return true;
  };
  return pack_weights(context, kernel_name(), gemm_b1::packed_bytes(*kernel_, n, taps, k), fill, &packed_);
}

isize BinaryProduct::scratch_per_thread() const {
  return round_up(static_cast<isize>(gemm_b1::scratch_bytes(*kernel_, taps_, k_)), isize{kAlignment});
}

Status BinaryProduct::fill_epilogue(const PrepareContext& context) {
  const Node& node = context.node;
  const TensorInfo &w = context.inputs[1], &y = context.outputs[0];
  WHIT_RETURN_IF_ERROR(require_dtype(node, "input", context.inputs[0], DType::b1));
  WHIT_RETURN_IF_ERROR(check_weights_s8(node, w));
  if (optional_input(context.inputs, 3))
    return node_error(node, Code::unsupported, "a product of a b1 input takes no residual");
  if (!node.attributes.string("activation").empty())
    return node_error(node, Code::unsupported, "a product of a b1 input has no activation but the clamp");
  WHIT_RETURN_IF_ERROR(require_number(node, "clamp_min"));
  WHIT_RETURN_IF_ERROR(require_number(node, "clamp_max"));
  f32 step = 1;
  switch (y.dtype()) {
    case DType::f32: epilogue_.output = EpilogueB1::Output::f32; break;
    case DType::b1:
      if (n_ % 8 != 0)
        return node_error(node, Code::unsupported, "a b1 output needs channels in multiples of 8; it has %td", n_);
      epilogue_.output = EpilogueB1::Output::b1;
      break;
    default:
      WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
      epilogue_.output = EpilogueB1::Output::s8;
      epilogue_.zero_point = zero_point_of(y);
      step = y.quantization().scale[0];
  }
  out_bits_ = dtype_bits(y.dtype());
  const f32 clamp_min = node.attributes.number("clamp_min"), clamp_max = node.attributes.number("clamp_max");
  const bool is_s8 = epilogue_.output == EpilogueB1::Output::s8;
  epilogue_.clamp_min = is_s8 ? bound_in_steps(clamp_min, step, epilogue_.zero_point) : clamp_min;
  epilogue_.clamp_max = is_s8 ? bound_in_steps(clamp_max, step, epilogue_.zero_point) : clamp_max;

  const TensorInfo* bias = optional_input(context.inputs, 2);
  if (bias) WHIT_RETURN_IF_ERROR(require_dtype(node, "bias", *bias, DType::f32));
  const Quantization& q = w.quantization();
  for (std::size_t o = 0; o < static_cast<std::size_t>(n_); ++o) {
    scale_.push_back(q.scale[q.axis < 0 ? 0 : o] / step);
    bias_.push_back(bias ? bias->constant<f32>()[o] / step : 0.0f);
    if (!std::isfinite(scale_.back()) || !std::isfinite(bias_.back()))
      return node_error(node, Code::unsupported, "output channel %zu: scale or bias leaves f32", o);
  }
  epilogue_.scale = scale_.data(), epilogue_.bias = bias_.data();
  return {};
}

Status BinaryProduct::fill_bits(const PrepareContext& context) {
  const TensorInfo& w = context.inputs[1];
  const s8* values = w.constant<s8>();
  bits_.assign(static_cast<std::size_t>(n_ * taps_ * k_ / 8), 0);
  for (std::size_t i = 0; i < bits_.size() * 8; ++i) {
    if (values[i] != 1 && values[i] != -1)
      return node_error(context.node, Code::unsupported, "weights '%s' of a b1 input must be +1 and -1; there is %d",
                        tensor_name(w), values[i]);
    bits_[i / 8] = static_cast<u8>(bits_[i / 8] | (values[i] < 0) << i % 8);
  }
  return {};
}

f32 BinaryProduct::value(std::size_t n, s32 acc) const {
  f32 t = static_cast<f32>(acc) * scale_[n];
  t = t + bias_[n];
  t = t > epilogue_.clamp_min ? t : epilogue_.clamp_min;
  return t < epilogue_.clamp_max ? t : epilogue_.clamp_max;
}

/// value() does not fall as sums rise, so those below 0 are the ones below a threshold, which bisection finds.
void BinaryProduct::fill_thresholds(s32 depth) {
  for (std::size_t n = 0; n < scale_.size(); ++n) {
    s32 low = -depth, high = depth + 1;  // every sum below `low` gives a value below 0, none from `high` on
    while (low < high) {
      const s32 middle = low + (high - low) / 2;
      if (value(n, middle) < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    threshold_.push_back(low);
  }
  epilogue_.threshold = threshold_.data();
}

void BinaryProduct::run(const gemm_b1::Lhs& lhs, const gemm_b1::Border& border, isize m, std::byte* out,
                        isize out_stride, ThreadPool& pool, std::byte* scratch) const {
  const isize each = scratch_per_thread();
  const isize stride = out_bits_ < 8 ? out_stride * out_bits_ / 8 : out_stride;
  const ProductParts parts{m, n_, s64{taps_} * k_ / 8, panel_columns(*kernel_)};
  run_in_parts(parts, pool, [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int thread) {
    gemm_b1::run(*kernel_, {lhs, packed_, n_, taps_, k_, border, epilogue_, out, stride, scratch + thread * each},
                 m_begin, m_end, n_begin, n_end);
  });
}

}  // namespace whit::ops
