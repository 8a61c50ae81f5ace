#include <immintrin.h>

#include "bench/kernels/peak/loops.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

// s16 products of s8 that were widened before: the exact way without VNNI. Sums of two, then s32.
f64 peak_vpmaddwd_vpaddd_avx2(u64 rounds) {
  const __m256i zero = _mm256_setzero_si256();
  return multiply<6>(rounds, 16, zero, zero,
                     [](auto acc, auto x, auto w) { return _mm256_add_epi32(acc, _mm256_madd_epi16(x, w)); });
}

f64 peak_fma_avx2(u64 rounds) {
  const __m256 zero = _mm256_setzero_ps();
  return multiply<12>(rounds, 8, zero, zero, [](auto acc, auto x, auto w) { return _mm256_fmadd_ps(x, w, acc); });
}

void read_avx2(const std::byte* data, std::size_t bytes) {
  read<32>(data, bytes, [](const std::byte* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); });
}

}  // namespace whit::bench
