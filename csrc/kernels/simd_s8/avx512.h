#pragma once
// s32 accumulators and their way to s8 on AVX-512 (F, BW, VL, DQ). For files named avx512*.cc alone: everything is
// local to the file that includes it.

// GCC 12 takes the deliberately undefined operands inside its AVX-512 intrinsics for mistakes.
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Int = __m512i;
  using Float = __m512;
  using Bytes = __m512i;
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

  /// What of the clamp of an s8 output is left to do in f32. NaN and what is too small become the smallest s32, which
  /// narrow() takes to its `minimum`.
  WHIT_INLINE static Float bound(Float t, Float, Float maximum) { return min(maximum, t); }
  /// Saturates to s8 and stores 16 bytes of each: x[i] + zero_point, at least minimum.
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], s32 zero_point, s8 minimum, s8) {
    const Int offset = _mm512_set1_epi16(static_cast<s16>(zero_point));
    const Int low = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), offset);
    const Int high = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), offset);
    const Int bytes = _mm512_max_epi8(_mm512_packs_epi16(low, high), _mm512_set1_epi8(minimum));
    return _mm512_permutexvar_epi32(order(), bytes);
  }
  /// What narrow() and narrow_u8() need, in vectors.
  struct Narrowing {
    Int zero_point, minimum, maximum;
  };
  WHIT_INLINE static Narrowing narrowing(s32 zero_point, s8 minimum, s8 maximum) {
    return {_mm512_set1_epi16(static_cast<s16>(zero_point)), _mm512_set1_epi8(minimum), _mm512_set1_epi8(maximum)};
  }
  /// The same with a maximum.
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], const Narrowing& to) {
    const Int low = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), to.zero_point);
    const Int high = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), to.zero_point);
    const Int bytes = _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(low, high), to.minimum), to.maximum);
    return _mm512_permutexvar_epi32(order(), bytes);
  }
  /// The same for minimum == zero_point <= maximum.
  WHIT_INLINE static Narrowing narrowing_u8(s32 zero_point, s8 maximum) {
    return {_mm512_set1_epi8(static_cast<char>(zero_point)), _mm512_setzero_si512(),
            _mm512_set1_epi8(static_cast<char>(maximum - zero_point))};
  }
  WHIT_INLINE static Bytes narrow_u8(const Int (&x)[4], const Narrowing& to) {
    const Int bytes = _mm512_packus_epi16(_mm512_packs_epi32(x[0], x[1]), _mm512_packs_epi32(x[2], x[3]));
    const Int within = _mm512_add_epi8(_mm512_min_epu8(bytes, to.maximum), to.zero_point);
    return _mm512_permutexvar_epi32(order(), within);
  }
  /// The first `count` bytes of x[i] after narrow().
  WHIT_INLINE static void store_part(s8* p, Bytes bytes, int i, int count) {
    switch (i) {
      case 0: return _mm_mask_storeu_epi8(p, mask(count), _mm512_castsi512_si128(bytes));
      case 1: return _mm_mask_storeu_epi8(p, mask(count), _mm512_extracti32x4_epi32(bytes, 1));
      case 2: return _mm_mask_storeu_epi8(p, mask(count), _mm512_extracti32x4_epi32(bytes, 2));
      default: return _mm_mask_storeu_epi8(p, mask(count), _mm512_extracti32x4_epi32(bytes, 3));
    }
  }
  /// The first `count` bytes of x[2 * half] and x[2 * half + 1].
  WHIT_INLINE static void store_half(s8* p, Bytes bytes, int half, int count) {
    const __mmask32 lanes = ~__mmask32{0} >> (32 - count);
    _mm256_mask_storeu_epi8(p, lanes, half ? _mm512_extracti64x4_epi64(bytes, 1) : _mm512_castsi512_si256(bytes));
  }

  WHIT_INLINE static Int broadcast(s32 x) { return _mm512_set1_epi32(x); }
  WHIT_INLINE static Float broadcast(f32 x) { return _mm512_set1_ps(x); }
  WHIT_INLINE static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  WHIT_INLINE static Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  WHIT_INLINE static Int exclusive_or(Int a, Int b) { return _mm512_xor_si512(a, b); }
  WHIT_INLINE static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  WHIT_INLINE static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  WHIT_INLINE static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  /// t > x ? t : x and t < x ? t : x, which is what the instructions do.
  /// In their masked form, since GCC 12 warns of the undefined operand inside the plain one.
  WHIT_INLINE static Float max(Float t, Float x) { return _mm512_maskz_max_ps(0xffff, t, x); }
  WHIT_INLINE static Float min(Float t, Float x) { return _mm512_maskz_min_ps(0xffff, t, x); }
  WHIT_INLINE static Int max(Int a, Int b) { return _mm512_maskz_max_epi32(0xffff, a, b); }
  WHIT_INLINE static bool all_at_most(Float x, f32 limit) {
    return _mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_LE_OQ) == 0xffff;
  }
  WHIT_INLINE static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  WHIT_INLINE static Float float_bits(Int x) { return _mm512_castsi512_ps(x); }
  WHIT_INLINE static Float to_float(Int x) { return _mm512_cvtepi32_ps(x); }
  /// To nearest, ties to even: the mode that MXCSR is in.
  WHIT_INLINE static Int round(Float x) { return _mm512_cvtps_epi32(x); }

  WHIT_INLINE static void settle(Int& x) { __asm__("" : "+v"(x)); }

 private:
  /// Back from where the instructions that narrow put their operands.
  WHIT_INLINE static Int order() { return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); }
  WHIT_INLINE static __mmask16 mask(int count) { return static_cast<__mmask16>((1u << count) - 1); }
};

}  // namespace
}  // namespace whit
