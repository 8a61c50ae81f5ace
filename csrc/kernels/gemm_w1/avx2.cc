// AVX2: vpshufb looks up 32 bytes, in the same table in both halves.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/gemm_w1/kernel.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w1 {
namespace {

using gemm_w4::Finish;

struct Bytes {
  static constexpr isize kCount = 32;
  using Block = __m256i;
  /// Columns of the lower, then of the upper half of each 16.
  struct Wide {
    __m256i low, high;
  };

  WHIT_INLINE static Block load(const u8* p) { return _mm256_loadu_si256((const __m256i*)p); }
  WHIT_INLINE static Block table(const u8* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)p));
  }
  WHIT_INLINE static Block low(Block bits) { return _mm256_and_si256(bits, _mm256_set1_epi8(15)); }
  WHIT_INLINE static Block high(Block bits) { return low(_mm256_srli_epi16(bits, 4)); }
  WHIT_INLINE static Block lookup(Block table, Block index) { return _mm256_shuffle_epi8(table, index); }
  WHIT_INLINE static Block add(Block a, Block b) { return _mm256_add_epi8(a, b); }
  WHIT_INLINE static Wide zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  WHIT_INLINE static void widen(Wide& wide, Block block) {
    const __m256i none = _mm256_setzero_si256();
    wide.low = _mm256_add_epi16(wide.low, _mm256_unpacklo_epi8(block, none));
    wide.high = _mm256_add_epi16(wide.high, _mm256_unpackhi_epi8(block, none));
  }
  WHIT_INLINE static void store(const Wide& wide, u16* out) {
    _mm256_storeu_si256((__m256i*)out, _mm256_permute2x128_si256(wide.low, wide.high, 0x20));
    _mm256_storeu_si256((__m256i*)(out + 16), _mm256_permute2x128_si256(wide.low, wide.high, 0x31));
  }
};

}  // namespace
}  // namespace whit::gemm_w1

#include "kernels/gemm_w1/lookup.h"

GEMM_W1_LEVEL(64, avx2)
