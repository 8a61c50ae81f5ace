#pragma once
// Finish of few.h without vectors. Include simd_s8/scalar.h before.

#include "kernels/gemm_w4/kernel.h"

namespace whit::gemm_w4 {
namespace {

struct Finish {
  explicit Finish(const Args& of) : args(of) {}
  void row(const s32* sums, isize m, isize n, isize columns) const {
    for (isize c = 0; c < columns; ++c) whit::finish(args.epilogue, sums[c], m, n + c, args.out, args.out_stride);
  }
  const Args& args;
};

}  // namespace
}  // namespace whit::gemm_w4
