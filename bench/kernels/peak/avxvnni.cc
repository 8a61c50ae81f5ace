#include <immintrin.h>

#include "bench/kernels/peak/loops.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

f64 peak_vpdpbusd_avxvnni(u64 rounds) {
  const __m256i zero = _mm256_setzero_si256();
  return multiply<12>(rounds, 32, zero, zero,
                      [](auto acc, auto x, auto w) { return _mm256_dpbusd_avx_epi32(acc, x, w); });
}

}  // namespace whit::bench
