// AVX-512F: 32 registers. 1 x 80 reads its x as operands of FMA, 4 x 80 holds 20 accumulators, 5 vectors of x and a
// broadcast, 8 x 48 holds 24 and 3.

#include "kernels/simd_f32/avx512.h"

#include "kernels/spmm_f32/broadcast.inc"

namespace whit::spmm_f32 {
namespace {

/// In masked forms, since GCC 12 warns of the undefined operands inside the plain ones.
WHIT_INLINE __m512 gather(const f32* x, const u16* at) {
  const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, places), x, 4);
}

WHIT_INLINE __m512 where(__m512 w, __m512 x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_NEQ_UQ), x);
}

}  // namespace
}  // namespace whit::spmm_f32

#include "kernels/spmm_f32/rows.inc"

namespace whit::spmm_f32 {

void spmm_f32_1x80_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<1, 5, 128>(args, n_begin, n_end, pixels);
}

void spmm_f32_1x32_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<1, 2, 256>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x80_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<4, 5, 128>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x48_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  if (pixels == 1) return column_of_8(args, n_begin, n_end);
  strip<8, 3, 192>(args, n_begin, n_end, pixels);
}

void spmm_f32_16x1_avx512vnni(const Args& args, isize n_begin, isize n_end, isize) { column<1>(args, n_begin, n_end); }

void finish_avx512vnni(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                       const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
