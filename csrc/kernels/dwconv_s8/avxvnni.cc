// AVX-VNNI. vpdpbusd multiplies u8 with s8: the input is the u8 operand, as x + 128 (one XOR when it is interleaved),
// which the packed bias takes off again.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/dwconv_s8/channels32.h"

namespace whit {
namespace {

struct Wide : Channels32 {
  WHIT_INLINE static Bytes load(const s8* p, int count, Bytes zero) {
    return _mm256_xor_si256(load_bytes(p, count), zero);
  }
  using Channels32::load;
  WHIT_INLINE static Bytes zero() { return _mm256_set1_epi8(static_cast<char>(128)); }
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    __asm__ volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "m"(*reinterpret_cast<const Bytes*>(w)));
    return acc;
  }
};

constexpr int kBlockChannels = 32;
struct ForChannels {
  template <class Body>
  WHIT_INLINE static void choose(int, Body body) {
    body.template operator()<Wide>();
  }
};

}  // namespace
}  // namespace whit

#include "kernels/dwconv_s8/interleaved.h"

namespace whit::dwconv_s8 {

void dwconv_s8_3x3s1_avxvnni(const Args& args, isize row_begin, isize row_end) {
  Tiles<3, 1, 2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_avxvnni(const Args& args, isize row_begin, isize row_end) {
  Tiles<3, 2, 1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_avxvnni(const Args& args, isize row_begin, isize row_end) {
  Tiles<5, 1, 2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_avxvnni(const Args& args, isize row_begin, isize row_end) {
  Tiles<5, 2, 1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_avxvnni(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
