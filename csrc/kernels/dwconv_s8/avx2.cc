// AVX2, exact: see Vector::dot4 in simd_s8/avx2.h.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/dwconv_s8/channels32.h"

namespace whit {
namespace {

struct Wide : Channels32 {
  WHIT_INLINE static Bytes load(const s8* p, int count, Bytes) { return load_bytes(p, count); }
  using Channels32::load;
  WHIT_INLINE static Bytes zero() { return _mm256_setzero_si256(); }
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    return Vector::dot4(acc, Vector::operand(x), load_operand(w));
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

void dwconv_s8_3x3s1_avx2(const Args& args, isize row_begin, isize row_end) {
  Tiles<3, 1, 2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_avx2(const Args& args, isize row_begin, isize row_end) {
  Tiles<3, 2, 1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_avx2(const Args& args, isize row_begin, isize row_end) {
  Tiles<5, 1, 2, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_avx2(const Args& args, isize row_begin, isize row_end) {
  Tiles<5, 2, 1, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_avx2(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
