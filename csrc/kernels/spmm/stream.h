#pragma once
// Sparse weights as spmm kernels read them, made from CSR.
//
//     acc[n][p] = bias[n] + sum over taps t, lines k of  w[n][t][k] * x[k][p + offset[t]]
//
// A line is what one channel has in consecutive pixels ("channel-major"): kernels load pixels next to each other and
// broadcast weights. A convolution sees the same lines from another place on for each tap, so there is no im2col
// (Elsen et al., "Fast Sparse ConvNets", 2020, have 1x1 alone).
//
// Weights come in entries of `rows` x `lines` values, of which at least one is not 0. Rows are taken in groups of
// `rows`, lines in sets of `lines`. Where an entry's x is, is a place: sets and taps are numbered set * taps + tap, and
// a block of at most 256 consecutive numbers, whose lines stay in L1, has a byte for each, or what a kernel wants
// instead:
//
//     for each block b:  for each band s of groups:  runs of entries, a run per group
//         runs[]    {group of the band, count}
//         places[]  u8 per entry, ascending in a run: at[place] of place_offsets() is where its x begins; or u16, the
//                   place times place_bytes
//         values[]  per entry [rows][lines]; per `multiple` entries [rows][multiple][lines]
//
// A kernel goes through the blocks of n_begin..n_end, whole bands, and adds each run to its group's accumulators, which
// are in memory between blocks. In block 0 every group has a run, if only of no entry, which starts from the bias; in
// other blocks those that have entries. Runs of a band are sorted by count, so that the ends of their loops are
// predicted. A bundle of runs, for kernels that take several at a time, has first the entries that all its runs have,
// one of each run in turns, then what is left of each; at the end of a band runs that are no whole bundle come one by
// one. The last group may have rows that do not exist: their bias and values are 0.

#include "base/checked.h"
#include "kernels/spmm/csr.h"

namespace whit::spmm {

enum class Value : u8 {
  f32,
  s8,
  s16,  ///< of s8
  s4,   ///< of s8 in [-8, 7]: 64 values are 32 bytes, whose low bits are the first 32 of them
};

/// Values of s4 that are stored together.
inline constexpr isize kNibbles = 64;

/// What a kernel wants its stream to be.
struct Layout {
  int rows = 1;           ///< of an entry, at most 8
  int lines = 1;          ///< of an entry; rows * lines at most 8
  int multiple = 1;       ///< of counts, at most 8: entries of zeros, at the place of the one before, fill up
  int block_lines = 256;  ///< of which a block has the places
  int band = 64;          ///< groups of a band, at most 65536
  Value value = Value::f32;
  int places = 256;     ///< of a block, at most
  int bundle = 1;       ///< runs
  int place_bytes = 0;  ///< 0: places are u8; otherwise at most 65535 for the last place
};

/// The rows that ranges of run() begin on a multiple of.
constexpr isize row_step(const Layout& layout) { return isize{layout.rows} * layout.band; }

struct Run {
  u16 group, count;
};

/// Where a band begins in a block.
struct Start {
  u32 entry, run;
};

/// The head of a packed stream. Parts lie at offsets in bytes from here, multiples of 64.
struct alignas(64) Stream {
  u32 n, taps, k;
  u32 all_places;
  u32 places;         ///< of a block; the last one may have fewer
  u32 blocks, bands;  ///< at least one block
  u32 bias;           ///< f32 or s32 [bands * row_step]
  u32 starts;         ///< Start [blocks * bands + 1]
  u32 run_list, place_list, value_list;

  template <class T>
  const T* at(u32 offset) const {
    return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(this) + offset);
  }
};

inline const Stream& stream(const std::byte* packed) { return *reinterpret_cast<const Stream*>(packed); }

/// SIZE_MAX if a part, a count or a size does not fit the stream (4 GiB): no AlignedBuffer has that.
/// T is f32 for Value::f32, else s8.
template <class T>
std::size_t packed_bytes(const Csr<T>& csr, const Layout& layout);

/// Writes the packed_bytes() of a valid csr for which they are not SIZE_MAX to `packed`, 64-byte aligned. Bias: [n] of
/// 4 bytes each, or null for zeros. Explicit zeros of the csr are not taken.
template <class T>
void pack(const Csr<T>& csr, const Layout& layout, const void* bias, std::byte* packed);

/// at[place], for the places of a block, whose number is returned: where x of its entries begins from x of line 0,
/// pixel 0, in elements. Sets of lines are set_stride elements apart, pixels pixel_stride; offsets: [taps] pixels, or
/// null for one tap at 0.
isize place_offsets(const Stream& stream, isize block, isize set_stride, isize pixel_stride, const s32* offsets,
                    isize (&at)[256]);

/// The row that part i of `parts` begins with, if rows are to be split so that parts have about as many entries each:
/// 0 for i = 0, n for i = parts, multiples of row_step() between.
isize split_row(const Stream& stream, const Layout& layout, int parts, int i);

}  // namespace whit::spmm
