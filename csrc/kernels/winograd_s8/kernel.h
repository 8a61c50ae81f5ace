#pragma once
// What the kernels are to winograd_s8.cc. The packed layout, panel by panel of kPanel output channels (the last one
// padded with zeros):
//     s32 bias[kPanel]     less lhs_zero_point * sum of the column; then as many zeros
//     s16 u[kElements][round_up(in_channels, kGroup)][kPanel]      G w G^T

#include "kernels/winograd_s8/winograd_s8.h"

namespace whit::winograd_s8 {

constexpr isize kBiasBytes = 2 * kPanel * isize{sizeof(s32)};  // keeps the alignment of what follows

constexpr isize panel_bytes(isize k) {
  return kBiasBytes + kElements * round_up(k, kGroup) * kPanel * static_cast<isize>(sizeof(s16));
}

using InputFunction = void(const InputArgs& args, isize tile_begin, isize tile_end);
using OutputFunction = void(const OutputArgs& args, isize tile_begin, isize tile_end, isize n_begin, isize n_end);

struct Kernel {
  Isa isa;
  const char* name;
  InputFunction* input;
  OutputFunction* output;
};

#define WINOGRAD_S8_KERNEL(isa)              \
  InputFunction winograd_s8_input_4x4_##isa; \
  OutputFunction winograd_s8_output_4x4_##isa;
#include "kernels/winograd_s8/kernels.inc"
#undef WINOGRAD_S8_KERNEL

}  // namespace whit::winograd_s8
