#pragma once
// The Tile of lines.h on NEON of either width. Include a file before that defines
//     exchange<kBytes>(a, b)   what is off the diagonal of 2 x 2 elements of kBytes, from a and b

#include "kernels/spmm_s8/lines.h"

namespace whit::spmm_s8 {
namespace {

/// By TRN, which takes the A72 a third of the time of ZIP.
struct Tile {
  using Bytes = int8x16_t;

  WHIT_INLINE static Bytes load(const s8* p) { return vld1q_s8(p); }
  WHIT_INLINE static Bytes load_first(const s8* p, isize count) {
    const u64 low = load_first_u64(p, count < 8 ? count : 8), high = count > 8 ? load_first_u64(p + 8, count - 8) : 0;
    return vcombine_s8(vcreate_s8(low), vcreate_s8(high));
  }
  WHIT_INLINE static void store(s8* p, Bytes v, u8) { vst1q_s8(p, v); }
  WHIT_INLINE static void store_s16(s8*, Bytes) {}  // no kernel wants it

  template <int kChannels>
  WHIT_INLINE static void transpose(Bytes (&v)[16]) {
    constexpr int kSide = 16 / kChannels;
    WHIT_UNROLL for (int part = 0; part < 16; part += kSide) {
      swap<kChannels, 1, kSide>(v, part);
      swap<2 * kChannels, 2, kSide>(v, part);
      if constexpr (kSide > 4) swap<4 * kChannels, 4, kSide>(v, part);
      if constexpr (kSide > 8) swap<8 * kChannels, 8, kSide>(v, part);
    }
    Bytes lines[16];
    WHIT_UNROLL for (int i = 0; i < 16; ++i) lines[i % kSide * kChannels + i / kSide] = v[i];
    WHIT_UNROLL for (int i = 0; i < 16; ++i) v[i] = lines[i];
  }

 private:
  /// Elements of kBytes of rows kRows apart.
  template <int kBytes, int kRows, int kSide>
  WHIT_INLINE static void swap(Bytes (&v)[16], int part) {
    WHIT_UNROLL for (int i = 0; i < kSide; ++i) {
      if (!(i & kRows)) exchange<kBytes>(v[part + i], v[part + i + kRows]);
    }
  }
};

}  // namespace
}  // namespace whit::spmm_s8
