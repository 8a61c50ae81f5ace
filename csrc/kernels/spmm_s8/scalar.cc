// The reference: portable C++ that every other kernel equals to the bit.

#include <cstring>

#include "kernels/simd_s8/scalar.h"
#include "kernels/spmm_s8/lines.h"
#include "kernels/spmm_s8/walk.h"

namespace whit::spmm_s8 {
namespace {

struct Scalar {
  static constexpr int kRows = 1, kSets = 1, kStep = 8, kVectors = 1, kPixelBytes = 1, kEntryBytes = 1;

  template <int>
  static void row(const RunOfEntries& run) {
    u32 acc[kStep];  // unsigned, so that sums too large for s32 wrap as they do in vectors
    for (int i = 0; i < kStep; ++i) acc[i] = static_cast<u32>(run.bias ? *run.bias : run.acc[i]);
    for (isize e = 0; e < run.count; ++e) {
      const s8* x = run.x(e);
      const s32 w = *run.value<s8>(e);
      for (int i = 0; i < kStep; ++i) acc[i] += static_cast<u32>(x[i] * w);
    }
    std::memcpy(run.acc, acc, sizeof(acc));
  }
};

}  // namespace

void spmm_s8s8s32_1x1_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Scalar>(args, n_begin, n_end, pixels);
}

void spmm_lines_scalar(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                       isize line_stride) {
  const isize channels = form.channels, bytes = form.bytes;
  for (isize p = 0; p < count; ++p, lines += channels * bytes) {
    const s8* row = row_values(rows, begin + p);
    for (isize c = 0; c < (k + channels - 1) / channels * channels; ++c) {
      const s16 value = static_cast<s16>((c < k ? row[c] : 0) + form.offset);
      std::memcpy(lines + c / channels * line_stride + c % channels * bytes, &value, static_cast<std::size_t>(bytes));
    }
  }
}

void spmm_store_scalar(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                       const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row) {
  for (isize p = 0; p < pixels; ++p)
    for (isize n = n_begin; n < n_end; ++n)
      finish(epilogue, acc[n * acc_stride + p], first_row + p, n, out, out_stride);
}

}  // namespace whit::spmm_s8
