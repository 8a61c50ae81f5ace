// AVX512-VNNI.

#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w4 {
namespace {

struct Codes {
  using Block = __m512i;
  static constexpr isize kBlock = 64;

  WHIT_INLINE static Block load(const u8* p) { return _mm512_loadu_si512(p); }
  WHIT_INLINE static void store(u8* p, Block x) { _mm512_storeu_si512(p, x); }
  WHIT_INLINE static Block table(const u8* p) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)p)); }
  WHIT_INLINE static Block lookup(Block table, Block codes) { return _mm512_shuffle_epi8(table, codes); }

  template <int kBits>
  WHIT_INLINE static void unpack(Block block, Block (&parts)[8 / kBits]) {
    const Block mask = _mm512_set1_epi8((1 << kBits) - 1);
    WHIT_UNROLL for (int i = 0; i < 8 / kBits; ++i) parts[i] =
        _mm512_and_si512(i ? _mm512_srli_epi16(block, static_cast<unsigned>(i * kBits)) : block, mask);
  }
};

struct Dot {
  WHIT_INLINE static __m512i dot4(__m512i acc, __m512i u, __m512i s) { return _mm512_dpbusd_epi32(acc, u, s); }
  WHIT_INLINE static __m512i shift_right4(__m512i x) { return _mm512_srai_epi32(x, 4); }
};

struct Lanes : Vector {
  static constexpr int kRows = 6;
  WHIT_INLINE static Float load_f16(const u16* p) {
    return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)p));
  }
};

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/vnni.h"
// after the product
#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x32k4, avx512vnni)
GEMM_W4_GROUPED_LEVEL(avx512vnni)
