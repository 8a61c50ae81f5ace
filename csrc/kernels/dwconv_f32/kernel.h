#pragma once
// What a dwconv_f32 kernel is to run(). The packed layout, block by block of `lanes` channels (the last one padded with
// zeros):
//     bias[lanes], then for i, j of the kernel:  w[lanes][i][j]

#include "kernels/dwconv_f32/dwconv_f32.h"

namespace whit::dwconv_f32 {

/// Computes output rows [row_begin, row_end).
using Function = void(const Args& args, isize row_begin, isize row_end);

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int kernel_size, stride, lanes;
};

#define DWCONV_F32_KERNEL(isa, function, kernel_size, stride, lanes) Function function;
#include "kernels/dwconv_f32/kernels.inc"
#undef DWCONV_F32_KERNEL

}  // namespace whit::dwconv_f32
