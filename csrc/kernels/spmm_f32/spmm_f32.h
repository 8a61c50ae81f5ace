#pragma once
// f32 sparse matrix product:  acc[n][p] = bias[n] + sum_t,k w[n][t][k] * x[k][p + offset[t]]  over the w that are not 0
// (kernels/spmm/stream.h). Zeros of w take no part: 0 * inf is not seen, except inside of the blocks of kernels whose
// entries have several rows; a NaN is not 0. Each sum runs over the weights in the order of the stream, in one
// accumulator, so results do not depend on tiling or threads; they differ between ISAs by the use of FMA alone.
//
// x and acc may be matrices of the caller's. For an operator on NHWC tensors, lines_from_rows() makes x from pixels,
// and store() takes acc through the epilogue of gemm_f32 to pixels.

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"
#include "kernels/spmm/stream.h"

namespace whit::spmm_f32 {

using spmm::Block;
using spmm::Csr;

struct Problem {
  isize n, taps, k;
  isize pixels;  ///< taken at once; 0 = not known yet. 1 if it is never more
  Block block;   ///< that the weights come in (spmm::block_of())
};

struct Kernel;  // one line of kernels.inc

/// Every kernel of this build, in order of preference. To walk them, include kernel.h.
std::span<const Kernel> kernels();
/// The kernel for this problem on a CPU with these ISA levels. Pure.
const Kernel& select(const Problem& problem, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);
/// Pixels that run() takes through the weights at once, at most. Kernels of 1 compute no more than one pixel, of x
/// whose lines are one element apart, with one tap and k <= 65536.
isize pixel_tile(const Kernel& kernel);
/// Rows of w whose weights in a column are stored together if one of them is not 0.
int entry_rows(const Kernel& kernel);
/// Rows that ranges of run() begin on a multiple of.
isize row_step(const Kernel& kernel);

/// SIZE_MAX, which no AlignedBuffer has, if the matrix is too large for the kernel's packed form.
std::size_t packed_bytes(const Kernel& kernel, const Csr<f32>& csr);
/// Packs valid rows (spmm::valid()) into the packed_bytes() at `packed`, 64-byte aligned. bias: [n], or null for zeros.
void pack(const Kernel& kernel, const Csr<f32>& csr, const f32* bias, std::byte* packed);

struct Args {
  const std::byte* packed;
  const f32* lines;    ///< pixel p of line k at lines[k * line_stride + p]
  isize line_stride;   ///< elements
  const s32* offsets;  ///< [taps] in pixels, or null: one tap at 0
  f32* acc;            ///< pixel p of row n at acc[n * acc_stride + p]; nothing but [n][pixels] is written
  isize acc_stride;
};

/// Computes rows [n_begin, n_end) of the first `pixels` pixels, n_end = n or a multiple of row_step(). Reads no pixels
/// of a line but [0, pixels) + offset[t]. Allocates nothing.
void run(const Kernel& kernel, const Args& args, isize n_begin, isize n_end, isize pixels);

/// Row i is k floats at  base + i * row_stride  (offsets null), or at  base + offsets[i]  (in elements) where that is
/// >= 0, else at `pad`. Nothing beside them is read.
struct Rows {
  const f32* base;
  isize row_stride;
  const s32* offsets;
  const f32* pad;
};

/// Rows [begin, begin + count) become pixels 0, 1, ... of k lines.
void lines_from_rows(const Rows& rows, isize begin, isize count, isize k, f32* lines, isize line_stride);

/// Takes columns [n_begin, n_end) of rows first_row + p, p < pixels, of the output from acc through the epilogue. The
/// residual may be the output itself.
void store(const Kernel& kernel, const f32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
           const EpilogueF32& epilogue, f32* out, isize out_stride, isize first_row);

}  // namespace whit::spmm_f32
