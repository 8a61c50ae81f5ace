#pragma once
// What a dwconv_s8 microkernel is to run(). The packed layout, block by block of `lanes` channels (the last one padded
// with zeros):
//     s32 bias[lanes]                                less (lhs_zero_point + lhs_offset) * sum of the channel
//     s8 weights                                     in one of two orders
// any size, or group 1:   [ceil(taps / group)][lanes][group], taps in the order (i, j), padded with zeros
// otherwise:              a vector [lanes][4] for each dot product of make_quads(size, stride, rows, columns), in the
//                         order of its for_each()
// Where lanes are 32 or 64, they are four vectors, of which vector i has channels 4i to 4i + 3 of every 16 of the
// block; and 32 or fewer channels at the end of blocks of 64 are a block of 32.

#include "kernels/dwconv_s8/dwconv_s8.h"

namespace whit::dwconv_s8 {

/// Computes output rows [row_begin, row_end).
using Function = void(const Args& args, isize row_begin, isize row_end);

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int size, stride, rows, columns, lanes, group, lhs_offset;
};

#define DWCONV_S8_KERNEL(isa, function, size, stride, rows, columns, lanes, group, lhs_offset) Function function;
#include "kernels/dwconv_s8/kernels.inc"
#undef DWCONV_S8_KERNEL

}  // namespace whit::dwconv_s8
