#pragma once
// What a gemm_s8 microkernel is to run(). The packed layout, panel by panel of nr columns (the last one padded with
// zeros):
//     s32 bias[nr]                                 less lhs_zero_point * sum of the column
//     s8 rhs[taps][ceil(k / kr)][nr][kr]           plus rhs_offset, k padded with zeros
//     u32 mild[mild_words()]                       if kr is 16, see there
//     f32 reach[nr]                                128 * the sum of |column|: how far accumulators get from bias
// A kernel with rhs_offset 128 reads its weights as u8 and takes 128 * (sum of the row) off the accumulators itself.

#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::gemm_s8 {

/// Where kr is 16, a pair of columns has bits that are 1 for an odd number of groups, then, for every two groups (after
/// the first one of an odd number), where sums of four products that are 8 k apart fit in s16. Words hold 31 bits from
/// the top on, or what is left of them, and a 1 below. They are those of the first tap.
constexpr isize mild_words(isize kr, isize k) { return kr == 16 ? ((k + kr - 1) / kr / 2 + 31) / 31 : 0; }

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
