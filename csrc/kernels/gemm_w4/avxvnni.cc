// AVX-VNNI, which is AVX2 with vpdpbusd.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/gemm_w4/avx2_codes.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w4 {
namespace {

struct Dot {
  WHIT_INLINE static __m256i dot4(__m256i acc, __m256i u, __m256i s) { return _mm256_dpbusd_avx_epi32(acc, u, s); }
  WHIT_INLINE static __m256i shift_right4(__m256i x) { return _mm256_srai_epi32(x, 4); }
};

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/vnni.h"
// after the product
#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x16k4, avxvnni)
GEMM_W4_GROUPED_LEVEL(avxvnni)
