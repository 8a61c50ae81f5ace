#include <algorithm>

#include "kernels/copy/copy.h"
#include "kernels/copy/runs.h"

namespace whit::copy {

void rows(const std::byte* in, isize in_stride_bytes, std::byte* out, isize out_stride_bytes, isize bytes,
          isize count) {
  for (isize i = 0; i < count; ++i, in += in_stride_bytes, out += out_stride_bytes) copy_run(out, in, bytes);
}

void gather(const std::byte* in, isize in_rows, isize bytes, const s32* index, isize count, std::byte* out) {
  for (isize i = 0; i < count; ++i, out += bytes) {
    const isize row = index[i] < 0 ? index[i] + in_rows : index[i];
    copy_run(out, in + std::clamp<isize>(row, 0, in_rows - 1) * bytes, bytes);
  }
}

}  // namespace whit::copy
