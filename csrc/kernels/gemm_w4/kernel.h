#pragma once
// What the levels of gemm_w4 are to gemm_w4.cc. The packed layout: a Head, then panel by panel what gemm_s8 has
// (kernels/gemm_s8/kernel.h), with codes for values:
//     s32 bias[nr]
//     u8 codes[]        of the values of the panel, in their order, and up to a multiple of kStep * nr of zeros
//     mild[], f32 reach[nr]
// A block of so many bytes as a register of the level has holds the codes of 8 / bits registers of values that follow
// each other: of register i in the bits from i * bits on of every byte.

#include "kernels/gemm_w4/gemm_w4.h"

namespace whit::gemm_w4 {

/// Codes are for whole steps of this many k, or of as many values of all taps.
inline constexpr isize kStep = 32;

/// Rows that are multiplied with codes at a time.
inline constexpr isize kFewRows = 4;

struct alignas(64) Head {
  s8 values[16];  ///< of the codes
  s32 first;      ///< values are codes plus this one, if they are linear
  bool linear, has_zero;
  s64 k;  ///< of a tap, as packed: rows may be given with more, see k_group()
};

/// Rows [m, m + rows), at most kFewRows, times columns [n, n_end), n a multiple of nr. There is one tap, or k is whole
/// steps. `panel_stride` is bytes from panel to panel.
using FewFunction = void(const Args& args, isize panel_stride, isize m, isize rows, isize n, isize n_end);
/// `blocks` blocks of codes to values: value i of the codebook becomes table[i].
using ExpandFunction = void(const u8* codes, isize blocks, const u8* table, u8* values);

struct Kernel {
  Isa isa;
  const char* name;
  int bits;
  isize block;    ///< bytes
  bool any_rows;  ///< with linear codes `few` is the faster way for any number of rows
  FewFunction* few;
  ExpandFunction* expand;
};

#define GEMM_W4_KERNEL(isa, bits, block, any_rows, few, expand) \
  FewFunction few;                                              \
  ExpandFunction expand;
#include "kernels/gemm_w4/kernels.inc"
#undef GEMM_W4_KERNEL

}  // namespace whit::gemm_w4
