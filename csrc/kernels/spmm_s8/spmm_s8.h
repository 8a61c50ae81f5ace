#pragma once
// s8 sparse matrix product with s32 accumulators, exact on every ISA:
//     acc[n][p] = bias[n] + sum_t,k w[n][t][k] * (x[k][p + offset[t]] - zero_point)
// over the w that are not 0 (kernels/spmm/stream.h). A product of tiles of NHWC pixels takes three steps, all on memory
// of the caller that stays in L1 and L2:
//     lines_from_rows()   pixels to lines, in the form that the kernel multiplies
//     run()               lines to accumulators [n][pixels]
//     store()             accumulators through the epilogue of gemm_s8 to pixels, with the same bytes

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"
#include "kernels/spmm/stream.h"

namespace whit::spmm_s8 {

using spmm::Block;
using spmm::Csr;

struct Problem {
  isize n, taps, k;
  isize pixels;       ///< taken at once; 0 = not known yet. 1 if it is never more
  Block block;        ///< that the weights come in (spmm::block_of())
  int largest = 127;  ///< magnitude of a weight
};

struct Kernel;  // one line of kernels.inc

/// Every kernel of this build, in order of preference. To walk them, include kernel.h.
std::span<const Kernel> kernels();
/// The kernel for this problem on a CPU with these ISA levels. Pure.
const Kernel& select(const Problem& problem, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);
/// Whether the kernel's sums of such weights are exact. True for all of them up to 127, but for those of short sums.
bool fits(const Kernel& kernel, int largest);
/// What the kernel's stream of weights is like. Where all weights are in [-8, 7], pack() stores them as s4 instead.
const spmm::Layout& layout(const Kernel& kernel);
/// Pixels that run() takes through the weights at once. Kernels of 1 compute no more than one pixel, with one tap, from
/// lines that follow each other: line_stride is line_bytes(kernel, 1).
isize pixel_tile(const Kernel& kernel);
/// run() takes `pixels` rounded up to a multiple of this: lines are read that far from every offset on, and rows of acc
/// written. What is behind the pixels themselves may be anything.
isize pixel_step(const Kernel& kernel);
/// Rows that ranges of run() begin on a multiple of.
isize row_step(const Kernel& kernel);

/// A line has the pixels of one channel or of several, whose values are side by side: so many bytes for `pixels`.
isize line_bytes(const Kernel& kernel, isize pixels);
/// Lines of k channels.
isize line_count(const Kernel& kernel, isize k);

/// SIZE_MAX, which no AlignedBuffer has, if the matrix is too large for the kernel's packed form.
std::size_t packed_bytes(const Kernel& kernel, const Csr<s8>& csr);
/// Packs valid rows (spmm::valid()) of values in [-127, 127], not -128, that fit the kernel into the packed_bytes() at
/// `packed`, 64-byte aligned. bias: [n], or null for zeros.
void pack(const Kernel& kernel, const Csr<s8>& csr, const s32* bias, s32 zero_point, std::byte* packed);

/// Row i is k bytes at  base + i * row_stride  (offsets null), or at  base + offsets[i]  where that is >= 0, else
/// `pad`. No byte beside them is read.
struct Rows {
  const s8* base;
  isize row_stride;
  const s32* offsets;
  const s8* pad;  ///< k bytes: what padding holds
};

/// Rows [begin, begin + count) become pixels 0, 1, ... of lines `line_stride` bytes apart. Writes line_bytes(count) of
/// each of line_count(k) lines, of the last channels that do not exist too, and maybe more up to pixels rounded up to
/// pixel_step().
void lines_from_rows(const Kernel& kernel, const Rows& rows, isize begin, isize count, isize k, void* lines,
                     isize line_stride);
/// The same from a matrix whose rows are channels already: x of channel k, pixel p at x[k * x_stride + p].
void lines_from_channels(const Kernel& kernel, const s8* x, isize x_stride, isize count, isize k, void* lines,
                         isize line_stride);

struct Args {
  const std::byte* packed;
  const void* lines;   ///< of every channel
  isize line_stride;   ///< bytes
  const s32* offsets;  ///< [taps] in pixels, or null: one tap at 0
  s32* acc;            ///< pixel p of row n at acc[n * acc_stride + p]; rows up to n rounded up to layout().rows
  isize acc_stride;
};

/// Computes rows [n_begin, n_end) of pixels [0, pixels), n_end = n or a multiple of row_step(). Allocates nothing.
void run(const Kernel& kernel, const Args& args, isize n_begin, isize n_end, isize pixels);

/// Takes columns [n_begin, n_end) of rows first_row + p, p < pixels, of the output from acc through the epilogue.
void store(const Kernel& kernel, const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
           const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row);

}  // namespace whit::spmm_s8
