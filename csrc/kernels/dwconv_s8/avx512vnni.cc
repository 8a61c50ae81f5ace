// AVX512-VNNI. vpdpbusd multiplies u8 with s8: the input is the u8 operand, as x + 128 (one XOR when it is
// interleaved), which the packed bias takes off again.
//
// Instructions with memory operands are written as such, for three reasons. A masked load takes a port of the
// arithmetic, a masked XOR with memory none more than the XOR. Masked off, memory may not exist, which an intrinsic
// does not promise. And around the intrinsic of vpdpbusd compilers take the products of one sum, which wait for each
// other, together, and all operands into registers before.

#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/dwconv_s8/channels32.h"

namespace whit {
namespace {

struct Wide : Vector {
  static constexpr int kChannels = 64, kAccumulators = 16, kPixels = 1;
  using Vector::load;

  /// Of dwords: `count` is a multiple of 4.
  using Mask = __mmask16;
  WHIT_INLINE static Mask mask(int count) { return static_cast<Mask>(0xffff >> (16 - count / 4)); }
  WHIT_INLINE static Bytes load(const s8* p, Mask mask, Bytes zero) {
    Bytes x;
    __asm__("vpxord %1, %2, %0%{%3%}%{z%}" : "=v"(x) : "m"(*reinterpret_cast<const Bytes*>(p)), "v"(zero), "Yk"(mask));
    return x;
  }
  WHIT_INLINE static Bytes zero() { return _mm512_set1_epi8(static_cast<char>(128)); }
  WHIT_INLINE static void keep(Bytes& x) { __asm__("" : "+v"(x)); }
  WHIT_INLINE static void unpack(const Bytes (&taps)[4], Bytes (&vectors)[4]) {
    const Bytes low01 = _mm512_unpacklo_epi8(taps[0], taps[1]), high01 = _mm512_unpackhi_epi8(taps[0], taps[1]);
    const Bytes low23 = _mm512_unpacklo_epi8(taps[2], taps[3]), high23 = _mm512_unpackhi_epi8(taps[2], taps[3]);
    vectors[0] = _mm512_unpacklo_epi16(low01, low23);
    vectors[1] = _mm512_unpackhi_epi16(low01, low23);
    vectors[2] = _mm512_unpacklo_epi16(high01, high23);
    vectors[3] = _mm512_unpackhi_epi16(high01, high23);
  }
  WHIT_INLINE static Bytes load_operand(const s8* p) { return _mm512_load_si512(p); }
  WHIT_INLINE static void store_operand(s8* p, Bytes x) { _mm512_store_si512(p, x); }
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "m"(*reinterpret_cast<const Bytes*>(w)));
    return acc;
  }

  struct Narrowing {
    WHIT_INLINE Narrowing(const Epilogue& to)
        : zero_point(_mm512_set1_epi16(static_cast<s16>(to.spec.zero_point))),
          minimum(_mm512_set1_epi8(to.minimum)),
          maximum(_mm512_set1_epi8(to.maximum)),
          relu_zero_point(_mm512_set1_epi8(static_cast<s8>(to.spec.zero_point))),
          relu_maximum(_mm512_sub_epi8(maximum, relu_zero_point)) {}
    Bytes zero_point, minimum, maximum, relu_zero_point, relu_maximum;
  };
  WHIT_INLINE static Bytes narrow(const Int (&x)[4], const Narrowing& to) {
    const Int low = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), to.zero_point);
    const Int high = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), to.zero_point);
    return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(low, high), to.minimum), to.maximum);
  }
  WHIT_INLINE static Bytes narrow_relu(const Int (&x)[4], const Narrowing& to) {
    const Int bytes = _mm512_packus_epi16(_mm512_packs_epi32(x[0], x[1]), _mm512_packs_epi32(x[2], x[3]));
    return _mm512_add_epi8(_mm512_min_epu8(bytes, to.relu_maximum), to.relu_zero_point);
  }
  WHIT_INLINE static void store(s8* p, Bytes x, Mask mask) { _mm512_mask_storeu_epi32(p, mask, x); }
};

/// Any count.
struct WideRest : Wide {
  using Wide::load;
  using Mask = __mmask64;
  WHIT_INLINE static Mask mask(int count) { return ~Mask{0} >> (64 - count); }
  WHIT_INLINE static Bytes load(const s8* p, Mask mask, Bytes zero) {
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, p), zero);
  }
  WHIT_INLINE static void store(s8* p, Bytes x, Mask mask) { _mm512_mask_storeu_epi8(p, mask, x); }
};

/// 32 channels or less of two pixels.
struct Twin : Wide {
  static constexpr int kChannels = 32, kPixels = 2;

  WHIT_INLINE static Int load(const s32* p) { return _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i*)p)); }
  WHIT_INLINE static Float load(const f32* p) { return _mm512_castsi512_ps(load(reinterpret_cast<const s32*>(p))); }

  /// Of dwords of a pixel: `count` is a multiple of 4.
  using Mask = __mmask16;
  WHIT_INLINE static Mask mask(int count) { return static_cast<Mask>(0xff >> (8 - count / 4)); }
  WHIT_INLINE static Bytes load(const s8* first, const s8* second, Mask mask, Bytes zero) {
    __m256i low;
    __asm__("vpxord %1, %2, %0%{%3%}%{z%}"
            : "=v"(low)
            : "m"(*reinterpret_cast<const __m256i*>(first)), "v"(_mm512_castsi512_si256(zero)), "Yk"(mask));
    Bytes both = _mm512_zextsi256_si512(low);  // which the instruction has done
    __asm__("vpxord -32(%1), %2, %0%{%3%}"
            : "+v"(both)
            : "r"(second), "v"(zero), "Yk"(static_cast<Mask>(mask << 8)),
              "m"(*reinterpret_cast<const __m256i*>(second)));
    return both;
  }
  /// Two whole pixels, one behind the other.
  WHIT_INLINE static Bytes load(const s8* p, Bytes zero) { return _mm512_xor_si512(_mm512_loadu_si512(p), zero); }
  /// The second pixel of a, the first of b.
  WHIT_INLINE static Bytes between(Bytes a, Bytes b) { return _mm512_alignr_epi64(b, a, 4); }
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    Bytes both;
    __asm__ volatile(
        "vbroadcasti64x4 %3, %1\n\t"
        "vpdpbusd %1, %2, %0"
        : "+v"(acc), "=&v"(both)
        : "v"(x), "m"(*reinterpret_cast<const __m256i*>(w)));
    return acc;
  }
  /// `second` may be null.
  WHIT_INLINE static void store(s8* first, s8* second, Bytes x, Mask mask) {
    if (mask == Twin::mask(kChannels) && second == first + kChannels) return _mm512_storeu_si512(first, x);
    const __mmask8 lanes = static_cast<__mmask8>(mask);
    _mm256_mask_storeu_epi32(first, lanes, _mm512_castsi512_si256(x));
    if (second) _mm256_mask_storeu_epi32(second, lanes, _mm512_extracti64x4_epi64(x, 1));
  }
};

/// 32 channels or less, any count. Half registers have a third port.
struct Half : Channels32 {
  static constexpr int kAccumulators = 16;

  using Mask = __mmask32;
  WHIT_INLINE static Mask mask(int count) { return ~Mask{0} >> (32 - count); }
  WHIT_INLINE static Bytes load(const s8* p, Mask mask, Bytes zero) {
    return _mm256_xor_si256(_mm256_maskz_loadu_epi8(mask, p), zero);
  }
  using Channels32::load;
  WHIT_INLINE static Bytes zero() { return _mm256_set1_epi8(static_cast<char>(128)); }
  WHIT_INLINE static Int dot4(Int acc, Bytes x, const s8* w) {
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "m"(*reinterpret_cast<const __m256i*>(w)));
    return acc;
  }
  WHIT_INLINE static void store(s8* p, Bytes x, Mask mask) { _mm256_mask_storeu_epi8(p, mask, x); }
};

constexpr int kBlockChannels = 64;
struct ForChannels {
  template <class Body>
  WHIT_INLINE static void choose(int count, Body body) {
    if (count <= 32) {
      body.template operator()<Half>();
    } else if (count % 4) {
      body.template operator()<WideRest>();
    } else {
      body.template operator()<Wide>();
    }
  }
};
struct ForSlidingChannels {
  template <class Body>
  WHIT_INLINE static void choose(int count, Body body) {
    if (count <= 32 && count % 4 == 0) {
      body.template operator()<Twin>();
    } else {
      ForChannels::choose(count, body);
    }
  }
};

}  // namespace
}  // namespace whit

#include "kernels/dwconv_s8/passing.h"
#include "kernels/dwconv_s8/sliding.h"

namespace whit::dwconv_s8 {

void dwconv_s8_3x3s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Sliding<2>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Passing<3, 2, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Tiles<5, 1, 4, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_avx512vnni(const Args& args, isize row_begin, isize row_end) {
  Passing<5, 2, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_avx512vnni(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
