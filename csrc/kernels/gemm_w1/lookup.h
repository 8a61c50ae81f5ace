#pragma once
// Sums of what is looked up. Local to the file that includes it. Include a file before that defines
//     struct Finish            Finish(const Args&), row(sums, m, n, columns): the epilogue of one row
//     struct Bytes             Block of kCount u8; load(p), table(p) of 16 bytes, low(codes), high(codes),
//     lookup(table,
//                              index), add(a, b); Wide: as many u16; zero(), widen(wide, block), store(wide, u16*)

#include "kernels/gemm_w1/kernel.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::gemm_w1 {
namespace {

constexpr int kBlocks = 2;
constexpr isize kNr = kBlocks * Bytes::kCount;

/// The lower (part 0) or upper (part 1) halves of two groups.
WHIT_INLINE Bytes::Block look_up(const u8* tables, int part, Bytes::Block first, Bytes::Block second) {
  return Bytes::add(Bytes::lookup(Bytes::table(tables + 16 * part), first),
                    Bytes::lookup(Bytes::table(tables + 32 + 16 * part), second));
}

WHIT_INLINE void add(const u8* tables, isize pairs, const u8* bits, isize panel_stride, isize panels, s32* sums) {
  for (; panels > 0; --panels, bits += panel_stride, sums += kNr) {
    Bytes::Wide wide[kBlocks][2];
    WHIT_UNROLL for (int b = 0; b < kBlocks; ++b) wide[b][0] = wide[b][1] = Bytes::zero();
    const u8 *table = tables, *from = bits;
    for (isize pair = 0; pair < pairs; pair += kPairs) {
      Bytes::Block some[kBlocks][2];
      WHIT_UNROLL for (int i = 0; i < static_cast<int>(kPairs); ++i, table += kTableBytes) {
        WHIT_UNROLL for (int b = 0; b < kBlocks; ++b, from += Bytes::kCount) {
          const Bytes::Block byte = Bytes::load(from), first = Bytes::low(byte), second = Bytes::high(byte);
          WHIT_UNROLL for (int part = 0; part < 2; ++part) {
            const Bytes::Block found = look_up(table, part, first, second);
            some[b][part] = i == 0 ? found : Bytes::add(some[b][part], found);
          }
        }
      }
      WHIT_UNROLL for (int b = 0; b < kBlocks; ++b) {
        WHIT_UNROLL for (int part = 0; part < 2; ++part) Bytes::widen(wide[b][part], some[b][part]);
      }
    }
    WHIT_UNROLL for (int b = 0; b < kBlocks; ++b) {
      u16 lower[Bytes::kCount], upper[Bytes::kCount];
      Bytes::store(wide[b][0], lower);
      Bytes::store(wide[b][1], upper);
      for (isize c = 0; c < Bytes::kCount; ++c) sums[b * Bytes::kCount + c] += lower[c] + (s32{upper[c]} << kHalfBits);
    }
  }
}

WHIT_INLINE void finish_row(const Args& args, const s32* bias, s32 offset, s32 step, s32* sums, isize m, isize n,
                            isize columns) {
  for (isize c = 0; c < columns; ++c)
    sums[c] = static_cast<s32>(static_cast<u32>(bias[c]) + static_cast<u32>(offset) +
                               static_cast<u32>(step) * static_cast<u32>(sums[c]));
  Finish(args).row(sums, m, n, columns);
}

}  // namespace
}  // namespace whit::gemm_w1

/// What a level exports, beside its columns in the name of its kernel.
#define GEMM_W1_LEVEL(nr, isa)                                                                                    \
  namespace whit::gemm_w1 {                                                                                       \
  static_assert(kNr == nr);                                                                                       \
  void gemm_s8w1s32_1x##nr##k8_##isa(const u8* tables, isize pairs, const u8* bits, isize stride, isize panels,   \
                                     s32* sums) {                                                                 \
    add(tables, pairs, bits, stride, panels, sums);                                                               \
  }                                                                                                               \
  void gemm_w1_finish_##isa(const Args& args, const s32* bias, s32 offset, s32 step, s32* sums, isize m, isize n, \
                            isize columns) {                                                                      \
    finish_row(args, bias, offset, step, sums, m, n, columns);                                                    \
  }                                                                                                               \
  }
