// ARMv8.2 matrix multiplication, for many rows; a few are as fast by dot products.

#include "kernels/simd_s8/neon.h"

namespace whit::gemm_w4 {
namespace {

constexpr int kGroup = 8;

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/neon_dots.h"
// after the product
#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x16k8, i8mm)
GEMM_W4_GROUPED_LEVEL(i8mm)
