#include <arm_neon.h>

#include "bench/kernels/peak/opaque.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {
namespace {

/// `pairs` * 2 products of s8 are added in s16 before they are added to s32.
template <int kPairs>
f64 widening_products(u64 rounds) {
  constexpr int kChains = 6;
  int32x4_t acc[kChains] = {};
  int8x8_t x[kChains] = {}, w = vdup_n_s8(0);
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (int c = 0; c < kChains; ++c) {
      WHIT_OPAQUE(x[c]);
      int16x8_t sum = vmull_s8(x[c], w);
      for (int product = 1; product < 2 * kPairs; ++product) sum = vmlal_s8(sum, x[c], w);
      acc[c] = vpadalq_s16(acc[c], sum);
    }
  }
  WHIT_UNROLL
  for (int32x4_t& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * kPairs * 16 * 2;
}

}  // namespace

// Two products fit in s16 for all weights but -128, four where weights are small (gemm_s8/kernel.h: mild).
f64 peak_vmull_vmlal_vpadal_neon32(u64 rounds) { return widening_products<1>(rounds); }
f64 peak_vmull_3_vmlal_vpadal_neon32(u64 rounds) { return widening_products<2>(rounds); }

f64 peak_vfma_neon32(u64 rounds) {
  constexpr int kChains = 12;
  float32x4_t acc[kChains] = {}, x = vdupq_n_f32(0), w = vdupq_n_f32(0);
  WHIT_UNROLL
  for (float32x4_t& a : acc) WHIT_OPAQUE(a);
  WHIT_OPAQUE(x);
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (float32x4_t& a : acc) a = vfmaq_f32(a, x, w);
  }
  WHIT_UNROLL
  for (float32x4_t& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * 4 * 2;
}

void read_neon32(const std::byte* data, std::size_t bytes) {
  const s8* from = reinterpret_cast<const s8*>(data);
  for (std::size_t i = 0; i < bytes; i += 512) {
    WHIT_UNROLL
    for (std::size_t j = 0; j < 512; j += 16) {
      int8x16_t x = vld1q_s8(from + i + j);
      WHIT_OPAQUE(x);
    }
  }
}

}  // namespace whit::bench
