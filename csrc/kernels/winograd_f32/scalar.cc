// The reference: one channel at a time, multiply and add rounded apart.

#include "kernels/simd_f32/single.h"

#include "kernels/winograd_f32/transform.inc"

namespace whit::winograd_f32 {

void winograd_f32_input_4x4_scalar(const InputArgs& args, isize tile_begin, isize tile_end) {
  input_tiles<4>(args, tile_begin, tile_end);
}

void winograd_f32_output_4x4_scalar(const OutputArgs& args, isize tile_begin, isize tile_end) {
  output_tiles<4>(args, tile_begin, tile_end);
}

void winograd_f32_input_2x2_scalar(const InputArgs& args, isize tile_begin, isize tile_end) {
  input_tiles<2>(args, tile_begin, tile_end);
}

void winograd_f32_output_2x2_scalar(const OutputArgs& args, isize tile_begin, isize tile_end) {
  output_tiles<2>(args, tile_begin, tile_end);
}

}  // namespace whit::winograd_f32
