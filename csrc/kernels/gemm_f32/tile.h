#pragma once
// Tiles of R rows x P panels x N vectors, on the Vector of the file that includes this (see simd_f32). That file also
// defines, before including it,
//     template <int R, int N, int P>
//     const f32* accumulate(Vector::Register (&acc)[R][P * N], const f32* const (&lhs)[R], const f32* rhs,
//                           isize panel_stride, isize nr, isize k)
// which adds k products to every accumulator, k ascending, and returns rhs + k * nr.
//
//                rhs   P * N vectors from P panels
//     lhs   R x  | acc acc acc acc |      every accumulator is one vector of columns of one row;
//     floats     | acc acc acc acc |      one float of lhs is multiplied with a vector of rhs

#include "kernels/gemm_f32/kernel.h"
#include "kernels/simd_f32/epilogue.h"

namespace whit::gemm_f32 {
namespace {

using Register = Vector::Register;

template <int R, int N, int P>
void tile(const Args& args, isize m, isize n, isize columns, isize nr) {
  const isize panel_stride = (1 + args.taps * args.k) * nr;
  const f32* rhs = reinterpret_cast<const f32*>(args.packed) + n / nr * panel_stride;
  Register acc[R][P * N];
  WHIT_UNROLL for (int v = 0; v < P * N; ++v) {
    const Register bias = Vector::load(rhs + v / N * panel_stride + v % N * Vector::kLanes);
    WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][v] = bias;
  }
  rhs += nr;

  for (isize t = 0; t < args.taps; ++t) {
    const f32* lhs[R];
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      if (args.lhs.offsets) {
        const s32 offset = args.lhs.offsets[(m + r) * args.taps + t];
        lhs[r] = offset >= 0 ? args.lhs.base + offset : args.lhs.pad;
      } else {
        lhs[r] = args.lhs.base + (m + r) * args.lhs.row_stride;
      }
    }
    rhs = accumulate<R, N, P>(acc, lhs, rhs, panel_stride, nr, args.k);
  }

  const EpilogueF32& epilogue = args.epilogue;
  finish(epilogue, acc, R, static_cast<int>(columns - (P * N - 1) * Vector::kLanes),
         epilogue.residual ? epilogue.residual + m * epilogue.residual_stride + n : nullptr,
         args.out + m * args.out_stride + n, args.out_stride);
}

/// A tile of one panel, with only as many vectors as its columns need.
template <int R, int N>
void panel_tile(const Args& args, isize m, isize n, isize columns, isize nr) {
  if constexpr (N > 1) {
    if (columns <= (N - 1) * Vector::kLanes) return panel_tile<R, N - 1>(args, m, n, columns, nr);
  }
  tile<R, N, 1>(args, m, n, columns, nr);
}

/// All columns of `rows` <= R rows, N vectors to a panel. Few rows take several panels at a time, because one panel
/// has too few accumulators to hide the latency of FMA.
template <int R, int N>
void strip(const Args& args, isize m, isize rows, isize n, isize n_end) {
  if constexpr (R > 1) {
    if (rows < R) return strip<R - 1, N>(args, m, rows, n, n_end);
  }
  constexpr isize nr = N * Vector::kLanes;
  constexpr int kPanels = R * N <= 2 ? 4 : R * N <= 4 ? 2 : 1;
  if constexpr (kPanels > 1) {
    for (; n + kPanels * nr <= n_end; n += kPanels * nr) tile<R, N, kPanels>(args, m, n, kPanels * nr, nr);
  }
  for (; n < n_end; n += nr) panel_tile<R, N>(args, m, n, n_end - n < nr ? n_end - n : nr, nr);
}

}  // namespace
}  // namespace whit::gemm_f32
