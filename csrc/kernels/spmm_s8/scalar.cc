// The reference: portable C++ that every other kernel equals to the bit.

#include <cstring>

#include "kernels/simd_s8/scalar.h"
#include "kernels/spmm_s8/column_rows.h"
#include "kernels/spmm_s8/lines.h"
#include "kernels/spmm_s8/walk.h"

namespace whit::spmm_s8 {
namespace {

struct Scalar {
  static constexpr int kRows = 1, kSets = 1, kStep = 8, kVectors = 1, kPixelBytes = 1;
  static constexpr int kEntryValues = 1, kValueBytes = 1;

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

struct ScalarColumn {
  static constexpr int kLanes = 4, kLines = 1, kEntries = kLanes * column_multiple(kLines);
  using Sums = u32[kLanes];

  static void clear(Sums& sums) { std::memset(sums, 0, sizeof(sums)); }
  static void add_step(Sums& sums, const s8* x, const u8* places, const s8* weights) {
    for (int e = 0; e < kEntries; ++e) sums[e % kLanes] += static_cast<u32>(x[places[e]] * weights[e]);
  }
  static void finish(const Sums& sums, const s32* bias, s32 (&out)[kLanes]) {
    for (int l = 0; l < kLanes; ++l) out[l] = static_cast<s32>(sums[l] + static_cast<u32>(bias[l]));
  }
};

}  // namespace

void spmm_s8s8s32_1x1_scalar(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Scalar>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_column_scalar(const Args& args, isize n_begin, isize n_end, isize) {
  column<ScalarColumn>(args, n_begin, n_end);
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
