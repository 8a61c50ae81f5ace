#pragma once
// s32 accumulators and their way to s8 on AVX-512 (F, BW, VL, DQ). For files named avx512*.cc alone: everything is
// local to the file that includes it.

#include <immintrin.h>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Int = __m512i;
  using Float = __m512;
  static constexpr int kLanes = 16;
  /// The *_first functions cost no more than the plain ones.
  static constexpr bool kMasked = true;

  WHIT_INLINE static Int load(const s32* p) { return _mm512_loadu_si512(p); }
  WHIT_INLINE static Float load(const f32* p) { return _mm512_loadu_ps(p); }
  WHIT_INLINE static Float load_first(const f32* p, int count) { return _mm512_maskz_loadu_ps(mask(count), p); }
  WHIT_INLINE static Int load_s8(const s8* p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)); }
  WHIT_INLINE static Int load_s8_first(const s8* p, int count) {
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask(count), p));
  }
  WHIT_INLINE static void store(s32* p, Int x) { _mm512_storeu_si512(p, x); }
  WHIT_INLINE static void store(f32* p, Float x) { _mm512_storeu_ps(p, x); }
  WHIT_INLINE static void store_first(s32* p, Int x, int count) { _mm512_mask_storeu_epi32(p, mask(count), x); }
  WHIT_INLINE static void store_first(f32* p, Float x, int count) { _mm512_mask_storeu_ps(p, mask(count), x); }
  WHIT_INLINE static void store_s8(s8* p, Int x) { _mm_storeu_si128((__m128i*)p, _mm512_cvtsepi32_epi8(x)); }
  WHIT_INLINE static void store_s8_first(s8* p, Int x, int count) {
    _mm_mask_storeu_epi8(p, mask(count), _mm512_cvtsepi32_epi8(x));
  }

  WHIT_INLINE static Int broadcast(s32 x) { return _mm512_set1_epi32(x); }
  WHIT_INLINE static Float broadcast(f32 x) { return _mm512_set1_ps(x); }
  WHIT_INLINE static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  WHIT_INLINE static Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  WHIT_INLINE static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  WHIT_INLINE static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  /// t > x ? t : x and t < x ? t : x, which is what the instructions do.
  /// In their masked form, since GCC 12 warns of the undefined operand inside the plain one.
  WHIT_INLINE static Float max(Float t, Float x) { return _mm512_maskz_max_ps(0xffff, t, x); }
  WHIT_INLINE static Float min(Float t, Float x) { return _mm512_maskz_min_ps(0xffff, t, x); }
  WHIT_INLINE static Float to_float(Int x) { return _mm512_cvtepi32_ps(x); }
  /// To nearest, ties to even: the mode that MXCSR is in.
  WHIT_INLINE static Int round(Float x) { return _mm512_cvtps_epi32(x); }

 private:
  WHIT_INLINE static __mmask16 mask(int count) { return static_cast<__mmask16>((1u << count) - 1); }
};

}  // namespace
}  // namespace whit
