// AVX-512F: 32 registers. Two FMA a cycle of latency 4 want eight sums or more side by side, and the schedulers do not
// reach far enough to find them in the next tile.

#include "kernels/simd_f32/avx512.h"

#include "kernels/dwconv_f32/tile.inc"

namespace whit::dwconv_f32 {

void dwconv_f32_3x3s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  // Tiles of 7 columns divide the images at the end of most networks and read fewer pixels twice, which come from L2
  // there. In larger images, from farther away, narrow tiles are faster.
  if (args.geometry.out_w <= 14) {
    tiles<3, 1, 2, 7>(args, row_begin, row_end);
  } else {
    tiles<3, 1, 2, 4>(args, row_begin, row_end);
  }
}

void dwconv_f32_3x3s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  tiles<3, 2, 2, 4>(args, row_begin, row_end);
}

void dwconv_f32_5x5s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  tiles<5, 1, 2, 7>(args, row_begin, row_end);
}

void dwconv_f32_5x5s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  tiles<5, 2, 2, 7>(args, row_begin, row_end);
}

void dwconv_f32_any_avx512vnni(const Args& args, isize row_begin, isize row_end) { any(args, row_begin, row_end); }

}  // namespace whit::dwconv_f32
