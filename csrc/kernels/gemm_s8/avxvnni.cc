// AVX-VNNI, which is AVX2 with vpdpbusd. 16 registers: 6 x 16 holds 12 accumulators, 2 vectors of rhs, a broadcast.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/gemm_s8/tile.h"

namespace whit::gemm_s8 {
namespace {

struct Dot {
  static constexpr int kRows = 6, kColumnVectors = 2;

  WHIT_INLINE static __m256i dot4(__m256i acc, __m256i w, __m256i x) { return _mm256_dpbusd_avx_epi32(acc, w, x); }

  static void sum_rows(const Args& args, isize m, isize rows, s32* sums) {
    const __m256i factor = _mm256_set1_epi8(static_cast<char>(128));
    for (isize row = 0; row < rows; ++row) {
      __m256i sum = _mm256_setzero_si256();
      for (isize t = 0; t < args.taps; ++t) {
        const s8* lhs = lhs_values(args, m + row, t);
        isize k = args.k;
        for (; k >= 32; k -= 32, lhs += 32)
          sum = _mm256_dpbusd_avx_epi32(sum, factor, _mm256_loadu_si256((const __m256i*)lhs));
        for (; k > 0; k -= 8, lhs += 8) {
          const u64 bytes = k >= 8 ? load_as<u64>(lhs) : load_first_u64(lhs, k);
          sum =
              _mm256_dpbusd_avx_epi32(sum, factor, _mm256_zextsi128_si256(_mm_cvtsi64_si128(static_cast<s64>(bytes))));
        }
      }
      __m128i lanes = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
      lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0x4e));
      lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0xb1));
      sums[row] = _mm_cvtsi128_si32(lanes);
    }
  }
};

}  // namespace
}  // namespace whit::gemm_s8

#include "kernels/gemm_s8/vnni.h"

namespace whit::gemm_s8 {

void gemm_s8s8s32_6x16k4_avxvnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  multiply_vnni(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_s8
