// ARMv7 NEON: 16 registers.

#include "kernels/simd_f32/neon32.h"

#include "kernels/dwconv_f32/tile.inc"

namespace whit::dwconv_f32 {

void dwconv_f32_3x3s1_neon32(const Args& args, isize row_begin, isize row_end) {
  tiles<3, 1, 2, 4>(args, row_begin, row_end);
}

void dwconv_f32_3x3s2_neon32(const Args& args, isize row_begin, isize row_end) {
  tiles<3, 2, 1, 4>(args, row_begin, row_end);
}

void dwconv_f32_5x5s1_neon32(const Args& args, isize row_begin, isize row_end) {
  tiles<5, 1, 1, 4>(args, row_begin, row_end);
}

void dwconv_f32_5x5s2_neon32(const Args& args, isize row_begin, isize row_end) {
  tiles<5, 2, 1, 4>(args, row_begin, row_end);
}

void dwconv_f32_any_neon32(const Args& args, isize row_begin, isize row_end) { any(args, row_begin, row_end); }

}  // namespace whit::dwconv_f32
