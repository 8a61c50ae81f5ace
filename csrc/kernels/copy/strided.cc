#include <algorithm>
#include <cstring>

#include "kernels/copy/copy.h"
#include "kernels/copy/runs.h"
#include "kernels/copy/transpose.h"

namespace whit::copy {
namespace {

constexpr isize kDenseBlock = 16384;     // bytes of a dense copy that one unit takes
constexpr isize kTransposeBytes = 8192;  // about what one unit of a transposition writes

/// Drops axes of one element and merges neighbours that walk the input as one axis would.
View collapse(const View& view) {
  View out;
  out.offset = view.offset;
  for (int i = 0; i < view.rank; ++i) {
    if (view.sizes[i] == 1) continue;
    if (out.rank > 0 && out.strides[out.rank - 1] == view.strides[i] * view.sizes[i]) {
      out.sizes[out.rank - 1] *= view.sizes[i];
      out.strides[out.rank - 1] = view.strides[i];
    } else {
      out.push(view.sizes[i], view.strides[i]);
    }
  }
  return out;
}

void move_last(Plan* plan, int axis) {
  View& view = plan->view;
  std::rotate(view.sizes + axis, view.sizes + axis + 1, view.sizes + view.rank);
  std::rotate(view.strides + axis, view.strides + axis + 1, view.strides + view.rank);
  std::rotate(plan->out_strides + axis, plan->out_strides + axis + 1, plan->out_strides + view.rank);
}

/// Counts through the outer axes of a plan, last one fastest.
class Odometer {
 public:
  Odometer(const Plan& plan, isize index) : plan_(plan), in_(plan.view.offset) {
    for (int i = plan.outer - 1; i >= 0; --i) {
      index_[i] = index % plan.view.sizes[i];
      index /= plan.view.sizes[i];
      in_ += index_[i] * plan.view.strides[i];
      out_ += index_[i] * plan.out_strides[i];
    }
  }
  isize in() const { return in_; }
  isize out() const { return out_; }
  void next() {
    for (int i = plan_.outer - 1; i >= 0; --i) {
      in_ += plan_.view.strides[i];
      out_ += plan_.out_strides[i];
      if (++index_[i] < plan_.view.sizes[i]) return;
      in_ -= index_[i] * plan_.view.strides[i];
      out_ -= index_[i] * plan_.out_strides[i];
      index_[i] = 0;
    }
  }

 private:
  const Plan& plan_;
  isize index_[kMaxRank] = {};
  isize in_, out_ = 0;
};

template <class T>
void strided_row(const std::byte* in, isize stride, std::byte* out, isize count) {
  for (isize i = 0; i < count; ++i, in += stride, out += sizeof(T)) store(out, load<T>(in));
}

template <class T>
void fill_row(const std::byte* in, std::byte* out, isize count) {
  const T value = load<T>(in);
  for (isize i = 0; i < count; ++i, out += sizeof(T)) store(out, value);
}

template <class T>
void run_units(const Plan& plan, const std::byte* in, std::byte* out, isize begin, isize end) {
  const View& view = plan.view;
  const int last = view.rank - 1;
  Odometer at(plan, begin / plan.blocks);
  isize block = begin % plan.blocks;
  for (isize unit = begin; unit < end; ++unit) {
    const std::byte* from = in + at.in();
    std::byte* to = out + at.out();
    switch (plan.path) {
      case Path::dense: {
        const isize first = block * plan.block;
        std::memcpy(to + first, from + first, static_cast<std::size_t>(std::min(plan.block, view.sizes[0] - first)));
        break;
      }
      case Path::rows: copy_run(to, from, view.sizes[last] * plan.element_bytes); break;
      case Path::fill: fill_row<T>(from, to, view.sizes[last]); break;
      case Path::strided: strided_row<T>(from, view.strides[last], to, view.sizes[last]); break;
      case Path::transpose: {
        const isize row_blocks = ceil_div(view.sizes[last - 1], plan.row_block);
        const isize column = block / row_blocks * plan.block, row = block % row_blocks * plan.row_block;
        const isize size = static_cast<isize>(sizeof(T)), in_stride = view.strides[last - 1];
        const isize out_stride = plan.out_strides[last];
        transpose_block<T>(from + column * size + row * in_stride, in_stride, to + column * out_stride + row * size,
                           out_stride, std::min(plan.row_block, view.sizes[last - 1] - row),
                           std::min(plan.block, view.sizes[last] - column));
        break;
      }
    }
    if (++block == plan.blocks) {
      block = 0;
      at.next();
    }
  }
}

}  // namespace

Plan plan(const View& given, isize element_bytes) {
  Plan plan;
  plan.view = collapse(given);
  plan.element_bytes = element_bytes;
  View& view = plan.view;

  // An inner run of 2 or 4 bytes is one element.
  if (view.rank > 1 && view.strides[view.rank - 1] == element_bytes) {
    const isize bytes = view.sizes[view.rank - 1] * element_bytes;
    if (bytes == 2 || bytes == 4) {
      plan.element_bytes = element_bytes = bytes;
      --view.rank;
    }
  }
  if (view.rank == 0 || (view.rank == 1 && view.strides[0] == element_bytes)) {
    const isize bytes = (view.rank ? view.sizes[0] : 1) * element_bytes;
    plan.path = Path::dense;
    view.rank = 1;
    view.sizes[0] = bytes;
    view.strides[0] = plan.out_strides[0] = 1;
    plan.block = std::min(bytes, kDenseBlock);
    plan.units = plan.blocks = ceil_div(bytes, plan.block);
    plan.unit_bytes = plan.block;
    return plan;
  }

  isize out_stride = element_bytes;
  for (int i = view.rank - 1; i >= 0; --i) {
    plan.out_strides[i] = out_stride;
    out_stride *= view.sizes[i];
  }
  const int last = view.rank - 1;
  const auto contiguous = std::find(view.strides, view.strides + last, element_bytes);
  if (view.strides[last] == element_bytes) {
    plan.path = Path::rows;
  } else if (view.strides[last] == 0) {
    plan.path = Path::fill;
  } else if (contiguous != view.strides + last) {
    plan.path = Path::transpose;
    move_last(&plan, static_cast<int>(contiguous - view.strides));
  } else {
    plan.path = Path::strided;
  }

  plan.outer = plan.path == Path::transpose ? last - 1 : last;
  if (plan.path == Path::transpose) {
    // Whole cache lines of the input where there are as many columns; then rows up to the size of a unit.
    const isize rows = view.sizes[last - 1], columns = view.sizes[last];
    const isize wanted = std::max(64 / element_bytes, round_up(kTransposeBytes / (rows * element_bytes), 16));
    plan.block = std::min(columns, wanted);
    plan.row_block = std::min(rows, round_up(kTransposeBytes / (plan.block * element_bytes), 16));
    plan.blocks = ceil_div(columns, plan.block) * ceil_div(rows, plan.row_block);
    plan.unit_bytes = plan.block * plan.row_block * element_bytes;
  } else {
    plan.unit_bytes = view.sizes[last] * element_bytes;
  }
  for (int i = 0; i < plan.outer; ++i) plan.units *= view.sizes[i];
  plan.units *= plan.blocks;
  return plan;
}

const char* name(Path path) {
  constexpr const char* kNames[] = {"copy_dense", "copy_rows", "copy_fill", "copy_transpose", "copy_strided"};
  return kNames[static_cast<int>(path)];
}

void run(const Plan& plan, const std::byte* in, std::byte* out, isize begin, isize end) {
  if (plan.element_bytes == 1) return run_units<u8>(plan, in, out, begin, end);
  if (plan.element_bytes == 2) return run_units<u16>(plan, in, out, begin, end);
  run_units<u32>(plan, in, out, begin, end);
}

}  // namespace whit::copy
