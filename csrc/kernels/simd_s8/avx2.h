#pragma once
// s32 accumulators and their way to s8 on AVX2. For files named avx2.cc alone: everything is local to the file that
// includes it.

#include <immintrin.h>

#include "base/types.h"
#include "kernels/simd_s8/partial.h"

namespace whit {
namespace {

struct Vector {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int kLanes = 8;
  static constexpr bool kMasked = false;

  WHIT_INLINE static Int load(const s32* p) { return _mm256_loadu_si256((const __m256i*)p); }
  WHIT_INLINE static Float load(const f32* p) { return _mm256_loadu_ps(p); }
  WHIT_INLINE static Float load_first(const f32* p, int count) { return _mm256_maskload_ps(p, mask(count)); }
  WHIT_INLINE static Int load_s8(const s8* p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
  WHIT_INLINE static Int load_s8_first(const s8* p, int count) {
    return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(static_cast<s64>(load_first_u64(p, count))));
  }
  WHIT_INLINE static void store(s32* p, Int x) { _mm256_storeu_si256((__m256i*)p, x); }
  WHIT_INLINE static void store(f32* p, Float x) { _mm256_storeu_ps(p, x); }
  WHIT_INLINE static void store_first(s32* p, Int x, int count) { _mm256_maskstore_epi32(p, mask(count), x); }
  WHIT_INLINE static void store_first(f32* p, Float x, int count) { _mm256_maskstore_ps(p, mask(count), x); }
  WHIT_INLINE static void store_s8(s8* p, Int x) { _mm_storel_epi64((__m128i*)p, narrow(x)); }
  WHIT_INLINE static void store_s8_first(s8* p, Int x, int count) {
    store_first_u64(p, static_cast<u64>(_mm_cvtsi128_si64(narrow(x))), count);
  }

  WHIT_INLINE static Int broadcast(s32 x) { return _mm256_set1_epi32(x); }
  WHIT_INLINE static Float broadcast(f32 x) { return _mm256_set1_ps(x); }
  WHIT_INLINE static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  WHIT_INLINE static Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  WHIT_INLINE static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  WHIT_INLINE static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  /// t > x ? t : x and t < x ? t : x, which is what the instructions do.
  WHIT_INLINE static Float max(Float t, Float x) { return _mm256_max_ps(t, x); }
  WHIT_INLINE static Float min(Float t, Float x) { return _mm256_min_ps(t, x); }
  WHIT_INLINE static Float to_float(Int x) { return _mm256_cvtepi32_ps(x); }
  /// To nearest, ties to even: the mode that MXCSR is in.
  WHIT_INLINE static Int round(Float x) { return _mm256_cvtps_epi32(x); }

  /// acc + the four products of each lane's bytes, summed. Exact for w in [-127, 127] and every x: |x| as u8 times w
  /// with x's sign is at most 128 * 127, and two of those fit the s16 that vpmaddubsw saturates at.
  struct Operand {
    Int value, magnitude;
  };
  WHIT_INLINE static Operand operand(Int x) { return {x, _mm256_abs_epi8(x)}; }
  WHIT_INLINE static Int dot4(Int acc, const Operand& x, Int w) {
    const Int pairs = _mm256_maddubs_epi16(x.magnitude, _mm256_sign_epi8(w, x.value));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

 private:
  WHIT_INLINE static __m256i mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  WHIT_INLINE static __m128i narrow(Int x) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return _mm_packs_epi16(words, words);
  }
};

}  // namespace
}  // namespace whit
