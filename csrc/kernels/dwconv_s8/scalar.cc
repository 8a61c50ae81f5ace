// The reference: portable C++ that every other kernel equals to the bit.

#include "kernels/simd_s8/scalar.h"
#include "kernels/dwconv_s8/taps.h"

namespace whit::dwconv_s8 {

void dwconv_s8_any_scalar(const Args& args, isize row_begin, isize row_end) {
  constexpr isize kLanes = 8;
  const Geometry& g = args.geometry;
  const isize taps = g.kernel_h * g.kernel_w;
  for (isize y = row_begin; y < row_end; ++y) {
    for (isize x = 0; x < g.out_w; ++x) {
      const s8* block = reinterpret_cast<const s8*>(args.packed);
      for (isize channel = 0; channel < g.channels; channel += kLanes) {
        const isize count = g.channels - channel < kLanes ? g.channels - channel : kLanes;
        u32 acc[kLanes];  // unsigned, so that sums too large for s32 wrap as they do in vectors
        for (isize c = 0; c < kLanes; ++c) acc[c] = reinterpret_cast<const u32*>(block)[c];
        const s8* weights = block + kLanes * sizeof(u32);
        Taps pixels(args, y, x);
        for (isize tap = 0; tap < taps; ++tap, weights += kLanes) {
          const s8* pixel = pixels.next() + channel;
          for (isize c = 0; c < count; ++c) acc[c] += static_cast<u32>(pixel[c] * weights[c]);
        }
        for (isize c = 0; c < count; ++c)
          finish(args.epilogue, static_cast<s32>(acc[c]), y * g.out_w + x, channel + c, args.out, args.out_stride);
        block = weights;
      }
    }
  }
}

}  // namespace whit::dwconv_s8
