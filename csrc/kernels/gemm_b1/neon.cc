// ARMv8.0 NEON: EOR, CNT and ADD of bytes, 128 products in three instructions. Bytes count up to 255, that is over 31
// vectors of at most 8 a byte.

#include "kernels/simd_b1/neon.h"
#include "kernels/simd_s8/neon.h"
// after the vectors
#include "kernels/gemm_b1/finish.h"

namespace whit::gemm_b1 {
namespace {

struct Counts {
  static constexpr isize kMost = 31;
  WHIT_INLINE void set(uint8x16_t bits) { bytes = vcntq_u8(bits); }
  WHIT_INLINE void add(uint8x16_t bits) { bytes = vaddq_u8(bytes, vcntq_u8(bits)); }
  WHIT_INLINE static int32x4_t sum(const Counts (&counts)[4]) {
    uint16x8_t halves[4];
    WHIT_UNROLL for (int c = 0; c < 4; ++c) halves[c] = vpaddlq_u8(counts[c].bytes);
    const uint16x8_t low = vpaddq_u16(halves[0], halves[1]), high = vpaddq_u16(halves[2], halves[3]);
    return vreinterpretq_s32_u32(vpaddlq_u16(vpaddq_u16(low, high)));
  }
  uint8x16_t bytes;
};

}  // namespace
}  // namespace whit::gemm_b1

#include "kernels/gemm_b1/neon_count.h"

namespace whit::gemm_b1 {

void gemm_b1b1s32_4x16k128_neon(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                                isize n_end) {
  multiply<4>(args, rows, row_bytes, m, count, n, n_end);
}

}  // namespace whit::gemm_b1
