#include <arm_neon.h>

#include "bench/kernels/peak/loops.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

f64 peak_smmla_i8mm(u64 rounds) {
  return multiply<16>(rounds, 32, vdupq_n_s32(0), vdupq_n_s8(0),
                      [](auto acc, auto x, auto w) { return vmmlaq_s32(acc, x, w); });
}

}  // namespace whit::bench
