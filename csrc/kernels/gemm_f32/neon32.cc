// ARMv7 NEON with VFPv4: 16 registers. 6 x 8 holds 12 accumulators, 2 vectors of rhs and a broadcast, 8 x 4 holds 8, 1
// and 1. VFMA has no form that takes a lane, so a float of lhs is spread over a register as it is loaded, which serves
// all vectors of rhs.

#include "kernels/simd_f32/neon32.h"

#include "kernels/gemm_f32/broadcast.inc"
// after accumulate
#include "kernels/gemm_f32/tile.inc"

namespace whit::gemm_f32 {

void gemm_f32_6x8_neon32(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<6, 2>(args, m, rows, n, n_end);
}

void gemm_f32_8x4_neon32(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<8, 1>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_f32
