// The reference: portable C++ that every other kernel equals to the bit.

#include <cstring>

#include "kernels/gemm_b1/kernel.h"

namespace whit::gemm_b1 {
namespace {

constexpr int kColumns = 8, kWord = 8;

f32 scaled(const EpilogueB1& epilogue, s32 acc, isize n) {
  f32 t = static_cast<f32>(acc) * epilogue.scale[n];
  t += epilogue.bias[n];
  t = t > epilogue.clamp_min ? t : epilogue.clamp_min;
  return t < epilogue.clamp_max ? t : epilogue.clamp_max;
}

/// The epilogue of columns [n, n + count) of row m, n a multiple of 8, count at most 8.
void finish(const Args& args, const s32* acc, isize m, isize n, isize count) {
  const EpilogueB1& epilogue = args.epilogue;
  const isize row = m * args.out_stride;
  u8 bits = 0;
  for (isize i = 0; i < count; ++i) {
    const isize at = row + n + i;
    switch (epilogue.output) {
      case EpilogueB1::Output::s32: static_cast<s32*>(args.out)[at] = acc[i]; break;
      case EpilogueB1::Output::f32: static_cast<f32*>(args.out)[at] = scaled(epilogue, acc[i], n + i); break;
      case EpilogueB1::Output::s8: {
        const s32 x = static_cast<s32>(__builtin_lrintf(scaled(epilogue, acc[i], n + i))) + epilogue.zero_point;
        static_cast<s8*>(args.out)[at] = static_cast<s8>(x < -128 ? -128 : x > 127 ? 127 : x);
        break;
      }
      case EpilogueB1::Output::b1: bits = static_cast<u8>(bits | (acc[i] < epilogue.threshold[n + i]) << i); break;
    }
  }
  if (epilogue.output != EpilogueB1::Output::b1) return;
  static_cast<u8*>(args.out)[row + n / 8] = static_cast<u8>(bits & 0xff >> (8 - count));
}

}  // namespace

void gemm_b1b1s32_1x8k64_scalar(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                                isize n_end) {
  const isize stride = panel_bytes(Layout::words, kColumns, row_bytes);
  const u8* panel = reinterpret_cast<const u8*>(args.packed) + n / kColumns * stride;
  for (; n < n_end; n += kColumns, panel += stride) {
    const isize columns = n_end - n < kColumns ? n_end - n : kColumns;
    for (isize i = 0; i < count; ++i) {
      const u8 *lhs = rows.bits + i * rows.stride, *rhs = panel;
      s32 acc[kColumns];
      for (s32& a : acc) a = static_cast<s32>(args.taps * args.k);
      for (isize k = 0; k < row_bytes; k += kWord, rhs += kColumns * kWord) {
        u64 x, w[kColumns];
        std::memcpy(&x, lhs + k, sizeof(x));
        std::memcpy(w, rhs, sizeof(w));
        for (int c = 0; c < kColumns; ++c) acc[c] -= 2 * __builtin_popcountll(x ^ w[c]);
      }
      if (args.border.sums) {
        const s32* sums = args.border.sums + args.border.classes[m + i] * args.n + n;
        for (isize c = 0; c < columns; ++c) acc[c] += sums[c];
      }
      finish(args, acc, m + i, n, columns);
    }
  }
}

}  // namespace whit::gemm_b1
