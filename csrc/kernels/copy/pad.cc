#include <algorithm>

#include "kernels/copy/copy.h"
#include "kernels/copy/runs.h"

namespace whit::copy {
namespace {

/// The index along an axis that output index i shows, or -1 for the constant.
isize source(PadMode mode, isize i, isize size) {
  if (i >= 0 && i < size) return i;
  if (mode == PadMode::constant) return -1;
  if (mode == PadMode::edge) return i < 0 ? 0 : size - 1;
  return i < 0 ? -i : 2 * (size - 1) - i;
}

void fill(std::byte* out, isize bytes, u32 value, isize value_bytes) {
  if (value_bytes == 1) {
    std::memset(out, static_cast<u8>(value), static_cast<std::size_t>(bytes));
  } else if (value_bytes == 2) {
    for (isize i = 0; i < bytes; i += 2) store(out + i, static_cast<u16>(value));
  } else {
    for (isize i = 0; i < bytes; i += 4) store(out + i, value);
  }
}

}  // namespace

Pad plan(const Pad& given) {
  Pad pad = given;
  pad.rank = 0;
  pad.element_bytes = given.value_bytes;
  int rank = given.rank;
  const auto untouched = [&](int i) { return given.before[i] == 0 && given.after[i] == 0; };
  while (rank > 1 && untouched(rank - 1)) pad.element_bytes *= given.sizes[--rank];
  for (int i = 0; i < rank; ++i) {
    if (pad.rank > 0 && untouched(i) && untouched(i - 1))
      pad.sizes[pad.rank - 1] *= given.sizes[i];
    else
      pad.push(given.sizes[i], given.before[i], given.after[i]);
  }
  if (pad.rank == 0) pad.push(1, 0, 0);
  pad.rows = 1;
  for (int i = 0; i < pad.rank - 1; ++i) pad.rows *= pad.before[i] + pad.sizes[i] + pad.after[i];
  const int last = pad.rank - 1;
  pad.row_bytes = (pad.before[last] + pad.sizes[last] + pad.after[last]) * pad.element_bytes;
  return pad;
}

void run(const Pad& pad, const std::byte* in, std::byte* out, isize begin, isize end) {
  const int last = pad.rank - 1;
  const isize size = pad.sizes[last], bytes = pad.element_bytes;
  for (isize row = begin; row < end; ++row) {
    std::byte* to = out + row * pad.row_bytes;
    isize rest = row, offset = 0, stride = size * bytes;
    bool outside = false;
    for (int i = last - 1; i >= 0; --i) {
      const isize extent = pad.before[i] + pad.sizes[i] + pad.after[i];
      const isize at = source(pad.mode, rest % extent - pad.before[i], pad.sizes[i]);
      outside |= at < 0;
      offset += at * stride;
      stride *= pad.sizes[i];
      rest /= extent;
    }
    if (outside) {
      fill(to, pad.row_bytes, pad.value, pad.value_bytes);
      continue;
    }
    const std::byte* from = in + offset;
    const auto side = [&](isize first, isize count) {  // output indices relative to the input's first element
      if (pad.mode == PadMode::constant)
        return fill(to + (pad.before[last] + first) * bytes, count * bytes, pad.value, pad.value_bytes);
      for (isize i = first; i < first + count; ++i)
        copy_run(to + (pad.before[last] + i) * bytes, from + source(pad.mode, i, size) * bytes, bytes);
    };
    side(-pad.before[last], pad.before[last]);
    copy_run(to + pad.before[last] * bytes, from, size * bytes);
    side(size, pad.after[last]);
  }
}

}  // namespace whit::copy
