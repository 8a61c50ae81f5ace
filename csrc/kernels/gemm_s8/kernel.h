#pragma once
// What a gemm_s8 microkernel is to run(). The packed layout, panel by panel of nr columns (the last one padded with
// zeros):
//     s32 bias[nr]                                 less lhs_zero_point * sum of the column
//     s8 rhs[taps][ceil(k / kr)][nr][kr]           plus rhs_offset, k padded with zeros
//     f32 largest[16]                              16 times a bound of every |accumulator| of the panel
// A kernel with rhs_offset 128 reads its weights as u8 and takes 128 * (sum of the row) off the accumulators itself.

#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::gemm_s8 {

inline constexpr isize kPanelTrailer = 16 * sizeof(f32);

/// Rows of a block are taken through the panels together, at most this many tiles.
inline constexpr isize kMaxTilesPerBlock = 32;

/// Computes rows [m, m + rows), 1 <= rows <= kMaxTilesPerBlock * mr, of columns [n, n_end), n a multiple of nr.
using Function = void(const Args& args, isize m, isize rows, isize n, isize n_end);

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int mr, nr, kr, rhs_offset;
};

#define GEMM_S8_KERNEL(isa, function, mr, nr, kr, rhs_offset) Function function;
#include "kernels/gemm_s8/kernels.inc"
#undef GEMM_S8_KERNEL

}  // namespace whit::gemm_s8
