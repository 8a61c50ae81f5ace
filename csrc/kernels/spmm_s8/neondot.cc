// ARMv8.2 with the dot product extension: SDOT adds four products to each of 4 sums.

#include "kernels/simd_s8/neon.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfTile = 16, kChains = 2;

WHIT_INLINE Int load_fours(const s8* p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
WHIT_INLINE Int broadcast_fours(const s8* w) { return vld1q_dup_s32(reinterpret_cast<const s32*>(w)); }
WHIT_INLINE Int dot(Int acc, Int x, Int w) { return vdotq_s32(acc, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(w)); }

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/fours.h"

namespace whit::spmm_s8 {

void spmm_s8s8s32_1x4_neondot(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

}  // namespace whit::spmm_s8
