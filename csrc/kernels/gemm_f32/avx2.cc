// AVX2 + FMA: 16 registers. 6 x 16 holds 12 accumulators, 2 vectors of rhs and a broadcast.

#include "kernels/simd_f32/avx2.h"

#include "kernels/gemm_f32/broadcast.inc"
#include "kernels/gemm_f32/tile.inc"

namespace whit::gemm_f32 {

void gemm_f32_6x16_avx2(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<6, 2>(args, m, rows, n, n_end);
}

void gemm_f32_12x8_avx2(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<12, 1>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_f32
