// AVX2 + FMA: 16 registers, so the weights are memory operands. The long sums of 5x5 want more than four side by side:
// two FMA a cycle have a latency of 4.

#include "kernels/simd_f32/avx2.h"

#include "kernels/dwconv_f32/tile.inc"

namespace whit::dwconv_f32 {

void dwconv_f32_3x3s1_avx2(const Args& args, isize row_begin, isize row_end) {
  tiles<3, 1, 2, 4>(args, row_begin, row_end);
}

void dwconv_f32_3x3s2_avx2(const Args& args, isize row_begin, isize row_end) {
  tiles<3, 2, 1, 4>(args, row_begin, row_end);
}

void dwconv_f32_5x5s1_avx2(const Args& args, isize row_begin, isize row_end) {
  tiles<5, 1, 1, 7>(args, row_begin, row_end);
}

void dwconv_f32_5x5s2_avx2(const Args& args, isize row_begin, isize row_end) {
  tiles<5, 2, 1, 7>(args, row_begin, row_end);
}

void dwconv_f32_any_avx2(const Args& args, isize row_begin, isize row_end) { any(args, row_begin, row_end); }

}  // namespace whit::dwconv_f32
