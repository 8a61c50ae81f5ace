#include <immintrin.h>

#include "kernels/lut/levels.h"

namespace whit::lut {
namespace {

// PSHUFB looks up 16 entries by the low four bits of an index and gives 0 where its sign bit is set. Let piece k hold
// entries [16 k, 16 k + 16) XOR those of piece k - 1: for an index i >= 0 the XOR of the lookups with i, i - 16, i -
// 32,
// ... (stopping at the sign, where saturation keeps it) telescopes to entry i. Eight pieces serve the indices 0..127;
// eight more, looked up with the sign flipped, serve -128..-1.
void map_s8(const s8* x, s8* y, isize n, const s8* entries) {
  isize i = 0;
  if (n >= 4 * 32) {
    __m256i piece[16];
    for (int k = 0; k < 16; ++k) {
      __m128i p = _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + 16 * k));
      if (k % 8 != 0) p = _mm_xor_si128(p, _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + 16 * (k - 1))));
      piece[k] = _mm256_broadcastsi128_si256(p);
    }
    const __m256i step = _mm256_set1_epi8(16), sign = _mm256_set1_epi8(-128);
    for (; i + 32 <= n; i += 32) {
      __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
      __m256i high = _mm256_xor_si256(low, sign);
      __m256i out = _mm256_xor_si256(_mm256_shuffle_epi8(piece[0], low), _mm256_shuffle_epi8(piece[8], high));
#pragma GCC unroll 7
      for (int k = 1; k < 8; ++k) {
        low = _mm256_subs_epi8(low, step);
        high = _mm256_subs_epi8(high, step);
        out = _mm256_xor_si256(out, _mm256_shuffle_epi8(piece[k], low));
        out = _mm256_xor_si256(out, _mm256_shuffle_epi8(piece[8 + k], high));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), out);
    }
  }
  for (; i < n; ++i) y[i] = entries[static_cast<u8>(x[i])];
}

}  // namespace

constexpr Table lut_table_avx2{Isa::avx2, "lut_s8_avx2", map_s8};

}  // namespace whit::lut
