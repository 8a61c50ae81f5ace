#pragma once
// 32 channels of s8 in registers of 256 bits, for interleaved.h. Include a file that defines Vector before; load(),
// zero() and dot4(), in which instruction sets differ, are missing.

#include "kernels/simd_s8/epilogue.h"
#include "kernels/simd_s8/partial.h"

namespace whit {
namespace {

struct Channels32 {
  static constexpr int kChannels = 32, kAccumulators = 8, kPixels = 1;
  using Bytes = __m256i;
  using Int = __m256i;
  using Float = __m256;

  using Mask = int;
  WHIT_INLINE static Mask mask(int count) { return count; }
  WHIT_INLINE static Bytes load_bytes(const s8* p, int count) {
    if (count == kChannels) return _mm256_loadu_si256((const __m256i*)p);
    return _mm256_set_m128i(count > 16 ? load_first_16(p + 16, count - 16) : _mm_setzero_si128(),
                            load_first_16(p, count));
  }
  WHIT_INLINE static void keep(Bytes& x) { __asm__("" : "+x"(x)); }
  WHIT_INLINE static void unpack(const Bytes (&taps)[4], Bytes (&vectors)[4]) {
    const Bytes low01 = _mm256_unpacklo_epi8(taps[0], taps[1]), high01 = _mm256_unpackhi_epi8(taps[0], taps[1]);
    const Bytes low23 = _mm256_unpacklo_epi8(taps[2], taps[3]), high23 = _mm256_unpackhi_epi8(taps[2], taps[3]);
    vectors[0] = _mm256_unpacklo_epi16(low01, low23);
    vectors[1] = _mm256_unpackhi_epi16(low01, low23);
    vectors[2] = _mm256_unpacklo_epi16(high01, high23);
    vectors[3] = _mm256_unpackhi_epi16(high01, high23);
  }
  WHIT_INLINE static Bytes load_operand(const s8* p) { return _mm256_load_si256((const __m256i*)p); }
  WHIT_INLINE static void store_operand(s8* p, Bytes x) { _mm256_store_si256((__m256i*)p, x); }

  WHIT_INLINE static Int load(const s32* p) { return _mm256_load_si256((const __m256i*)p); }
  WHIT_INLINE static Float load(const f32* p) { return _mm256_load_ps(p); }
  WHIT_INLINE static Float to_float(Int x) { return _mm256_cvtepi32_ps(x); }
  WHIT_INLINE static Float float_bits(Int x) { return _mm256_castsi256_ps(x); }
  WHIT_INLINE static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  WHIT_INLINE static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  WHIT_INLINE static Int round(Float x) { return _mm256_cvtps_epi32(x); }
  struct Narrowing {
    WHIT_INLINE Narrowing(const Epilogue& to)
        : zero_point(_mm256_set1_epi16(static_cast<s16>(to.spec.zero_point))),
          minimum(_mm256_set1_epi8(to.minimum)),
          maximum(_mm256_set1_epi8(to.maximum)),
          relu_zero_point(_mm256_set1_epi8(static_cast<s8>(to.spec.zero_point))),
          relu_maximum(_mm256_sub_epi8(maximum, relu_zero_point)) {}
    Bytes zero_point, minimum, maximum, relu_zero_point, relu_maximum;
  };
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], const Narrowing& to) {
    const Int low = _mm256_adds_epi16(_mm256_packs_epi32(x[0], x[1]), to.zero_point);
    const Int high = _mm256_adds_epi16(_mm256_packs_epi32(x[2], x[3]), to.zero_point);
    return _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(low, high), to.minimum), to.maximum);
  }
  WHIT_INLINE static Bytes narrow_relu(const Int (&x)[4], const Narrowing& to) {
    const Int bytes = _mm256_packus_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]));
    return _mm256_add_epi8(_mm256_min_epu8(bytes, to.relu_maximum), to.relu_zero_point);
  }
  WHIT_INLINE static void store(s8* p, Bytes x, int count) {
    if (count == kChannels) return _mm256_storeu_si256((__m256i*)p, x);
    const __m128i low = _mm256_castsi256_si128(x);
    if (count < 16) return store_first_16(p, low, count);
    _mm_storeu_si128((__m128i*)p, low);
    if (count > 16) store_first_16(p + 16, _mm256_extracti128_si256(x, 1), count - 16);
  }

 private:
  WHIT_INLINE static __m128i load_first_16(const s8* p, int count) {
    if (count >= 16) return _mm_loadu_si128((const __m128i*)p);
    if (count < 8) return _mm_cvtsi64_si128(static_cast<s64>(load_first_u64(p, count)));
    const __m128i low = _mm_loadl_epi64((const __m128i*)p);
    return count == 8 ? low : _mm_insert_epi64(low, static_cast<s64>(load_first_u64(p + 8, count - 8)), 1);
  }
  WHIT_INLINE static void store_first_16(s8* p, __m128i x, int count) {
    const u64 low = static_cast<u64>(_mm_cvtsi128_si64(x));
    if (count <= 8) return store_first_u64(p, low, count);
    store_first_u64(p, low, 8);
    store_first_u64(p + 8, static_cast<u64>(_mm_extract_epi64(x, 1)), count - 8);
  }
};

}  // namespace
}  // namespace whit
