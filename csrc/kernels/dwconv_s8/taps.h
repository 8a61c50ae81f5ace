#pragma once
// Which input pixels an output pixel needs; local to the file that includes it.

#include "kernels/dwconv_s8/kernel.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::dwconv_s8 {
namespace {

/// Walks the taps of output pixel (y, x) in the order (i, j).
class Taps {
 public:
  Taps(const Args& args, isize y, isize x)
      : args_(args),
        column_(x * args.geometry.stride_w - args.geometry.pad_left),
        iy_(y * args.geometry.stride_h - args.geometry.pad_top),
        ix_(column_) {}

  /// The channels of the next tap's pixel, or the padding's.
  WHIT_INLINE const s8* next() {
    const Geometry& g = args_.geometry;
    const bool inside = iy_ >= 0 && iy_ < g.in_h && ix_ >= 0 && ix_ < g.in_w;
    const s8* pixel = inside ? args_.in + (iy_ * g.in_w + ix_) * g.channels : args_.pad;
    ix_ += g.dilation_w;
    if (++j_ == g.kernel_w) {
      j_ = 0;
      ix_ = column_;
      iy_ += g.dilation_h;
    }
    return pixel;
  }

 private:
  const Args& args_;
  isize column_, iy_, ix_, j_ = 0;
};

}  // namespace
}  // namespace whit::dwconv_s8
