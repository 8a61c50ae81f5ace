#pragma once
// What the levels are to grouped.cc. The packed layout, panel by panel of nr columns:
//     f32 bias[nr]
//     { u8 codes[kScaleGroup * nr / 2];  f16 scale[nr] }     of each group, codes in blocks as kernel.h has them
// Codes are weights + 8; behind the end of k they are 0.

#include "kernels/gemm_w4/grouped.h"
#include "kernels/gemm_w4/kernel.h"

namespace whit::gemm_w4 {

static_assert(kStep == kScaleGroup);

/// Rows at a time.
inline constexpr isize kMostGroupedRows = 6;

/// Rows [m, m + rows), at most kMostGroupedRows, times columns [n, n_end), n a multiple of nr.
using GroupedFunction = void(const GroupedArgs& args, isize m, isize rows, isize n, isize n_end);

struct GroupedKernel {
  Isa isa;
  const char* name;
  int nr, kr;  ///< kr values of k lie side by side
  isize block;
  GroupedFunction* function;
};

#define GEMM_W4_GROUPED(isa, function, nr, kr, block) GroupedFunction function;
#include "kernels/gemm_w4/grouped.inc"
#undef GEMM_W4_GROUPED

}  // namespace whit::gemm_w4
