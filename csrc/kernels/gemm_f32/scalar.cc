// The reference: one row at a time, multiply and add rounded apart.

#include "kernels/simd_f32/scalar.h"
#include "kernels/gemm_f32/kernel.h"

namespace whit::gemm_f32 {
namespace {

constexpr isize kColumns = 4;

}  // namespace

void gemm_f32_4x4_scalar(const Args& args, isize m, isize rows, isize n, isize n_end) {
  const Lhs& lhs = args.lhs;
  const EpilogueF32& epilogue = args.epilogue;
  for (; n < n_end; n += kColumns) {
    const isize columns = n_end - n < kColumns ? n_end - n : kColumns;
    const f32* panel = reinterpret_cast<const f32*>(args.packed) + n * (1 + args.taps * args.k);
    for (isize row = m; row < m + rows; ++row) {
      const f32* rhs = panel;
      f32 acc[kColumns];
      for (f32& a : acc) a = *rhs++;
      for (isize t = 0; t < args.taps; ++t) {
        const f32* a = lhs.base + row * lhs.row_stride;
        if (lhs.offsets) {
          const s32 offset = lhs.offsets[row * args.taps + t];
          a = offset >= 0 ? lhs.base + offset : lhs.pad;
        }
        for (isize k = 0; k < args.k; ++k, rhs += kColumns)
          for (isize j = 0; j < kColumns; ++j) acc[j] = acc[j] + a[k] * rhs[j];
      }
      for (isize j = 0; j < columns; ++j) {
        const f32* residual = epilogue.residual ? epilogue.residual + row * epilogue.residual_stride + n + j : nullptr;
        args.out[row * args.out_stride + n + j] = finish(epilogue, acc[j], residual);
      }
    }
  }
}

}  // namespace whit::gemm_f32
