#pragma once
// What winograd_f32 and winograd_s8 share: tiles of T x T outputs, each of which reads (T + 2) x (T + 2) inputs.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::winograd {

/// Sizes in pixels. Images follow one another; so do their tiles: [images][tiles_h][tiles_w].
struct Geometry {
  isize in_h, in_w, in_channels, pad_top, pad_left, out_h, out_w, out_channels;
};

// Local to each file: code compiled with an ISA's flags must not be visible to the linker elsewhere.
namespace {

template <int T>
struct Tile {
  const Geometry& g;
  isize image, y, x;  ///< where the first output is
  isize pixel;        ///< the first output among those of all images
  int rows, columns;  ///< outputs that lie in the image

  WHIT_INLINE Tile(const Geometry& geometry, isize tile) : g(geometry) {
    const isize down = (g.out_h + T - 1) / T, across = (g.out_w + T - 1) / T;
    image = tile / (down * across), y = tile / across % down * T, x = tile % across * T;
    pixel = (image * g.out_h + y) * g.out_w + x;
    rows = static_cast<int>(g.out_h - y < T ? g.out_h - y : T);
    columns = static_cast<int>(g.out_w - x < T ? g.out_w - x : T);
  }

  /// Where the pixels that it reads begin in `in`, or else `outside`.
  template <class Element>
  WHIT_INLINE void find_pixels(const Element* in, const Element* outside,
                               const Element* (&pixels)[T + 2][T + 2]) const {
    in += image * g.in_h * g.in_w * g.in_channels;
    for (int i = 0; i < T + 2; ++i) {
      const isize in_y = y + i - g.pad_top;
      for (int j = 0; j < T + 2; ++j) {
        const isize in_x = x + j - g.pad_left;
        const bool inside = in_y >= 0 && in_y < g.in_h && in_x >= 0 && in_x < g.in_w;
        pixels[i][j] = inside ? in + (in_y * g.in_w + in_x) * g.in_channels : outside;
      }
    }
  }
};

}  // namespace
}  // namespace whit::winograd
