#pragma once
// 3x3 convolutions of stride 1, NHWC, by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2016). For tiles of T x T outputs and E = T + 2:
//     out[y][x] = bias + (A^T m A)[y][x]        m[i][j] = sum_c (B^T d_c B)[i][j] * (G w_c G^T)[i][j]
// where d_c are the E x E inputs that the tile reads. That is E * E products for each channel and tile, and not
// 9 * T * T. They are E * E products of matrices, one an element (i, j), with a row for each tile: gemm_f32.
//
// T = 4 interpolates at 0, +-3/4, +-3/2 and infinity, whose sums are almost as exact as those of the convolution itself
// (Barabasz, Anderson, Soodhalter and Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for
// Deep Neural Networks", 2020, look for such points); T = 2 at 0, +-1 and infinity. docs/NUMERICS.md has the bound.

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"
#include "kernels/winograd.h"

namespace whit::winograd_f32 {

using winograd::Geometry;

struct Kernel;

/// Every kernel of this build, in order of preference. To walk them, include kernel.h.
std::span<const Kernel> kernels();
/// For tiles of `tile` x `tile` outputs, 2 or 4. Pure.
const Kernel& select(isize tile, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);

/// Matrices an image tile has: (tile + 2)^2.
isize elements(const Kernel& kernel);
isize tiles_per_image(const Kernel& kernel, const Geometry& geometry);

/// Rows of the matrices begin on multiples of this many floats.
inline constexpr isize kRowMultiple = 16;

/// G w G^T: out[element][n][k] from values[n][3][3][k], computed in f64 and rounded once.
void transform_filters(const Kernel& kernel, const f32* values, isize n, isize k, f32* out);

/// Element e of the tile that is `row` behind tile_begin is at  e * element_stride + row * row_stride.  Both strides
/// are multiples of kRowMultiple; row_stride holds all channels. Elements that are an odd multiple of kRowMultiple
/// apart do not meet in the sets of a cache.
struct InputArgs {
  Geometry geometry;
  const f32* in;
  const f32* zeros;  ///< in_channels of them (pixels outside of the image)
  f32* out;
  isize row_stride, element_stride;
};
struct OutputArgs {
  Geometry geometry;
  const f32* in;
  isize row_stride, element_stride;
  const f32* bias;       ///< [out_channels]
  EpilogueF32 epilogue;  ///< residual_stride goes from pixel to pixel; the residual may be the output itself
  f32* out;
  isize out_stride;  ///< elements from pixel to pixel
};

/// B^T d B of tiles [tile_begin, tile_end), which may belong to several images. Reads nothing outside of the images and
/// `zeros`; fills rows with zeros up to the next multiple of the vector's lanes.
void transform_input(const Kernel& kernel, const InputArgs& args, isize tile_begin, isize tile_end);
/// The outputs of tiles [tile_begin, tile_end), as far as they lie inside of the image.
void transform_output(const Kernel& kernel, const OutputArgs& args, isize tile_begin, isize tile_end);

}  // namespace whit::winograd_f32
