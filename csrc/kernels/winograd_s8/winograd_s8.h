#pragma once
// 3x3 convolutions of stride 1 on s8, NHWC, by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2016) in integers, exact to the bit. For tiles of 4 x 4 outputs, interpolated at 0,
// +-1, +-2 and infinity:
//     acc[y][x] = bias + (A^T m A)[y][x] / (scale[y] * scale[x])
//     m[i][j] = sum_c (B^T d_c B)[i][j] * (G w_c G^T)[i][j]
// where d_c are the 6 x 6 inputs that the tile reads. All matrices are of integers: rows of G are multiplied with what
// makes them so, which A and the scales 24, 12, 6, 6 undo.
//
// |B^T d B| <= 100 * 128 and |G w G^T| <= 49 * 127 fit in s16. m and all that follows is taken modulo 2^32. The
// division is exact: an odd factor 9 is a multiplication with its inverse modulo 2^32, and a shift drops up to 6 bits.
// What is left is the sum of products modulo 2^26, which is the sum where no input can take it out of [-2^25, 2^25):
// where the magnitudes of each output channel's weights add up to less than 2^18.

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"
#include "kernels/winograd.h"

namespace whit::winograd_s8 {

using winograd::Geometry;

struct Kernel;

/// Every kernel of this build, in order of preference. To walk them, include kernel.h.
std::span<const Kernel> kernels();
/// Pure.
const Kernel& select(IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);

inline constexpr isize kTile = 4;       ///< outputs a tile has in each direction
inline constexpr isize kElements = 36;  ///< of a transformed tile
inline constexpr isize kPanel = 8;      ///< columns of a panel of packed weights
inline constexpr isize kGroup = 8;      ///< transformed channels are filled with zeros up to a multiple of it
inline constexpr isize kColumns = 16;   ///< output channels that are multiplied at a time

isize tiles_per_image(const Geometry& geometry);

/// Weights as the file has them: values[n][3][3][k] in [-127, 127].
struct Rhs {
  const s8* values;
  const s32* bias;  ///< [n], or null for zeros
  isize n, k;
  s32 lhs_zero_point;  ///< folded into the packed bias
};

/// True if no input takes the sums out of what the arithmetic above is exact for.
bool fits(const Rhs& rhs);
std::size_t packed_bytes(isize n, isize k);
/// `packed` is 64-byte aligned and holds packed_bytes(). One layout for all kernels.
void pack(const Rhs& rhs, std::byte* packed);

/// Element e of channel c of the tile that is `row` behind tile_begin is at  e * element_stride + row * row_stride + c.
/// row_stride is in_channels rounded up to a multiple of kGroup. Elements that are an odd multiple of a cache line
/// apart do not meet in the sets of a cache.
struct InputArgs {
  Geometry geometry;
  const s8* in;
  const s8* pad;  ///< in_channels: what pixels outside of the image hold
  s16* out;
  isize row_stride, element_stride;
};

struct OutputArgs {
  Geometry geometry;
  const s16* in;  ///< what transform_input wrote
  isize row_stride, element_stride;
  const std::byte* packed;
  s32* products;        ///< scratch, 64-byte aligned: kElements * kColumns for each tile
  EpilogueS8 epilogue;  ///< residual_stride goes from pixel to pixel; the residual may be the output itself
  void* out;
  isize out_stride;  ///< elements from pixel to pixel
};

/// B^T d B of tiles [tile_begin, tile_end), which may belong to several images. Reads nothing outside of the images and
/// `pad`.
void transform_input(const Kernel& kernel, const InputArgs& args, isize tile_begin, isize tile_end);
/// Output channels [n_begin, n_end) of tiles [tile_begin, tile_end), as far as these lie inside of the image; n_begin
/// is a multiple of kPanel, and so is n_end unless it is the number of channels. `in` begins with tile_begin.
void multiply(const Kernel& kernel, const OutputArgs& args, isize tile_begin, isize tile_end, isize n_begin,
              isize n_end);

}  // namespace whit::winograd_s8
