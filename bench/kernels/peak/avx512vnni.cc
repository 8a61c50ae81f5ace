#include <immintrin.h>

#include "bench/kernels/peak/loops.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

f64 peak_vpdpbusd_avx512vnni(u64 rounds) {
  const __m512i zero = _mm512_setzero_si512();
  return multiply<16>(rounds, 64, zero, zero, [](auto acc, auto x, auto w) { return _mm512_dpbusd_epi32(acc, x, w); });
}

f64 peak_fma_avx512vnni(u64 rounds) {
  const __m512 zero = _mm512_setzero_ps();
  return multiply<16>(rounds, 16, zero, zero, [](auto acc, auto x, auto w) { return _mm512_fmadd_ps(x, w, acc); });
}

void read_avx512vnni(const std::byte* data, std::size_t bytes) {
  read<64>(data, bytes, [](const std::byte* p) { return _mm512_load_si512(p); });
}

}  // namespace whit::bench
