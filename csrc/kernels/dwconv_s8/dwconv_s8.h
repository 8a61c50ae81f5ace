#pragma once
// Depthwise s8 convolution, NHWC, one filter per channel:
//   acc[y][x][c] = bias[c] + sum_i,j in[y * stride_h + i * dilation_h - pad_top][...][c] * w[c][i][j]
// Taps are summed in the order of (i, j), each output in one accumulator.

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"

namespace whit::dwconv_s8 {

/// One image. Sizes in pixels; channels are contiguous, rows are in_w * channels elements.
struct Geometry {
  isize in_h, in_w, channels;
  isize kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  isize out_h, out_w;
};

struct Kernel;

std::span<const Kernel> kernels();
/// Pure. Only kernel and stride sizes and channels matter, so weights are packed once for all image sizes.
const Kernel& select(const Geometry& geometry, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);

struct Rhs {
  const s8* values;  ///< [channels][kernel_h * kernel_w]
  const s32* bias;   ///< [channels], or null
  isize channels, taps;
  s32 lhs_zero_point;  ///< folded into the packed bias
};

std::size_t packed_bytes(const Kernel& kernel, isize channels, isize taps);
/// `packed` is 64-byte aligned and holds packed_bytes().
void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed);

struct Args {
  Geometry geometry;
  const s8* in;
  const s8* pad;  ///< [channels]: what padding pixels hold
  const std::byte* packed;
  EpilogueS8 epilogue;  ///< residual_stride and out_stride go from pixel to pixel; scale is [channels]
  void* out;
  isize out_stride;
};

/// Computes output rows [row_begin, row_end). Reads nothing outside in[in_h][in_w][channels] and pad[channels].
void run(const Kernel& kernel, const Args& args, isize row_begin, isize row_end);

}  // namespace whit::dwconv_s8
