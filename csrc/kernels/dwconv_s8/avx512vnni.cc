// AVX512-VNNI. vpdpbusd multiplies u8 with s8: the input is the u8 operand, as x + 128 (one XOR when it is
// interleaved), which the packed bias takes off again. Half registers take what is left of the channels, since they
// have a third port.

#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/dwconv_s8/channels32.h"

namespace whit {
namespace {

struct Wide {
  static constexpr int kChannels = 64, kAccumulators = 16;
  using Bytes = __m512i;
  using Int = __m512i;
  using Float = __m512;

  using Mask = __mmask64;
  WHIT_INLINE static Mask mask(int count) { return ~__mmask64{0} >> (64 - count); }
  WHIT_INLINE static Bytes load(const s8* p, Mask mask) {
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, p), zero());
  }
  WHIT_INLINE static Bytes zero() { return _mm512_set1_epi8(static_cast<char>(128)); }
  WHIT_INLINE static void unpack(const Bytes (&taps)[4], Bytes (&vectors)[4]) {
    const Bytes low01 = _mm512_unpacklo_epi8(taps[0], taps[1]), high01 = _mm512_unpackhi_epi8(taps[0], taps[1]);
    const Bytes low23 = _mm512_unpacklo_epi8(taps[2], taps[3]), high23 = _mm512_unpackhi_epi8(taps[2], taps[3]);
    vectors[0] = _mm512_unpacklo_epi16(low01, low23);
    vectors[1] = _mm512_unpackhi_epi16(low01, low23);
    vectors[2] = _mm512_unpacklo_epi16(high01, high23);
    vectors[3] = _mm512_unpackhi_epi16(high01, high23);
  }
  WHIT_INLINE static Bytes load_operand(const s8* p) { return _mm512_load_si512(p); }
  WHIT_INLINE static void store_operand(s8* p, Bytes x) { _mm512_store_si512(p, x); }
  /// As an instruction: around the intrinsic compilers take the products of one sum, which wait for each other,
  /// together, and all operands into registers before.
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "m"(*reinterpret_cast<const __m512i*>(w)));
    return acc;
  }

  WHIT_INLINE static Int load(const s32* p) { return _mm512_load_si512(p); }
  WHIT_INLINE static Float load(const f32* p) { return _mm512_load_ps(p); }
  WHIT_INLINE static Float to_float(Int x) { return _mm512_cvtepi32_ps(x); }
  WHIT_INLINE static Float float_bits(Int x) { return _mm512_castsi512_ps(x); }
  WHIT_INLINE static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  WHIT_INLINE static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  WHIT_INLINE static Int round(Float x) { return _mm512_cvtps_epi32(x); }
  struct Narrowing {
    Bytes zero_point, minimum, maximum;
  };
  WHIT_INLINE static Narrowing narrowing(s32 zero_point, s8 minimum, s8 maximum) {
    return {_mm512_set1_epi16(static_cast<s16>(zero_point)), _mm512_set1_epi8(minimum), _mm512_set1_epi8(maximum)};
  }
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], const Narrowing& to) {
    const Int low = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), to.zero_point);
    const Int high = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), to.zero_point);
    return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(low, high), to.minimum), to.maximum);
  }
  WHIT_INLINE static void store(s8* p, Bytes x, Mask mask) { _mm512_mask_storeu_epi8(p, mask, x); }
};

struct Half : Channels32 {
  static constexpr int kAccumulators = 16;

  using Mask = __mmask32;
  WHIT_INLINE static Mask mask(int count) { return ~__mmask32{0} >> (32 - count); }
  WHIT_INLINE static Bytes load(const s8* p, Mask mask) {
    return _mm256_xor_si256(_mm256_maskz_loadu_epi8(mask, p), zero());
  }
  using Channels32::load;
  WHIT_INLINE static Bytes zero() { return _mm256_set1_epi8(static_cast<char>(128)); }
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "m"(*reinterpret_cast<const __m256i*>(w)));
    return acc;
  }
  WHIT_INLINE static void store(s8* p, Bytes x, Mask mask) { _mm256_mask_storeu_epi8(p, mask, x); }
};

}  // namespace
}  // namespace whit

#include "kernels/dwconv_s8/sliding.h"

namespace whit::dwconv_s8 {

void dwconv_s8_3x3s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Sliding<1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Sliding<2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Square<5, 1, 4>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Square<5, 2, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_avx512vnni(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
