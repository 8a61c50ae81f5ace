// The reference: vectors of one, multiply and add rounded apart.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Register = f32;
  static constexpr int kLanes = 1;

  static Register load(const f32* p) { return *p; }
  static void store(f32* p, Register r) { *p = r; }
  static Register load_first(const f32* p, int) { return *p; }
  static void store_first(f32* p, Register r, int) { *p = r; }
  static Register broadcast(f32 x) { return x; }
  static Register fma(Register a, Register b, Register c) { return a * b + c; }
  static Register mul(Register a, Register b) { return a * b; }
  static Register add(Register a, Register b) { return a + b; }
  static Register max(Register t, Register x) { return x > t ? x : t; }
  static Register min(Register t, Register x) { return x < t ? x : t; }
};

}  // namespace
}  // namespace whit

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
  strip<1, 4, 256>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x4_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<4, 4, 256>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x2_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  if (pixels == 1) return column_of_8(args, n_begin, n_end);
  strip<8, 2, 256>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x1_scalar(const Args& args, isize n_begin, isize n_end, isize) { column<4>(args, n_begin, n_end); }

void finish_scalar(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                   const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
