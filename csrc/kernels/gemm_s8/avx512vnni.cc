// AVX512-VNNI. 32 registers: 12 x 32 holds 24 accumulators, 2 vectors of rhs, a broadcast.

#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/gemm_s8/tile.h"

namespace whit::gemm_s8 {
namespace {

struct Dot {
  using Int = Vector::Int;
  static constexpr int kRows = 12, kColumnVectors = 2;

  WHIT_INLINE static Int dot4(Int acc, Int u, Int s) { return _mm512_dpbusd_epi32(acc, u, s); }

  static void sum_rows(const Args& args, isize m, isize rows, s32* sums) {
    args.lhs.offsets ? sum_rows<true>(args, m, rows, sums) : sum_rows<false>(args, m, rows, sums);
  }

  static void copy_rows(const Args& args, isize m, isize rows, isize stride, s8* out) {
    const __m256i sign = _mm256_set1_epi8(static_cast<char>(128));
    const s8* row = args.lhs.base + m * args.lhs.row_stride;
    const isize whole = stride - 32;
    const __mmask32 rest = ~__mmask32{0} >> (stride - args.k);
    for (; rows > 0; --rows, row += args.lhs.row_stride, out += stride) {
      for (isize k = 0; k < whole; k += 32)
        _mm256_storeu_si256((__m256i*)(out + k), _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)(row + k)), sign));
      _mm256_storeu_si256((__m256i*)(out + whole), _mm256_xor_si256(_mm256_maskz_loadu_epi8(rest, row + whole), sign));
    }
  }

 private:
  /// Four rows to a vector reduction.
  template <bool kIndirect>
  static void sum_rows(const Args& args, isize m, isize rows, s32* sums) {
    const Int factor = _mm512_set1_epi8(static_cast<char>(128));
    const isize rest = args.k % 64, whole = args.k - rest, stride = args.lhs.row_stride;
    const __mmask64 rest_mask = (__mmask64{1} << rest) - 1;
    const s8* first = args.lhs.base + m * stride;
    for (isize row = 0; row < rows; row += 4, first += 4 * stride) {
      Int sum[4];
      WHIT_UNROLL for (int r = 0; r < 4; ++r) sum[r] = _mm512_setzero_si512();
      for (isize t = 0; t < (kIndirect ? args.taps : 1); ++t) {
        const s8* lhs[4];
        WHIT_UNROLL for (int r = 0; r < 4; ++r) {
          const isize at = row + r < rows ? r : rows - 1 - row;
          lhs[r] = kIndirect ? lhs_values(args, m + row + at, t) : first + at * stride;
        }
        for (isize k = 0; k < whole; k += 64) {
          WHIT_UNROLL for (int r = 0; r < 4; ++r) sum[r] =
              _mm512_dpbusd_epi32(sum[r], factor, _mm512_loadu_si512(lhs[r] + k));
        }
        if (rest) {
          WHIT_UNROLL for (int r = 0; r < 4; ++r) sum[r] =
              _mm512_dpbusd_epi32(sum[r], factor, _mm512_maskz_loadu_epi8(rest_mask, lhs[r] + whole));
        }
      }
      const Int low = Vector::add(_mm512_unpacklo_epi32(sum[0], sum[1]), _mm512_unpackhi_epi32(sum[0], sum[1]));
      const Int high = Vector::add(_mm512_unpacklo_epi32(sum[2], sum[3]), _mm512_unpackhi_epi32(sum[2], sum[3]));
      const Int lanes = Vector::add(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
      const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
      const __m128i quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + row), quarter);
    }
  }
};

}  // namespace
}  // namespace whit::gemm_s8

#include "kernels/gemm_s8/vnni.h"

namespace whit::gemm_s8 {

void gemm_s8s8s32_12x32k4_avx512vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  multiply_vnni(args, m, rows, n, n_end);
}

}  // namespace whit::gemm_s8
