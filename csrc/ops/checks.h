#pragma once
// Checks on dtype and quantisation that operators share, and conversions from real units to steps.

#include <string>

#include "ops/operator.h"

namespace whit::ops {

/// For error texts; "" for an absent tensor.
const char* tensor_name(const TensorInfo& info);
/// True if there is one scale for the whole tensor and its zero point fits into s8.
bool is_per_tensor(const Quantization& quantization);

/// Code::unsupported unless `info` has this dtype. `role` names the tensor in the error ("input").
Status require_dtype(const Node& node, const char* role, const TensorInfo& info, DType wanted);
/// Code::unsupported unless `info` is s8 with one scale for the whole tensor and a zero point within s8.
Status require_per_tensor_s8(const Node& node, const char* role, const TensorInfo& info);
/// Code::unsupported if an attribute is NaN.
Status require_number(const Node& node, const char* attribute);

/// Of a tensor that require_per_tensor_s8 has passed.
inline f64 scale_of(const TensorInfo& info) { return info.quantization().scale[0]; }
inline s32 zero_point_of(const TensorInfo& info) { return info.quantization().zero_point[0]; }

/// Rounds a factor made of scales to f32; Code::unsupported if it is not finite there.
Status round_scale(const Node& node, f64 factor, f32* out);
/// A bound in real units as whole steps, rounded half to even, within [-128 - zero_point, 127 - zero_point].
f32 bound_in_steps(f32 bound, f64 step, s32 zero_point);

/// "add" + "_f32_" + "avx2"
std::string kernel_name(const Node& node, const char* dtype, Isa isa);

/// Outputs that one thread should have at least when each costs this many simple operations.
constexpr isize work_grain(s64 cost) {
  constexpr isize kOperationsPerThread = 16384;
  return cost >= kOperationsPerThread ? 1 : kOperationsPerThread / static_cast<isize>(cost > 0 ? cost : 1);
}

}  // namespace whit::ops
