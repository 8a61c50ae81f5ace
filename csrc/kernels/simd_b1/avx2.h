#pragma once
// Comparisons to bits on AVX2. For files named avx2.cc alone.

#include <immintrin.h>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

/// Bit i of `below` is 1 where a < b in lane i, of four vectors of 32 bits or one of bytes. Nothing is below a NaN, and
/// a NaN below nothing.
struct Bits {
  using Word = u32;

  WHIT_INLINE static Word below(const __m256i (&a)[4], const __m256i (&b)[4]) {
    return bits(_mm256_cmpgt_epi32(b[0], a[0]), _mm256_cmpgt_epi32(b[1], a[1]), _mm256_cmpgt_epi32(b[2], a[2]),
                _mm256_cmpgt_epi32(b[3], a[3]));
  }
  WHIT_INLINE static Word below(const __m256 (&a)[4], const __m256 (&b)[4]) {
    return bits(less(a[0], b[0]), less(a[1], b[1]), less(a[2], b[2]), less(a[3], b[3]));
  }
  WHIT_INLINE static Word below(__m256i a, __m256i b) {
    return static_cast<Word>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(b, a)));
  }

 private:
  WHIT_INLINE static __m256i less(__m256 a, __m256 b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
  WHIT_INLINE static Word bits(__m256i m0, __m256i m1, __m256i m2, __m256i m3) {
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(m0, m1), _mm256_packs_epi32(m2, m3));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // back from where these put their operands
    return static_cast<Word>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
  }
};

}  // namespace
}  // namespace whit
