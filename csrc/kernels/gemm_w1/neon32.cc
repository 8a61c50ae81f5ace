// ARMv7 NEON: VTBL looks up 8 bytes in two registers of 8.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/gemm_w1/kernel.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w1 {
namespace {

using gemm_w4::Finish;

struct Bytes {
  static constexpr isize kCount = 16;
  using Block = uint8x16_t;
  using Wide = uint16x8x2_t;

  WHIT_INLINE static Block load(const u8* p) { return vld1q_u8(p); }
  WHIT_INLINE static uint8x8x2_t table(const u8* p) { return {{vld1_u8(p), vld1_u8(p + 8)}}; }
  WHIT_INLINE static Block low(Block bits) { return vandq_u8(bits, vdupq_n_u8(15)); }
  WHIT_INLINE static Block high(Block bits) { return vshrq_n_u8(bits, 4); }
  WHIT_INLINE static Block lookup(const uint8x8x2_t& table, Block index) {
    return vcombine_u8(vtbl2_u8(table, vget_low_u8(index)), vtbl2_u8(table, vget_high_u8(index)));
  }
  WHIT_INLINE static Block add(Block a, Block b) { return vaddq_u8(a, b); }
  WHIT_INLINE static Wide zero() { return {{vdupq_n_u16(0), vdupq_n_u16(0)}}; }
  WHIT_INLINE static void widen(Wide& wide, Block block) {
    wide.val[0] = vaddw_u8(wide.val[0], vget_low_u8(block));
    wide.val[1] = vaddw_u8(wide.val[1], vget_high_u8(block));
  }
  WHIT_INLINE static void store(const Wide& wide, u16* out) {
    vst1q_u16(out, wide.val[0]);
    vst1q_u16(out + 8, wide.val[1]);
  }
};

}  // namespace
}  // namespace whit::gemm_w1

#include "kernels/gemm_w1/lookup.h"

GEMM_W1_LEVEL(32, neon32)
