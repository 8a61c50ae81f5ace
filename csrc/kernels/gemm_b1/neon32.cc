// ARMv7 NEON: VEOR, VCNT and VADD of bytes, as on ARMv8. 16 registers: tiles of 2 x 4 hold 8 vectors of counts, 4 of
// columns, and operands.

#include "kernels/simd_s8/neon32.h"
#include "kernels/simd_b1/neon.h"
// after the vectors
#include "kernels/gemm_b1/finish.h"

namespace whit::gemm_b1 {
namespace {

struct Counts {
  static constexpr isize kMost = 31;
  WHIT_INLINE void set(uint8x16_t bits) { bytes = vcntq_u8(bits); }
  WHIT_INLINE void add(uint8x16_t bits) { bytes = vaddq_u8(bytes, vcntq_u8(bits)); }
  WHIT_INLINE static int32x4_t sum(const Counts (&counts)[4]) {
    uint16x4_t quarters[4];
    WHIT_UNROLL for (int c = 0; c < 4; ++c) {
      const uint16x8_t halves = vpaddlq_u8(counts[c].bytes);
      quarters[c] = vpadd_u16(vget_low_u16(halves), vget_high_u16(halves));
    }
    const uint16x4_t low = vpadd_u16(quarters[0], quarters[1]), high = vpadd_u16(quarters[2], quarters[3]);
    return vreinterpretq_s32_u32(vpaddlq_u16(vcombine_u16(low, high)));
  }
  uint8x16_t bytes;
};

}  // namespace
}  // namespace whit::gemm_b1

#include "kernels/gemm_b1/neon_count.h"

namespace whit::gemm_b1 {

void gemm_b1b1s32_2x16k128_neon32(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                                  isize n_end) {
  multiply<2>(args, rows, row_bytes, m, count, n, n_end);
}

}  // namespace whit::gemm_b1
