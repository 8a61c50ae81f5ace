#pragma once
// What a spmm_s8 kernel is to spmm_s8.cc.

#include "kernels/spmm_s8/spmm_s8.h"

namespace whit::spmm_s8 {

/// How a kernel wants its lines.
struct Form {
  int channels;  ///< of a line, 1, 2 or 4: pixel p of channel c of a line is value p * channels + c
  int bytes;     ///< of a value: s8 or, widened, s16
  int offset;    ///< added to values: 0, or 128, which makes them u8
};
inline constexpr Form kS8{1, 1, 0}, kU8{1, 1, 128}, kS16{1, 2, 0};
inline constexpr Form kS8x2{2, 1, 0}, kS16x2{2, 2, 0}, kS8x4{4, 1, 0}, kU8x4{4, 1, 128};

/// Before the stream in a packed product.
struct alignas(64) Head {
  isize limit;  ///< products that a sum of s16 may have, of kernels of short sums
  bool s4;      ///< values of the stream are Value::s4, not as the kernel reads them
};

using RunFunction = void(const Args& args, isize n_begin, isize n_end, isize pixels);
using LinesFunction = void(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                           isize line_stride);
using StoreFunction = void(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                           const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row);

struct Kernel {
  Isa isa;
  const char* name;
  RunFunction* run;
  LinesFunction* lines;
  StoreFunction* store;
  spmm::Layout layout;
  Form form;
  bool short_sums;
  int step, tile;  ///< pixels
  int lanes;       ///< rows of a slice of a ColumnStream (column.h); 0 of kernels that read a spmm::Stream
};

/// Entries of each lane in a step of a ColumnStream.
constexpr int column_multiple(int lines) { return lines == 1 ? 4 : 2; }

/// What the sums of a row begin with: its bias, without what the zero point of x adds to each product.
s32 bias_without_zero_point(const Csr<s8>& csr, isize row, const s32* bias, s32 zero_point);

#define SPMM_S8_LEVEL(isa)        \
  LinesFunction spmm_lines_##isa; \
  StoreFunction spmm_store_##isa;
#define SPMM_S8_KERNEL(isa, level, name, rows, lines, multiple, block_lines, value, form, short_sums, step, tile) \
  RunFunction name;
#define SPMM_S8_COLUMN(isa, level, name, lines, lanes, form) RunFunction name;
#include "kernels/spmm_s8/kernels.inc"
#undef SPMM_S8_LEVEL
#undef SPMM_S8_KERNEL
#undef SPMM_S8_COLUMN

}  // namespace whit::spmm_s8
