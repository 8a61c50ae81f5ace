// AVX2, exact: see Vector::dot4 in simd_s8/avx2.h.

#include "kernels/simd_s8/avx2.h"

namespace whit {
namespace {

struct Interleave {
  static constexpr int kChannels = 32;
  using Bytes = __m256i;
  using Operand = Vector::Operand;

  WHIT_INLINE static Bytes load(const s8* p, int count) {
    if (count == kChannels) return _mm256_loadu_si256((const __m256i*)p);
    return _mm256_set_m128i(count > 16 ? load_first_16(p + 16, count - 16) : _mm_setzero_si128(),
                            load_first_16(p, count));
  }
  WHIT_INLINE static Bytes zero() { return _mm256_setzero_si256(); }

  /// Unpacking works within 16 channels: pairs of taps, then fours of 4 channels, which are stored in order.
  WHIT_INLINE static void store(const Bytes (&taps)[4], s8* p, int count) {
    const Bytes low01 = _mm256_unpacklo_epi8(taps[0], taps[1]), high01 = _mm256_unpackhi_epi8(taps[0], taps[1]);
    const Bytes low23 = _mm256_unpacklo_epi8(taps[2], taps[3]), high23 = _mm256_unpackhi_epi8(taps[2], taps[3]);
    const Bytes fours[4] = {_mm256_unpacklo_epi16(low01, low23), _mm256_unpackhi_epi16(low01, low23),
                            _mm256_unpacklo_epi16(high01, high23), _mm256_unpackhi_epi16(high01, high23)};
    WHIT_UNROLL for (int i = 0; i < 4; ++i) _mm_store_si128((__m128i*)(p + 16 * i), _mm256_castsi256_si128(fours[i]));
    if (count <= 16) return;
    WHIT_UNROLL for (int i = 0; i < 4; ++i)
        _mm_store_si128((__m128i*)(p + 64 + 16 * i), _mm256_extracti128_si256(fours[i], 1));
  }

  WHIT_INLINE static Operand operand(const s8* p) { return Vector::operand(_mm256_load_si256((const __m256i*)p)); }
  WHIT_INLINE static __m256i dot4(__m256i acc, const Operand& x, __m256i w) { return Vector::dot4(acc, x, w); }

 private:
  WHIT_INLINE static __m128i load_first_16(const s8* p, int count) {
    if (count >= 16) return _mm_loadu_si128((const __m128i*)p);
    if (count < 8) return _mm_cvtsi64_si128(static_cast<s64>(load_first_u64(p, count)));
    const __m128i low = _mm_loadl_epi64((const __m128i*)p);
    return count == 8 ? low : _mm_insert_epi64(low, static_cast<s64>(load_first_u64(p + 8, count - 8)), 1);
  }
};

}  // namespace
}  // namespace whit

#include "kernels/dwconv_s8/interleaved.h"

namespace whit::dwconv_s8 {

void dwconv_s8_3x3s1_avx2(const Args& args, isize row_begin, isize row_end) {
  Square<3, 1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_avx2(const Args& args, isize row_begin, isize row_end) {
  Square<3, 2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_avx2(const Args& args, isize row_begin, isize row_end) {
  Square<5, 1, 4>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_avx2(const Args& args, isize row_begin, isize row_end) {
  Square<5, 2, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_avx2(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
