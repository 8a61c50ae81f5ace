// ARMv7 NEON with VFPv4: 16 registers, and VFMA has no form that takes a lane. 1 x 32 holds 8 accumulators, 4 x 8 holds
// 8, 2 vectors of x and a broadcast.

#include "kernels/simd_f32/neon32.h"

#include "kernels/spmm_f32/broadcast.inc"

#include "kernels/spmm_f32/neon_column.h"
// after these
#include "kernels/spmm_f32/rows.inc"

namespace whit::spmm_f32 {

void spmm_f32_1x32_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 8, 128>>(args, n_begin, n_end, pixels);
}

void spmm_f32_1x16_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 4, 256, 2>>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x8_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<4, 2, 256>>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x4_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  using Of8 = Shape<8, 1, 256>;
  if (pixels == 1) return column_of_8<Of8>(args, n_begin, n_end);
  strip<Of8>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x1_neon32(const Args& args, isize n_begin, isize n_end, isize) { column<1>(args, n_begin, n_end); }

void finish_neon32(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                   const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
