// ARMv8.0 NEON: SMLAL by a lane is four products of s16 in one instruction, for which s8 has none as good without dot
// products. A tile of 8 rows x 8 columns loads one register for eight of them.

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/simd_s8/epilogue.h"
#include "kernels/vectorize.h"

namespace whit::winograd_s8 {
namespace {

constexpr int kRows = 8;

WHIT_INLINE int16x8_t load_next(const s16*& p) {
  int16x8_t w;
  __asm__ volatile("ldr %q0, [%1], #16" : "=w"(w), "+r"(p) : : "memory");
  return w;
}

template <int kLane>
WHIT_INLINE void multiply_add(int32x4_t (&acc)[2], int16x8_t w, int16x8_t x) {
  acc[0] = vmlal_laneq_s16(acc[0], vget_low_s16(w), x, kLane);
  acc[1] = vmlal_high_laneq_s16(acc[1], w, x, kLane);
}

}  // namespace
}  // namespace whit::winograd_s8

#include "kernels/winograd_s8/vectors.inc"
// after the vectors
#include "kernels/winograd_s8/transform.inc"

namespace whit::winograd_s8 {

void winograd_s8_input_4x4_neon(const InputArgs& args, isize tile_begin, isize tile_end) {
  input_tiles(args, tile_begin, tile_end);
}

void winograd_s8_output_4x4_neon(const OutputArgs& args, isize tile_begin, isize tile_end, isize n_begin, isize n_end) {
  output_tiles(args, tile_begin, tile_end, n_begin, n_end);
}

}  // namespace whit::winograd_s8
