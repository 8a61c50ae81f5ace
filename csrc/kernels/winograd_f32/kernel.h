#pragma once
// What the kernels are to winograd_f32.cc.

#include "kernels/winograd_f32/winograd_f32.h"

namespace whit::winograd_f32 {

using InputFunction = void(const InputArgs& args, isize tile_begin, isize tile_end);
using OutputFunction = void(const OutputArgs& args, isize tile_begin, isize tile_end);

struct Kernel {
  Isa isa;
  const char* name;
  InputFunction* input;
  OutputFunction* output;
  int tile;
};

#define WINOGRAD_F32_KERNEL(isa, tile)                      \
  InputFunction winograd_f32_input_##tile##x##tile##_##isa; \
  OutputFunction winograd_f32_output_##tile##x##tile##_##isa;
#include "kernels/winograd_f32/kernels.inc"
#undef WINOGRAD_F32_KERNEL

}  // namespace whit::winograd_f32
