#include "bench/kernels/peak/loops.h"
#include "bench/kernels/peaks.h"
#include "kernels/simd_s8/avx512.h"  // for intrinsics without GCC's false alarms

namespace whit::bench {

f64 peak_xor_vpopcntd_vpaddd_avx512icl(u64 rounds) {
  const __m512i zero = _mm512_setzero_si512();
  return multiply<12>(rounds, 512, zero, zero, [](auto acc, auto x, auto w) {
    return _mm512_add_epi32(acc, _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
  });
}

// Pairs of words through a full adder (gemm_b1/avx512icl.cc).
f64 peak_vpternlogd_vpopcntd_vpaddd_avx512icl(u64 rounds) {
  struct Sums {
    __m512i pairs, ones;
  };
  constexpr int kChains = 8;
  Sums acc[kChains] = {};
  __m512i x = _mm512_setzero_si512(), w = x;
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL for (Sums& a : acc) {
      WHIT_OPAQUE(x);
      const __m512i u = _mm512_ternarylogic_epi32(w, x, a.ones, 0x96), s = _mm512_ternarylogic_epi32(w, x, u, 0x96);
      a.pairs = _mm512_add_epi32(a.pairs, _mm512_popcnt_epi32(_mm512_ternarylogic_epi32(a.ones, u, s, 0x74)));
      a.ones = s;
    }
  }
  WHIT_UNROLL for (Sums& a : acc) {
    WHIT_OPAQUE(a.pairs);
    WHIT_OPAQUE(a.ones);
  }
  return static_cast<f64>(rounds) * kChains * 1024 * 2;
}

}  // namespace whit::bench
