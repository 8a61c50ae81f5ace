// AVX-512F: 32 registers. 12 x 32 holds 24 accumulators, 2 vectors of rhs and the broadcasts.

#include "kernels/simd_f32/avx512.h"

#include "kernels/gemm_f32/broadcast.inc"
#include "kernels/gemm_f32/tile.inc"

namespace whit::gemm_f32 {

void gemm_f32_12x32_avx512vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<12, 2>(args, m, rows, n, n_end);
}

void gemm_f32_12x16_avx512vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  strip<12, 1>(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_f32
