#pragma once
// From attributes in real units and quantisations to what the kernels of conv, conv_transpose and gemm work with.

#include <span>
#include <vector>

#include "kernels/epilogue.h"
#include "ops/checks.h"

namespace whit::ops {

/// An EpilogueS8 and the scales that it points to. Filled in prepare, read in run.
struct EpilogueParamsS8 {
  EpilogueS8 fields;       ///< all but scale and residual
  std::vector<f32> scale;  ///< [n]
  EpilogueS8 at(const std::byte* residual, isize residual_stride) const {
    EpilogueS8 epilogue = fields;
    epilogue.scale = scale.data();
    epilogue.residual = reinterpret_cast<const s8*>(residual);
    epilogue.residual_stride = residual_stride;
    return epilogue;
  }
};

/// The same for f32 products.
struct EpilogueParamsF32 {
  EpilogueF32 fields{Activation::clamp, nullptr, 0, 0, 0};
  EpilogueF32 at(const std::byte* residual, isize residual_stride) const {
    EpilogueF32 epilogue = fields;
    epilogue.residual = reinterpret_cast<const f32*>(residual);
    epilogue.residual_stride = residual_stride;
    return epilogue;
  }
};

/// For a node with inputs [x, w, bias?, residual?] and attributes activation, clamp_min, clamp_max, where n is
/// w's axis 0. Checks dtypes and quantisation of all of them: x, residual and y per tensor, w symmetric per tensor or
/// along axis 0 (check_weights_s8), bias s32 in steps of x's scale times w's. y is s8 or f32.
/// scale[o] = (x scale * w scale[o]) / y scale in f32; clamp bounds become whole steps, rounded half to even.
Status fill_epilogue(const Node& node, std::span<const TensorInfo> inputs, const TensorInfo& output,
                     EpilogueParamsS8* params);

/// For f32 x: bias, residual and y are f32, w is f32 or s8 (int8-weights, see dequantize_weights).
Status fill_epilogue(const Node& node, std::span<const TensorInfo> inputs, const TensorInfo& output,
                     EpilogueParamsF32* params);

/// w must be a constant s8 tensor, symmetric per tensor or along `axis`, without the value -128 (two of its products
/// with -128 leave s16).
Status check_weights_s8(const Node& node, const TensorInfo& w, int axis = 0);

/// w must be a constant: f32, or s8 quantised per tensor, along `axis` or by groups.
Status check_weights_f32(const Node& node, const TensorInfo& w, int axis);

/// out[i] = f32(w[i] - zero_point) * scale for an s8 constant that check_weights_f32 has passed; f32 is copied.
void dequantize_weights(const TensorInfo& w, f32* out);
/// The values of such a constant in f32: where they are, or dequantized into `expanded`. Null when memory is short.
const f32* weights_as_f32(const TensorInfo& w, AlignedBuffer* expanded);

}  // namespace whit::ops
