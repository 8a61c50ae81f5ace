#pragma once
// What a gemm_f32 microkernel is to run(). The packed layout, panel by panel of nr columns (the last one padded with
// zeros):
//     bias[nr], then for t in [0, taps), k in [0, k):  rhs[nr][t][k]
// so that (1 + taps * k) * nr floats lie between two panels.

#include "kernels/gemm_f32/gemm_f32.h"

namespace whit::gemm_f32 {

/// Computes rows [m, m + rows), 1 <= rows <= mr, of columns [n, n_end), n a multiple of nr.
using Function = void(const Args& args, isize m, isize rows, isize n, isize n_end);

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int mr, nr;
};

#define GEMM_F32_KERNEL(isa, function, mr, nr) Function function;
#include "kernels/gemm_f32/kernels.inc"
#undef GEMM_F32_KERNEL

}  // namespace whit::gemm_f32
