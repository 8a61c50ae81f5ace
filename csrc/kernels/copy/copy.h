#pragma once
// Moving elements without looking at them: strided views (slice, expand, transpose, depth_to_space), rows (concat,
// split, gather) and padding. Elements are bytes to these functions; nothing needs to be aligned.

#include "base/types.h"

namespace whit::copy {

inline constexpr int kMaxRank = 8;

/// Which element of the input stands at each place of the output. The output is dense and row-major over `sizes`:
///     out[i0][i1]... = in[offset + i0 * strides[0] + i1 * strides[1] + ...]
/// Offset and strides count bytes; stride 0 repeats, a negative stride walks backwards.
struct View {
  int rank = 0;
  isize sizes[kMaxRank] = {};
  isize strides[kMaxRank] = {};
  isize offset = 0;

  /// Adds an inner axis. At most kMaxRank.
  void push(isize size, isize stride) {
    sizes[rank] = size;
    strides[rank++] = stride;
  }
};

enum class Path : u8 {
  dense,      ///< the output is one run of the input
  rows,       ///< the last axis is contiguous in the input: runs
  fill,       ///< the last axis repeats one element
  transpose,  ///< another axis is contiguous in the input: blocks
  strided,    ///< neither: element by element along the last axis
};

/// A view with its axes merged as far as they go, and the way to copy it.
struct Plan {
  Path path = Path::dense;
  isize element_bytes = 1;  ///< may have grown to 2 or 4 by a merged inner axis
  int outer = 0;            ///< axes of the view that units count
  View view;                ///< the outer axes of the output, then the path's inner axes: one, or two for transpose
  isize out_strides[kMaxRank] = {};  ///< bytes, of the same axes
  isize block = 0;                   ///< per unit: dense: bytes, transpose: elements of the contiguous axis
  isize row_block = 0;               ///< per unit: transpose: elements of the other axis
  isize blocks = 1;                  ///< units per outer index, those at the end may be smaller
  isize units = 1;                   ///< pieces of work, the outer indices times blocks
  isize unit_bytes = 0;              ///< of output that one unit writes, about
};

/// element_bytes is 1, 2 or 4; every size is at least 1.
Plan plan(const View& view, isize element_bytes);
const char* name(Path path);
/// Copies units [begin, end).
void run(const Plan& plan, const std::byte* in, std::byte* out, isize begin, isize end);

/// `count` runs of `bytes`, with their distances in input and output.
void rows(const std::byte* in, isize in_stride_bytes, std::byte* out, isize out_stride_bytes, isize bytes, isize count);

/// out[i] = in[clamp(index[i] < 0 ? index[i] + in_rows : index[i], 0, in_rows - 1)], rows of `bytes`.
void gather(const std::byte* in, isize in_rows, isize bytes, const s32* index, isize count, std::byte* out);

enum class PadMode : u8 { constant, reflect, edge };

/// A padded tensor; inner axes without padding are part of the element.
struct Pad {
  PadMode mode = PadMode::constant;
  int rank = 0;  ///< at least 1 when planned
  isize sizes[kMaxRank] = {};
  isize before[kMaxRank] = {}, after[kMaxRank] = {};  ///< reflect: less than the axis' size
  isize element_bytes = 1;
  isize rows = 1;       ///< of the output: all axes but the last
  isize row_bytes = 0;  ///< of the output
  u32 value = 0;        ///< constant mode: the bits of one element of value_bytes
  isize value_bytes = 1;

  void push(isize size, isize pad_before, isize pad_after) {
    sizes[rank] = size;
    before[rank] = pad_before;
    after[rank++] = pad_after;
  }
};

/// Merges axes of `pad` (mode, axes, value and value_bytes = 1, 2 or 4 are set) and fills in the rest.
Pad plan(const Pad& pad);
/// Writes output rows [begin, end).
void run(const Pad& pad, const std::byte* in, std::byte* out, isize begin, isize end);

}  // namespace whit::copy
