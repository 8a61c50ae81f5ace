// AVX-VNNI, which is AVX2 with vpdpbusd. 16 registers: 6 x 16 holds 12 accumulators, 2 vectors of rhs, a broadcast.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/gemm_s8/tile.h"

namespace whit::gemm_s8 {
namespace {

struct Dot {
  static constexpr int kRows = 6, kColumnVectors = 2;

  WHIT_INLINE static __m256i dot4(__m256i acc, __m256i u, __m256i s) { return _mm256_dpbusd_avx_epi32(acc, u, s); }

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

  static void copy_rows(const Args& args, isize m, isize rows, isize stride, s8* out) {
    const __m256i sign = _mm256_set1_epi8(static_cast<char>(128));
    const s8* row = args.lhs.base + m * args.lhs.row_stride;
    // The instruction with a mask takes whole s32; the bytes behind those have nothing to be masked with.
    const isize whole = stride - 32, words = (args.k - whole) / 4, rest = args.k % 4;
    const __m256i mask =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<s32>(words)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (; rows > 0; --rows, row += args.lhs.row_stride, out += stride) {
      for (isize k = 0; k < whole; k += 32)
        _mm256_storeu_si256((__m256i*)(out + k), _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)(row + k)), sign));
      const __m256i last = _mm256_maskload_epi32(reinterpret_cast<const int*>(row + whole), mask);
      _mm256_storeu_si256((__m256i*)(out + whole), _mm256_xor_si256(last, sign));
      if (rest) {
        const u32 bytes = load_first_u32(row + args.k - rest, rest) ^ 0x80808080;
        std::memcpy(out + args.k - rest, &bytes, sizeof(bytes));
      }
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
