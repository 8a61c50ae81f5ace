#include <arm_neon.h>

#include "bench/kernels/peak/loops.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {
namespace {

/// kPairs * 2 products of s8 are added in s16 before they are added to s32.
template <int kPairs>
f64 widening_products(u64 rounds) {
  return multiply<6>(rounds, 16 * kPairs, vdupq_n_s32(0), vdup_n_s8(0), [](auto acc, auto x, auto w) {
    int16x8_t sum = vmull_s8(x, w);
    for (int product = 1; product < 2 * kPairs; ++product) sum = vmlal_s8(sum, x, w);
    return vpadalq_s16(acc, sum);
  });
}

}  // namespace

// Two products fit in s16 for all weights but -128, four where weights are small (gemm_s8/kernel.h: mild).
f64 peak_vmull_vmlal_vpadal_neon32(u64 rounds) { return widening_products<1>(rounds); }
f64 peak_vmull_3_vmlal_vpadal_neon32(u64 rounds) { return widening_products<2>(rounds); }

f64 peak_veor_vcnt_vadd_neon32(u64 rounds) {
  return multiply<8>(rounds, 128, vdupq_n_u8(0), vdupq_n_u8(0),
                     [](auto acc, auto x, auto w) { return vaddq_u8(acc, vcntq_u8(veorq_u8(x, w))); });
}

f64 peak_vfma_neon32(u64 rounds) {
  return multiply<12>(rounds, 4, vdupq_n_f32(0), vdupq_n_f32(0),
                      [](auto acc, auto x, auto w) { return vfmaq_f32(acc, x, w); });
}

void read_neon32(const std::byte* data, std::size_t bytes) {
  read<16>(data, bytes, [](const std::byte* p) { return vld1q_s8(reinterpret_cast<const s8*>(p)); });
}

}  // namespace whit::bench
