// AVX2. Linear codes are the u8 operand of vpmaddubsw: 16 products with codes of up to 15 fit in s16, so that the sums
// of a step, of 8 groups of k, are widened once. What is looked up is multiplied as gemm_s8 does it.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/gemm_w4/avx2_codes.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w4 {
namespace {

template <int kBitsOfCode, bool kLooksUp>
struct Product {
  using Int = Vector::Int;
  static constexpr int kBits = kBitsOfCode, kOffset = 0, kParts = 8 / kBits, kLanes = Vector::kLanes;
  static constexpr bool kLookup = kLooksUp;
  static constexpr isize kNr = 2 * kLanes;

  explicit Product(const u8* of) : table(Codes::table(of)) {}

  template <int R>
  struct Sums {
    Int of[R][2];
  };

  template <int R>
  WHIT_INLINE static void zero(Sums<R>& sums) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) sums.of[r][0] = sums.of[r][1] = Vector::broadcast(s32{0});
  }

  template <int R>
  WHIT_INLINE void step(Sums<R>& sums, const s8* const (&x)[R], const u8* codes) const {
    constexpr int kGroups = kStep / 4;
    constexpr isize kAhead = 64 * Codes::kBlock;
    Int some[R][2];
    WHIT_UNROLL for (int g = 0; g < kGroups; g += kParts / 2, codes += Codes::kBlock) {
      if (g % 2 == 0) __builtin_prefetch(codes + kAhead);
      Int parts[kParts];
      Codes::unpack<kBits>(Codes::load(codes), parts);
      WHIT_UNROLL for (int i = 0; i < kParts; ++i) {
        const int group = g + i / 2, c = i % 2;
        if constexpr (kLookup) parts[i] = Codes::lookup(table, parts[i]);
        WHIT_UNROLL for (int r = 0; r < R; ++r) {
          const Int broadcast = Vector::broadcast(load_as<s32>(x[r] + 4 * group));
          if constexpr (kLookup) {
            sums.of[r][c] = Vector::dot4(sums.of[r][c], Vector::operand(broadcast), parts[i]);
          } else {
            const Int pairs = _mm256_maddubs_epi16(parts[i], broadcast);
            some[r][c] = group ? _mm256_add_epi16(some[r][c], pairs) : pairs;
          }
        }
      }
    }
    if constexpr (!kLookup) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        WHIT_UNROLL for (int c = 0; c < 2; ++c) sums.of[r][c] =
            Vector::add(sums.of[r][c], _mm256_madd_epi16(some[r][c], _mm256_set1_epi16(1)));
      }
    }
  }

  template <int R>
  WHIT_INLINE static Int sum(const Sums<R>& sums, int r, int c) {
    return sums.of[r][c];
  }

  template <int R>
  WHIT_INLINE static void store(const Sums<R>& sums, s32 (&out)[R][kNr]) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < 2; ++c) Vector::store(out[r] + c * kLanes, sums.of[r][c]);
    }
  }

  Int table;
};

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x16k4, avx2)
GEMM_W4_GROUPED_LEVEL(avx2)
