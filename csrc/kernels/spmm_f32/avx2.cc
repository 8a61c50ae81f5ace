// AVX2 + FMA: 16 registers. 1 x 64 reads its x as operands of FMA, 4 x 24 holds 12 accumulators, 3 vectors of x and a
// broadcast.

#include "kernels/simd_f32/avx2.h"

#include "kernels/spmm_f32/broadcast.inc"

namespace whit::spmm_f32 {
namespace {

WHIT_INLINE __m256 gather(const f32* x, const u16* at) {
  return _mm256_i32gather_ps(x, _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))), 4);
}

WHIT_INLINE __m256 where(__m256 w, __m256 x) {
  return _mm256_and_ps(_mm256_cmp_ps(w, _mm256_setzero_ps(), _CMP_NEQ_UQ), x);
}

}  // namespace
}  // namespace whit::spmm_f32

#include "kernels/spmm_f32/rows.inc"

namespace whit::spmm_f32 {

void spmm_f32_1x64_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 8, 96>>(args, n_begin, n_end, pixels);
}

void spmm_f32_1x24_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 3, 256, 4>>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x24_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<4, 3, 256>>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x8_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  using Of8 = Shape<8, 1, 256>;
  if (pixels == 1) return column_of_8<Of8>(args, n_begin, n_end);
  strip<Of8>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x1_avx2(const Args& args, isize n_begin, isize n_end, isize) { column<1>(args, n_begin, n_end); }

void finish_avx2(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                 const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
