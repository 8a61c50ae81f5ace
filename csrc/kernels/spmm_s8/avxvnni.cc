// AVX-VNNI, which is AVX2 with vpdpbusd.

#include "kernels/simd_s8/avx2.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfTile = 8, kChains = 2;

WHIT_INLINE Int load_fours(const s8* p) { return _mm256_loadu_si256((const __m256i*)p); }
WHIT_INLINE Int broadcast_fours(const s8* w) { return Vector::broadcast(load_as<s32>(w)); }
WHIT_INLINE Int dot(Int acc, Int x, Int w) { return _mm256_dpbusd_avx_epi32(acc, x, w); }

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/fours.h"

namespace whit::spmm_s8 {

void spmm_s8s8s32_1x4_avxvnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

}  // namespace whit::spmm_s8
