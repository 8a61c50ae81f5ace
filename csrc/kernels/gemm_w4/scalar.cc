// The reference: portable C++ that every other kernel equals to the bit.

#include "kernels/simd_s8/scalar.h"
// after the lanes
#include "kernels/gemm_w4/scalar_finish.h"
#include "kernels/gemm_w4/single_lane.h"

namespace whit::gemm_w4 {
namespace {

struct Codes {
  static constexpr isize kBlock = 8;
  struct Block {
    u8 bytes[kBlock];
  };
  static Block load(const u8* p) {
    Block block;
    __builtin_memcpy(block.bytes, p, kBlock);
    return block;
  }
  static void store(u8* p, const Block& block) { __builtin_memcpy(p, block.bytes, kBlock); }
  static const u8* table(const u8* p) { return p; }
  static Block lookup(const u8* table, const Block& codes) {
    Block values;
    for (isize i = 0; i < kBlock; ++i) values.bytes[i] = table[codes.bytes[i]];
    return values;
  }
  template <int kBits>
  static void unpack(const Block& block, Block (&parts)[8 / kBits]) {
    constexpr u32 kMask = (1 << kBits) - 1;
    for (int part = 0; part < 8 / kBits; ++part) {
      for (isize i = 0; i < kBlock; ++i)
        parts[part].bytes[i] = static_cast<u8>(u32{block.bytes[i]} >> part * kBits & kMask);
    }
  }
};

/// A block is a k of the 8 columns for each of its parts.
template <int kBitsOfCode, bool kLooksUp>
struct Product {
  static constexpr int kBits = kBitsOfCode, kOffset = 0;
  static constexpr bool kLookup = kLooksUp;
  static constexpr isize kNr = 8;

  explicit Product(const u8* of) : table(of) {}

  template <int R>
  struct Sums {
    s32 of[R][kNr];
  };
  template <int R>
  static void zero(Sums<R>& sums) {
    sums = {};
  }
  template <int R>
  void step(Sums<R>& sums, const s8* const (&x)[R], const u8* codes) const {
    constexpr int kParts = 8 / kBits;
    for (isize k = 0; k < kStep; k += kParts, codes += Codes::kBlock) {
      Codes::Block parts[kParts];
      Codes::unpack<kBits>(Codes::load(codes), parts);
      for (int i = 0; i < kParts; ++i) {
        const Codes::Block w = kLookup ? Codes::lookup(table, parts[i]) : parts[i];
        for (int r = 0; r < R; ++r)
          for (isize c = 0; c < kNr; ++c) sums.of[r][c] += x[r][k + i] * static_cast<s8>(w.bytes[c]);
      }
    }
  }
  template <int R>
  static s32 sum(const Sums<R>& sums, int r, int c) {
    return sums.of[r][c];
  }
  template <int R>
  static void store(const Sums<R>& sums, s32 (&out)[R][kNr]) {
    for (int r = 0; r < R; ++r)
      for (isize c = 0; c < kNr; ++c) out[r][c] = sums.of[r][c];
  }

  const u8* table;
};

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x8k1, scalar)
GEMM_W4_GROUPED_LEVEL(scalar)
