#include <immintrin.h>

#include "bench/kernels/peak/opaque.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

f64 peak_vpdpbusd_avx512vnni(u64 rounds) {
  constexpr int kChains = 16;
  __m512i acc[kChains] = {}, x = _mm512_setzero_si512(), w = _mm512_setzero_si512();
  WHIT_UNROLL
  for (__m512i& a : acc) WHIT_OPAQUE(a);
  WHIT_OPAQUE(x);
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (__m512i& a : acc) a = _mm512_dpbusd_epi32(a, x, w);
  }
  WHIT_UNROLL
  for (__m512i& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * 64 * 2;
}

f64 peak_fma_avx512vnni(u64 rounds) {
  constexpr int kChains = 16;
  __m512 acc[kChains] = {}, x = _mm512_setzero_ps(), w = _mm512_setzero_ps();
  WHIT_UNROLL
  for (__m512& a : acc) WHIT_OPAQUE(a);
  WHIT_OPAQUE(x);
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (__m512& a : acc) a = _mm512_fmadd_ps(x, w, a);
  }
  WHIT_UNROLL
  for (__m512& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * 16 * 2;
}

void read_avx512vnni(const std::byte* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 512) {
    WHIT_UNROLL
    for (std::size_t j = 0; j < 512; j += 64) {
      __m512i x = _mm512_load_si512(data + i + j);
      WHIT_OPAQUE(x);
    }
  }
}

}  // namespace whit::bench
