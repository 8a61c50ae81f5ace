// The reference: vectors of one, multiply and add rounded apart.

#include "kernels/simd_f32/single.h"

#include "kernels/spmm_f32/broadcast.inc"

namespace whit::spmm_f32 {
namespace {

WHIT_INLINE f32 gather(const f32* x, const u16* at) { return x[*at]; }
WHIT_INLINE f32 where(f32 w, f32 x) { return w != 0 ? x : 0; }

}  // namespace
}  // namespace whit::spmm_f32

#include "kernels/spmm_f32/rows.inc"

namespace whit::spmm_f32 {

void spmm_f32_1x4_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 4, 256, 4>>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x4_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<4, 4, 256>>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x2_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  using Of8 = Shape<8, 2, 256>;
  if (pixels == 1) return column_of_8<Of8>(args, n_begin, n_end);
  strip<Of8>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x1_scalar(const Args& args, isize n_begin, isize n_end, isize) { column<4>(args, n_begin, n_end); }

void finish_scalar(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                   const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
