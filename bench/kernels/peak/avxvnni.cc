#include <immintrin.h>

#include "bench/kernels/peak/opaque.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

f64 peak_vpdpbusd_avxvnni(u64 rounds) {
  constexpr int kChains = 12;
  __m256i acc[kChains] = {}, x = _mm256_setzero_si256(), w = _mm256_setzero_si256();
  WHIT_UNROLL
  for (__m256i& a : acc) __asm__ volatile("" : "+x"(a));  // the VEX encoding reaches 16 registers
  __asm__ volatile("" : "+x"(x), "+x"(w));
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (__m256i& a : acc) a = _mm256_dpbusd_avx_epi32(a, x, w);
  }
  WHIT_UNROLL
  for (__m256i& a : acc) __asm__ volatile("" : "+x"(a));
  return static_cast<f64>(rounds) * kChains * 32 * 2;
}

}  // namespace whit::bench
