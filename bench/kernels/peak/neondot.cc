#include <arm_neon.h>

#include "bench/kernels/peak/opaque.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

f64 peak_sdot_neondot(u64 rounds) {
  constexpr int kChains = 16;
  int32x4_t acc[kChains] = {};
  int8x16_t x = vdupq_n_s8(0), w = vdupq_n_s8(0);
  WHIT_UNROLL
  for (int32x4_t& a : acc) WHIT_OPAQUE(a);
  WHIT_OPAQUE(x);
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (int32x4_t& a : acc) a = vdotq_s32(a, x, w);
  }
  WHIT_UNROLL
  for (int32x4_t& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * 16 * 2;
}

}  // namespace whit::bench
