#pragma once
// The packed form of the kernels for one column. x is short enough for L1, so a vector gathers what it needs from it,
// an entry for each of its rows; what counts is that weights are few bytes.

#include "kernels/spmm/column.h"
#include "kernels/spmm_s8/kernel.h"

namespace whit::spmm_s8 {

/// An entry is `lines` weights of a row, of which one is not 0: a place and their values. Rows of a band are sorted by
/// how many they have and cut into slices, a row a lane. A step has `multiple` entries of each lane (spmm::Layout), or
/// fewer and zeros: those that lie within 256 places of the step's base, so that a place is a byte. The base is where
/// the row that is most behind goes on. Parts lie at offsets in bytes from here.
struct alignas(64) ColumnStream {
  u32 n;
  u32 bias;    ///< s32 of each lane of each slice
  u32 rows;    ///< u32 of each lane of each slice; n for none
  u32 starts;  ///< u32 [slices + 1]: a slice's first step
  u32 bases;   ///< u16 [steps], in entries
  u32 places;  ///< u8 [steps][multiple][lanes]
  u32 values;  ///< s8 [steps][multiple][lanes][lines]

  template <class T>
  const T* at(u32 offset) const {
    return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(this) + offset);
  }
};

/// Whether a matrix has one tap and bases fit.
bool fits_column(const Kernel& kernel, isize taps, isize k);

/// Of the stream alone, which follows the Head; SIZE_MAX if it does not fit.
std::size_t column_bytes(const Kernel& kernel, const Csr<s8>& csr);
void pack_column(const Kernel& kernel, const Csr<s8>& csr, const s32* bias, s32 zero_point, std::byte* packed);

}  // namespace whit::spmm_s8
