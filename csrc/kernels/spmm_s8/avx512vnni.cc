// AVX512-VNNI. vpdpbusd adds four products to each of 16 sums.

#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/simd_s8/partial.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfTile = 4, kChains = 2;

WHIT_INLINE Int load_fours(const s8* p) { return _mm512_loadu_si512(p); }
WHIT_INLINE Int broadcast_fours(const s8* w) { return Vector::broadcast(load_as<s32>(w)); }
WHIT_INLINE Int dot(Int acc, Int x, Int w) { return _mm512_dpbusd_epi32(acc, x, w); }

WHIT_INLINE Int unpack_low(Int a, Int b) { return _mm512_unpacklo_epi8(a, b); }
WHIT_INLINE Int unpack_high(Int a, Int b) { return _mm512_unpackhi_epi8(a, b); }
template <int kLane>
WHIT_INLINE void store_lane(s8* p, Int bytes) {
  _mm_storeu_si128((__m128i*)p, _mm512_extracti32x4_epi32(bytes, kLane));
}

WHIT_INLINE Int unpack_low_s16(Int a, Int b) { return _mm512_unpacklo_epi16(a, b); }
WHIT_INLINE Int unpack_high_s16(Int a, Int b) { return _mm512_unpackhi_epi16(a, b); }
WHIT_INLINE Int spread(const s8* p) {
  const Int bytes = _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i*)p));
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 8, 1, 5, 8, 8, 2, 6, 8, 8, 3, 7, 8, 8), bytes);
}

/// Lane i of all vectors becomes vector i, of 4 x 4 lanes of 128 bits.
WHIT_INLINE void transpose_lanes(Int& a, Int& b, Int& c, Int& d) {
  const Int ab0 = _mm512_shuffle_i32x4(a, b, 0x44), ab1 = _mm512_shuffle_i32x4(a, b, 0xee);
  const Int cd0 = _mm512_shuffle_i32x4(c, d, 0x44), cd1 = _mm512_shuffle_i32x4(c, d, 0xee);
  a = _mm512_shuffle_i32x4(ab0, cd0, 0x88), b = _mm512_shuffle_i32x4(ab0, cd0, 0xdd);
  c = _mm512_shuffle_i32x4(ab1, cd1, 0x88), d = _mm512_shuffle_i32x4(ab1, cd1, 0xdd);
}

/// 16 x 16.
WHIT_INLINE void transpose(Int (&v)[16]) {
  WHIT_UNROLL for (int i = 0; i < 16; i += 4) {
    const Int a = _mm512_unpacklo_epi32(v[i], v[i + 1]), b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    const Int c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
    v[i] = _mm512_unpacklo_epi64(a, c), v[i + 1] = _mm512_unpackhi_epi64(a, c);
    v[i + 2] = _mm512_unpacklo_epi64(b, d), v[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  Int t[16];
  WHIT_UNROLL for (int i = 0; i < 4; ++i) {
    transpose_lanes(v[i], v[i + 4], v[i + 8], v[i + 12]);
    WHIT_UNROLL for (int j = 0; j < 4; ++j) t[4 * j + i] = v[i + 4 * j];
  }
  WHIT_UNROLL for (int i = 0; i < 16; ++i) v[i] = t[i];
}

// In masked forms, since GCC 12 warns of the undefined operands inside the plain ones.
WHIT_INLINE Int widen(const void* bytes) {
  return _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i*)bytes));
}
template <int kScale>
WHIT_INLINE Int gather(const s8* x, const u8* places) {
  return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff, widen(places), x, kScale);
}
WHIT_INLINE Int first_bytes(const s8* p) { return widen(p); }

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/fours.h"
#include "kernels/spmm_s8/quads.h"
#include "kernels/spmm_s8/x86_column.h"
#include "kernels/spmm_s8/x86_lines.h"
#include "kernels/spmm_s8/x86_store.h"

namespace whit::spmm_s8 {

void spmm_s8s8s32_1x4_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_4x1_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Quads<2>>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_column_avx512vnni(const Args& args, isize n_begin, isize n_end, isize) {
  column<Column<4>>(args, n_begin, n_end);
}

void spmm_s8s8s32_1x1_column_avx512vnni(const Args& args, isize n_begin, isize n_end, isize) {
  column<Column<1>>(args, n_begin, n_end);
}

void spmm_lines_avx512vnni(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                           isize line_stride) {
  constexpr isize kSide = 16, kDeep = 64;  // pixels, and channels of as many lines
  const isize whole = form.channels == 4 ? k / kDeep * kDeep : 0;
  const Int sign = Vector::broadcast(static_cast<s32>(0x80808080));
  for (isize p = 0; p < count && whole > 0; p += kSide) {
    const s8* row[kSide];
    for (isize i = 0; i < kSide; ++i) row[i] = row_values(rows, begin + (p + i < count ? p + i : count - 1));
    s8* line = lines + p * form.channels;
    for (isize channel = 0; channel < whole; channel += kDeep) {
      Int v[kSide];
      WHIT_UNROLL for (isize i = 0; i < kSide; ++i) v[i] =
          Vector::exclusive_or(_mm512_loadu_si512(row[i] + channel), sign);
      transpose(v);
      WHIT_UNROLL for (isize i = 0; i < kSide; ++i, line += line_stride) _mm512_storeu_si512(line, v[i]);
    }
  }
  if (whole == k) return;
  const Rows rest{rows.base + whole, rows.row_stride, rows.offsets, rows.pad ? rows.pad + whole : nullptr};
  lines_of_form<Tile>(form, rest, begin, count, k - whole, lines + whole / form.channels * line_stride, line_stride);
}

void spmm_store_avx512vnni(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                           const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row) {
  store_rows(acc, acc_stride, n_begin, n_end, pixels, epilogue, out, out_stride, first_row);
}

}  // namespace whit::spmm_s8
