// AVX512-VNNI. vpdpbusd multiplies u8 with s8: the input is the u8 operand, as x + 128 (one XOR when it is
// interleaved), which the packed bias takes off again.

#include "kernels/simd_s8/avx512.h"

namespace whit {
namespace {

struct Interleave {
  static constexpr int kChannels = 64;
  using Bytes = __m512i;
  using Operand = __m512i;

  WHIT_INLINE static Bytes load(const s8* p, int count) {
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(~__mmask64{0} >> (64 - count), p), zero());
  }
  WHIT_INLINE static Bytes zero() { return _mm512_set1_epi8(static_cast<char>(128)); }

  /// Unpacking works within 16 channels: pairs of taps, then fours of 4 channels, which are stored in order.
  WHIT_INLINE static void store(const Bytes (&taps)[4], s8* p, int count) {
    const Bytes low01 = _mm512_unpacklo_epi8(taps[0], taps[1]), high01 = _mm512_unpackhi_epi8(taps[0], taps[1]);
    const Bytes low23 = _mm512_unpacklo_epi8(taps[2], taps[3]), high23 = _mm512_unpackhi_epi8(taps[2], taps[3]);
    const Bytes fours[4] = {_mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                            _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
    WHIT_UNROLL for (int i = 0; i < 4; ++i) _mm_store_si128((__m128i*)(p + 16 * i), _mm512_castsi512_si128(fours[i]));
    if (count <= 16) return;
    WHIT_UNROLL for (int i = 0; i < 4; ++i)
        _mm_store_si128((__m128i*)(p + 64 + 16 * i), _mm512_extracti32x4_epi32(fours[i], 1));
    if (count <= 32) return;
    WHIT_UNROLL for (int i = 0; i < 4; ++i)
        _mm_store_si128((__m128i*)(p + 128 + 16 * i), _mm512_extracti32x4_epi32(fours[i], 2));
    if (count <= 48) return;
    WHIT_UNROLL for (int i = 0; i < 4; ++i)
        _mm_store_si128((__m128i*)(p + 192 + 16 * i), _mm512_extracti32x4_epi32(fours[i], 3));
  }

  WHIT_INLINE static Operand operand(const s8* p) { return _mm512_load_si512(p); }
  WHIT_INLINE static __m512i dot4(__m512i acc, Operand x, __m512i w) { return _mm512_dpbusd_epi32(acc, x, w); }
};

}  // namespace
}  // namespace whit

#include "kernels/dwconv_s8/interleaved.h"

namespace whit::dwconv_s8 {

void dwconv_s8_3x3s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Square<3, 1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Square<3, 2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Square<5, 1, 4>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Square<5, 2, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_avx512vnni(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
