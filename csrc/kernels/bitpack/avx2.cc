#include "kernels/simd_b1/avx2.h"
#include "kernels/bitpack/levels.h"
#include "kernels/bitpack/rows.h"

namespace whit::bitpack {
namespace {

void pack_f32(const Args<f32>& args, isize begin, isize end) {
  pack_rows<32>(args, begin, end, [](const f32* x, const f32* thresholds) {
    __m256 a[4], b[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      a[i] = _mm256_loadu_ps(x + 8 * i);
      b[i] = _mm256_loadu_ps(thresholds + 8 * i);
    }
    return Bits::below(a, b);
  });
}

void pack_s8(const Args<s8>& args, isize begin, isize end) {
  pack_rows<32>(args, begin, end, [](const s8* x, const s8* thresholds) {
    return Bits::below(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)),
                       _mm256_loadu_si256(reinterpret_cast<const __m256i*>(thresholds)));
  });
}

}  // namespace

constexpr Table bitpack_table_avx2{Isa::avx2, "bitpack_avx2", pack_f32, pack_s8};

}  // namespace whit::bitpack
