#pragma once
// Rows of values to bits, 1 for -1, and the maximum of bits. Value i of a row is bit i % 8, from the lowest, of byte
// i / 8; the bits of the last byte beyond k become 0.

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/pool/pool.h"

namespace whit::bitpack {

/// bit[c] = x[c] < threshold[c]. A NaN, as x or as threshold, gives 0.
template <class T>
struct Args {
  const T* x;
  isize x_stride;       ///< elements from row to row
  isize k;              ///< values of a row
  const T* thresholds;  ///< [k], or null: `threshold` is that of all
  T threshold;
  u8* bits;
  isize bits_stride;  ///< bytes from row to row
};

struct Table {
  Isa isa;
  const char* name;
  /// Each computes rows [begin, end).
  void (*pack_f32)(const Args<f32>&, isize begin, isize end);
  void (*pack_s8)(const Args<s8>&, isize begin, isize end);
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

/// Output rows [begin, end) of the n * out_h of a max pool of x [n, in_h, in_w, channels] into y [n, out_h, out_w,
/// channels], where g.channels counts bytes of 8 channels: the bitwise AND of the pixels of a window that exist, as the
/// larger one of +1 and -1 is +1. Of no pixels it is -1. y may not be x.
void max_pool(const pool::Geometry& g, const u8* x, u8* y, isize begin, isize end);

}  // namespace whit::bitpack
