// The reference: one channel at a time, multiply and add rounded apart.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

/// A vector of one lane.
struct Vector {
  using Register = f32;
  static constexpr int kLanes = 1;

  static Register load(const f32* p) { return *p; }
  static void store(f32* p, Register r) { *p = r; }
  static Register load_first(const f32* p, int) { return *p; }
  static void store_first(f32* p, Register r, int) { *p = r; }
  static Register broadcast(f32 x) { return x; }
  static Register fma(Register a, Register b, Register c) { return a * b + c; }
  static Register mul(Register a, Register b) { return a * b; }
  static Register add(Register a, Register b) { return a + b; }
  static Register sub(Register a, Register b) { return a - b; }
  static Register max(Register t, Register x) { return x > t ? x : t; }
  static Register min(Register t, Register x) { return x < t ? x : t; }
};

}  // namespace
}  // namespace whit

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
