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
  if (n >= 4 * 64) {
    __m512i piece[16];
    for (int k = 0; k < 16; ++k) {
      __m128i p = _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + 16 * k));
      if (k % 8 != 0) p = _mm_xor_si128(p, _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + 16 * (k - 1))));
      piece[k] = _mm512_maskz_broadcast_i32x4(0xffff, p);
    }
    const __m512i step = _mm512_set1_epi8(16), sign = _mm512_set1_epi8(-128);
    for (; i + 64 <= n; i += 64) {
      __m512i low = _mm512_loadu_si512(reinterpret_cast<const __m512i*>(x + i));
      __m512i high = _mm512_xor_si512(low, sign);
      __m512i out = _mm512_xor_si512(_mm512_shuffle_epi8(piece[0], low), _mm512_shuffle_epi8(piece[8], high));
#pragma GCC unroll 7
      for (int k = 1; k < 8; ++k) {
        low = _mm512_subs_epi8(low, step);
        high = _mm512_subs_epi8(high, step);
        out = _mm512_xor_si512(out, _mm512_shuffle_epi8(piece[k], low));
        out = _mm512_xor_si512(out, _mm512_shuffle_epi8(piece[8 + k], high));
      }
      _mm512_storeu_si512(reinterpret_cast<__m512i*>(y + i), out);
    }
  }
  for (; i < n; ++i) y[i] = entries[static_cast<u8>(x[i])];
}

}  // namespace

constexpr Table lut_table_avx512vnni{Isa::avx512vnni, "lut_s8_avx512vnni", map_s8};

}  // namespace whit::lut
