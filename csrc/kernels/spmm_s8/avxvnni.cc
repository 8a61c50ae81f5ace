// AVX-VNNI, which is AVX2 with vpdpbusd.

#include "kernels/simd_s8/avx2.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfTile = 8, kChains = 2;

WHIT_INLINE Int load_fours(const s8* p) { return _mm256_loadu_si256((const __m256i*)p); }
WHIT_INLINE Int broadcast_fours(const s8* w) { return Vector::broadcast(load_as<s32>(w)); }
WHIT_INLINE Int dot(Int acc, Int x, Int w) { return _mm256_dpbusd_avx_epi32(acc, x, w); }

WHIT_INLINE Int unpack_low(Int a, Int b) { return _mm256_unpacklo_epi8(a, b); }
WHIT_INLINE Int unpack_low_s16(Int a, Int b) { return _mm256_unpacklo_epi16(a, b); }
WHIT_INLINE Int unpack_high_s16(Int a, Int b) { return _mm256_unpackhi_epi16(a, b); }
WHIT_INLINE Int spread(const s8* p) {
  const Int bytes = _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i*)p));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 2, 4, 4, 1, 3, 4, 4));
}

template <int kScale>
WHIT_INLINE Int gather(const s8* x, const u8* places) {
  return _mm256_i32gather_epi32((const int*)x, _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)places)), kScale);
}
WHIT_INLINE Int first_bytes(const s8* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)); }

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/fours.h"
#include "kernels/spmm_s8/quads.h"
#include "kernels/spmm_s8/x86_column.h"

namespace whit::spmm_s8 {

void spmm_s8s8s32_1x4_avxvnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_4x1_avxvnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Quads<1>>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_column_avxvnni(const Args& args, isize n_begin, isize n_end, isize) {
  column<Column<4>>(args, n_begin, n_end);
}

void spmm_s8s8s32_1x1_column_avxvnni(const Args& args, isize n_begin, isize n_end, isize) {
  column<Column<1>>(args, n_begin, n_end);
}

}  // namespace whit::spmm_s8
