#pragma once
// Tiles of the NEON kernels. A vector is 128 bits of k of one row and one column; EOR, CNT and an addition for each
// pair of them. Four columns are taken at a time. Include a file before that defines Counts, of one pair:
//     set(uint8x16_t bits)            to their popcount
//     add(uint8x16_t bits)            that too; of at most kMost vectors together
//     static sum(Counts (&)[4])       as s32x4

#include "kernels/gemm_b1/finish.h"

namespace whit::gemm_b1 {
namespace {

constexpr int kNr = 16, kColumns = 4;
constexpr isize kVector = 16;

/// Popcounts of R rows and four columns.
template <int R>
WHIT_INLINE void count_columns(const u8* lhs, isize stride, isize row_bytes, const u8* rhs, s32* counts) {
  const u8* row[R];
  WHIT_UNROLL for (int r = 0; r < R; ++r) row[r] = lhs + r * stride;
  for (isize begin = 0; begin < row_bytes; begin += Counts::kMost * kVector) {
    isize some = row_bytes - begin < Counts::kMost * kVector ? row_bytes - begin : Counts::kMost * kVector;
    Counts acc[R][kColumns];
    const auto step = [&]<bool kFirst>() __attribute__((always_inline)) {
      uint8x16_t w[kColumns];
      WHIT_UNROLL for (int c = 0; c < kColumns; ++c) w[c] = vld1q_u8(rhs + c * kVector);
      WHIT_UNROLL for (int r = 0; r < R; ++r, row[r - 1] += kVector) {
        const uint8x16_t x = vld1q_u8(row[r]);
        WHIT_UNROLL for (int c = 0; c < kColumns; ++c) {
          const uint8x16_t bits = veorq_u8(x, w[c]);
          kFirst ? acc[r][c].set(bits) : acc[r][c].add(bits);
        }
      }
      rhs += kColumns * kVector;
    };
    step.template operator()<true>();
    while ((some -= kVector) > 0) step.template operator()<false>();
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      s32* p = counts + r * kNr;
      const int32x4_t sums = Counts::sum(acc[r]);
      vst1q_s32(p, begin == 0 ? sums : vaddq_s32(sums, vld1q_s32(p)));
    }
  }
}

template <int kRows>
WHIT_INLINE void multiply(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                          isize n_end) {
  const isize stride = panel_bytes(Layout::words, kNr, row_bytes);
  const u8* panel = reinterpret_cast<const u8*>(args.packed) + n / kNr * stride;
  for (; n < n_end; n += kNr, panel += stride) {
    const isize columns = n_end - n < kNr ? n_end - n : kNr;
    const auto count_rows = [&]<int R>(isize first, s32* counts) __attribute__((always_inline)) {
      for (isize c = 0; c < columns; c += kColumns)
        count_columns<R>(rows.bits + first * rows.stride, rows.stride, row_bytes, panel + c * row_bytes, counts + c);
    };
    count_and_finish<kRows, kNr>(args, m, count, n, columns, count_rows);
  }
}

}  // namespace
}  // namespace whit::gemm_b1
