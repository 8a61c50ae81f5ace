#pragma once
// Pixels to lines on x86. Include an ISA's intrinsics before.

#include "kernels/spmm_s8/lines.h"

namespace whit::spmm_s8 {
namespace {

struct Tile {
  using Bytes = __m128i;

  WHIT_INLINE static Bytes load(const s8* p) { return _mm_loadu_si128((const __m128i*)p); }
  WHIT_INLINE static Bytes load_first(const s8* p, isize count) {
    const u64 low = load_first_u64(p, count < 8 ? count : 8), high = count > 8 ? load_first_u64(p + 8, count - 8) : 0;
    return _mm_set_epi64x(static_cast<s64>(high), static_cast<s64>(low));
  }
  WHIT_INLINE static void store(s8* p, Bytes v, u8 offset) {
    _mm_storeu_si128((__m128i*)p, _mm_xor_si128(v, _mm_set1_epi8(static_cast<char>(offset))));
  }
  WHIT_INLINE static void store_s16(s8* p, Bytes v) { _mm256_storeu_si256((__m256i*)p, _mm256_cvtepi8_epi16(v)); }

  /// Each step doubles how many pixels' values lie together.
  template <int kChannels>
  WHIT_INLINE static void transpose(Bytes (&v)[16]) {
    constexpr int kSide = 16 / kChannels;  // pixels, and lines, of a square
    Bytes lines[16];
    WHIT_UNROLL for (int part = 0; part < kChannels; ++part) {
      Bytes a[kSide], b[kSide];
      WHIT_UNROLL for (int i = 0; i < kSide; ++i) a[i] = v[part * kSide + i];
      WHIT_UNROLL for (int width = 1; width < kSide; width *= 2) {
        WHIT_UNROLL for (int i = 0; i < kSide / 2; ++i) {
          b[2 * i] = low<kChannels>(a[i], a[i + kSide / 2]);
          b[2 * i + 1] = high<kChannels>(a[i], a[i + kSide / 2]);
        }
        WHIT_UNROLL for (int i = 0; i < kSide; ++i) a[i] = b[i];
      }
      WHIT_UNROLL for (int i = 0; i < kSide; ++i) lines[i * kChannels + part] = a[i];
    }
    WHIT_UNROLL for (int i = 0; i < 16; ++i) v[i] = lines[i];
  }

 private:
  template <int kBytes>
  WHIT_INLINE static Bytes low(Bytes a, Bytes b) {
    return kBytes == 1 ? _mm_unpacklo_epi8(a, b) : kBytes == 2 ? _mm_unpacklo_epi16(a, b) : _mm_unpacklo_epi32(a, b);
  }
  template <int kBytes>
  WHIT_INLINE static Bytes high(Bytes a, Bytes b) {
    return kBytes == 1 ? _mm_unpackhi_epi8(a, b) : kBytes == 2 ? _mm_unpackhi_epi16(a, b) : _mm_unpackhi_epi32(a, b);
  }
};

}  // namespace
}  // namespace whit::spmm_s8
