#pragma once
// Codes of few.h and lanes of grouped_rows.h in registers of AVX2. For files compiled for it alone.

#include "kernels/gemm_w4/kernel.h"
#include "kernels/simd_s8/avx2.h"

namespace whit::gemm_w4 {
namespace {

struct Codes {
  using Block = __m256i;
  static constexpr isize kBlock = 32;

  WHIT_INLINE static Block load(const u8* p) { return _mm256_loadu_si256((const __m256i*)p); }
  WHIT_INLINE static void store(u8* p, Block x) { _mm256_storeu_si256((__m256i*)p, x); }
  WHIT_INLINE static Block table(const u8* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)p));
  }
  WHIT_INLINE static Block lookup(Block table, Block codes) { return _mm256_shuffle_epi8(table, codes); }

  template <int kBits>
  WHIT_INLINE static void unpack(Block block, Block (&parts)[8 / kBits]) {
    const Block mask = _mm256_set1_epi8((1 << kBits) - 1);
    WHIT_UNROLL for (int i = 0; i < 8 / kBits; ++i) parts[i] =
        _mm256_and_si256(i ? _mm256_srli_epi16(block, i * kBits) : block, mask);
  }
};

struct Lanes : Vector {
  static constexpr int kRows = 3;
  /// Shifted to the place of an f32's bits, a finite f16 is 2^112 times too small. (AVX2 does not promise F16C.)
  WHIT_INLINE static Float load_f16(const u16* p) {
    const Int bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
    const Int magnitude = _mm256_slli_epi32(_mm256_and_si256(bits, broadcast(0x7fff)), 13);
    const Int sign = _mm256_slli_epi32(_mm256_and_si256(bits, broadcast(0x8000)), 16);
    return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_or_si256(magnitude, sign)), broadcast(0x1p112f));
  }
};

}  // namespace
}  // namespace whit::gemm_w4
