#pragma once
// Finish of few.h for levels with vectors. Include the level's file of simd_s8 before.

#include "kernels/gemm_w4/kernel.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_w4 {
namespace {

struct Finish {
  explicit Finish(const Args& args) : epilogue(args.epilogue, args.out, args.out_stride) {}

  /// Sixteen columns at a time, which are one store of s8, then what is left.
  [[gnu::noinline]] void row(const s32* sums, isize m, isize n, isize columns) const {
    constexpr isize kLanes = Vector::kLanes, kVectors = 16 / kLanes;
    const Consecutive rows{m};
    isize c = 0;
    for (; c + 16 <= columns; c += 16) {
      Vector::Int acc[1][kVectors];
      WHIT_UNROLL for (int v = 0; v < kVectors; ++v) acc[0][v] = Vector::load(sums + c + v * kLanes);
      finish(epilogue, acc, rows, n + c, kLanes);
    }
    for (; c < columns; c += kLanes) {
      Vector::Int acc[1][1] = {{Vector::load(sums + c)}};
      finish(epilogue, acc, rows, n + c, static_cast<int>(columns - c < kLanes ? columns - c : kLanes));
    }
  }

  Epilogue epilogue;
};

}  // namespace
}  // namespace whit::gemm_w4
