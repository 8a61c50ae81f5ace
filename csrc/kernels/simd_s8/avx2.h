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
  using Bytes = __m256i;
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

  /// What of the clamp of an s8 output is left to do in f32. NaN and what is too small become the smallest s32, which
  /// narrow() takes to its `minimum`.
  WHIT_INLINE static Float bound(Float t, Float, Float maximum) { return min(maximum, t); }
  /// x[i] + zero_point, at least minimum, as s8, 8 bytes of each.
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], s32 zero_point, s8 minimum, s8) {
    const Int offset = _mm256_set1_epi16(static_cast<s16>(zero_point));
    const Int low = _mm256_adds_epi16(_mm256_packs_epi32(x[0], x[1]), offset);
    const Int high = _mm256_adds_epi16(_mm256_packs_epi32(x[2], x[3]), offset);
    const Int bytes = _mm256_max_epi8(_mm256_packs_epi16(low, high), _mm256_set1_epi8(minimum));
    return _mm256_permutevar8x32_epi32(bytes, order());
  }
  /// What narrow() and narrow_u8() need, in vectors.
  struct Narrowing {
    Int zero_point, minimum, maximum;
  };
  WHIT_INLINE static Narrowing narrowing(s32 zero_point, s8 minimum, s8 maximum) {
    return {_mm256_set1_epi16(static_cast<s16>(zero_point)), _mm256_set1_epi8(minimum), _mm256_set1_epi8(maximum)};
  }
  /// The same with a maximum.
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], const Narrowing& to) {
    const Int low = _mm256_adds_epi16(_mm256_packs_epi32(x[0], x[1]), to.zero_point);
    const Int high = _mm256_adds_epi16(_mm256_packs_epi32(x[2], x[3]), to.zero_point);
    const Int bytes = _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(low, high), to.minimum), to.maximum);
    return _mm256_permutevar8x32_epi32(bytes, order());
  }
  /// The same for minimum == zero_point <= maximum.
  WHIT_INLINE static Narrowing narrowing_u8(s32 zero_point, s8 maximum) {
    return {_mm256_set1_epi8(static_cast<char>(zero_point)), _mm256_setzero_si256(),
            _mm256_set1_epi8(static_cast<char>(maximum - zero_point))};
  }
  WHIT_INLINE static Bytes narrow_u8(const Int (&x)[4], const Narrowing& to) {
    const Int bytes = _mm256_packus_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]));
    const Int within = _mm256_add_epi8(_mm256_min_epu8(bytes, to.maximum), to.zero_point);
    return _mm256_permutevar8x32_epi32(within, order());
  }
  /// The first `count` bytes of x[i] after narrow().
  WHIT_INLINE static void store_part(s8* p, Bytes bytes, int i, int count) {
    const __m128i pair = i < 2 ? _mm256_castsi256_si128(bytes) : _mm256_extracti128_si256(bytes, 1);
    if (count < kLanes) {
      store_first_u64(p, static_cast<u64>(i % 2 ? _mm_extract_epi64(pair, 1) : _mm_cvtsi128_si64(pair)), count);
    } else if (i % 2) {
      _mm_storeh_pi((__m64*)p, _mm_castsi128_ps(pair));
    } else {
      _mm_storel_epi64((__m128i*)p, pair);
    }
  }
  /// All bytes of x[2 * half] and x[2 * half + 1].
  WHIT_INLINE static void store_half(s8* p, Bytes bytes, int half, int) {
    _mm_storeu_si128((__m128i*)p, half ? _mm256_extracti128_si256(bytes, 1) : _mm256_castsi256_si128(bytes));
  }

  WHIT_INLINE static Int broadcast(s32 x) { return _mm256_set1_epi32(x); }
  WHIT_INLINE static Float broadcast(f32 x) { return _mm256_set1_ps(x); }
  WHIT_INLINE static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  WHIT_INLINE static Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  WHIT_INLINE static Int exclusive_or(Int a, Int b) { return _mm256_xor_si256(a, b); }
  WHIT_INLINE static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  WHIT_INLINE static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  WHIT_INLINE static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  /// t > x ? t : x and t < x ? t : x, which is what the instructions do.
  WHIT_INLINE static Float max(Float t, Float x) { return _mm256_max_ps(t, x); }
  WHIT_INLINE static Float min(Float t, Float x) { return _mm256_min_ps(t, x); }
  WHIT_INLINE static Int max(Int a, Int b) { return _mm256_max_epi32(a, b); }
  WHIT_INLINE static bool all_at_most(Float x, f32 limit) {
    return _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_LE_OQ)) == 0xff;
  }
  WHIT_INLINE static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  WHIT_INLINE static Float float_bits(Int x) { return _mm256_castsi256_ps(x); }
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

  WHIT_INLINE static void settle(Int& x) { __asm__("" : "+x"(x)); }

 private:
  /// Back from where the instructions that narrow put their operands.
  WHIT_INLINE static Int order() { return _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); }
  WHIT_INLINE static __m256i mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace
}  // namespace whit
