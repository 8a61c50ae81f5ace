// The reference: portable C++ that every other kernel equals to the bit.

#include "kernels/simd_s8/scalar.h"
// after the lanes
#include "kernels/gemm_w1/kernel.h"
#include "kernels/gemm_w4/scalar_finish.h"

namespace whit::gemm_w1 {
namespace {

using gemm_w4::Finish;

struct Bytes {
  static constexpr isize kCount = 16;
  struct Block {
    u8 of[kCount];
  };
  struct Wide {
    u16 of[kCount];
  };

  template <class Value>
  static Block make(Value value) {
    Block block;
    for (isize i = 0; i < kCount; ++i) block.of[i] = static_cast<u8>(value(i));
    return block;
  }
  static Block load(const u8* p) {
    return make([&](isize i) { return p[i]; });
  }
  static const u8* table(const u8* p) { return p; }
  static Block low(const Block& bits) {
    return make([&](isize i) { return bits.of[i] & 15; });
  }
  static Block high(const Block& bits) {
    return make([&](isize i) { return bits.of[i] >> 4; });
  }
  static Block lookup(const u8* table, const Block& index) {
    return make([&](isize i) { return table[index.of[i]]; });
  }
  static Block add(const Block& a, const Block& b) {
    return make([&](isize i) { return a.of[i] + b.of[i]; });
  }
  static Wide zero() { return {}; }
  static void widen(Wide& wide, const Block& block) {
    for (isize i = 0; i < kCount; ++i) wide.of[i] = static_cast<u16>(wide.of[i] + block.of[i]);
  }
  static void store(const Wide& wide, u16* out) {
    for (isize i = 0; i < kCount; ++i) out[i] = wide.of[i];
  }
};

}  // namespace
}  // namespace whit::gemm_w1

#include "kernels/gemm_w1/lookup.h"

GEMM_W1_LEVEL(32, scalar)
