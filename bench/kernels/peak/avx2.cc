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

// Products of bits. Popcounts of four bits at a time, then bytes that count; flushed so rarely that it does not matter.
f64 peak_xor_vpshufb_vpaddb_avx2(u64 rounds) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i counts = _mm256_set1_epi8(1), lower = _mm256_set1_epi8(15);
  WHIT_OPAQUE(counts);
  WHIT_OPAQUE(lower);
  return multiply<6>(rounds, 256, zero, zero, [=](auto acc, auto x, auto w) {
    const __m256i bits = _mm256_xor_si256(x, w);
    const __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, lower));
    const __m256i high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(bits, 4), lower));
    return _mm256_add_epi8(acc, _mm256_add_epi8(low, high));
  });
}

// Popcounts of four bits of x XOR the index, of 32 columns (gemm_b1/avx2.cc).
f64 peak_table_vpshufb_vpaddb_avx2(u64 rounds) {
  const __m256i zero = _mm256_setzero_si256();
  return multiply<8>(rounds, 128, zero, zero,
                     [](auto acc, auto x, auto w) { return _mm256_add_epi8(acc, _mm256_shuffle_epi8(x, w)); });
}

f64 peak_fma_avx2(u64 rounds) {
  const __m256 zero = _mm256_setzero_ps();
  return multiply<12>(rounds, 8, zero, zero, [](auto acc, auto x, auto w) { return _mm256_fmadd_ps(x, w, acc); });
}

void read_avx2(const std::byte* data, std::size_t bytes) {
  read<32>(data, bytes, [](const std::byte* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); });
}

}  // namespace whit::bench
