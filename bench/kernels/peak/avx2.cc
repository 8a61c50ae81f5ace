#include <immintrin.h>

#include "bench/kernels/peak/opaque.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

// s16 products of s8 that were widened before: the exact way without VNNI. Sums of two, then s32.
f64 peak_vpmaddwd_vpaddd_avx2(u64 rounds) {
  constexpr int kChains = 6;
  __m256i acc[kChains] = {}, x[kChains] = {}, w = _mm256_setzero_si256();
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (int c = 0; c < kChains; ++c) {
      WHIT_OPAQUE(x[c]);
      acc[c] = _mm256_add_epi32(acc[c], _mm256_madd_epi16(x[c], w));
    }
  }
  WHIT_UNROLL
  for (__m256i& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * 16 * 2;
}

f64 peak_fma_avx2(u64 rounds) {
  constexpr int kChains = 12;
  __m256 acc[kChains] = {}, x = _mm256_setzero_ps(), w = _mm256_setzero_ps();
  WHIT_UNROLL
  for (__m256& a : acc) WHIT_OPAQUE(a);
  WHIT_OPAQUE(x);
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (__m256& a : acc) a = _mm256_fmadd_ps(x, w, a);
  }
  WHIT_UNROLL
  for (__m256& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * 8 * 2;
}

void read_avx2(const std::byte* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 512) {
    WHIT_UNROLL
    for (std::size_t j = 0; j < 512; j += 32) {
      __m256i x = _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + j));
      WHIT_OPAQUE(x);
    }
  }
}

}  // namespace whit::bench
