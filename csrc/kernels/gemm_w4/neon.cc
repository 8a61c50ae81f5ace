// ARMv8.0 NEON. 17 products of s8 and codes of up to 15 fit in s16, so that SMLAL sums those of a step, 16 pairs of k,
// before SADALP takes them to s32. Of what is looked up two products fit, as in gemm_s8.

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/gemm_w4/neon_codes.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w4 {
namespace {

/// A block is a pair of k of the 16 columns for every two parts.
template <int kBitsOfCode, bool kLooksUp>
struct Product {
  using Int = Vector::Int;
  static constexpr int kBits = kBitsOfCode, kOffset = 0, kParts = 8 / kBits;
  static constexpr bool kLookup = kLooksUp;
  static constexpr isize kNr = 16;

  explicit Product(const u8* of) : table(Codes::table(of)) {}

  template <int R>
  struct Sums {
    Int of[R][4];
  };

  template <int R>
  WHIT_INLINE static void zero(Sums<R>& sums) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) { WHIT_UNROLL for (int c = 0; c < 4; ++c) sums.of[r][c] = vdupq_n_s32(0); }
  }

  template <int R>
  WHIT_INLINE void step(Sums<R>& sums, const s8* const (&x)[R], const u8* codes) const {
    constexpr int kPairs = kStep / 2, kTogether = kLookup ? 2 : kPairs;  // whose products are summed in s16
    int16x8_t some[R][4];
    WHIT_UNROLL for (int pair = 0; pair < kPairs; pair += kParts / 2, codes += Codes::kBlock) {
      Codes::Block parts[kParts];
      Codes::unpack<kBits>(Codes::load(codes), parts);
      WHIT_UNROLL for (int i = 0; i < kParts; ++i) {
        const int at = pair + i / 2, half = i % 2;
        if constexpr (kLookup) parts[i] = Codes::lookup(table, parts[i]);
        const int8x16_t w = vreinterpretq_s8_u8(parts[i]);
        WHIT_UNROLL for (int r = 0; r < R; ++r) {
          const int8x16_t spread = vreinterpretq_s8_s16(vdupq_n_s16(load_as<s16>(x[r] + 2 * at)));
          int16x8_t& low = some[r][2 * half];
          int16x8_t& high = some[r][2 * half + 1];
          if (at % kTogether == 0) {
            low = vmull_s8(vget_low_s8(spread), vget_low_s8(w));
            high = vmull_high_s8(spread, w);
          } else {
            low = vmlal_s8(low, vget_low_s8(spread), vget_low_s8(w));
            high = vmlal_high_s8(high, spread, w);
          }
          if (at % kTogether == kTogether - 1) {
            sums.of[r][2 * half] = vpadalq_s16(sums.of[r][2 * half], low);
            sums.of[r][2 * half + 1] = vpadalq_s16(sums.of[r][2 * half + 1], high);
          }
        }
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
      WHIT_UNROLL for (int c = 0; c < 4; ++c) vst1q_s32(out[r] + 4 * c, sums.of[r][c]);
    }
  }

  Codes::Block table;
};

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x16k2, neon)
GEMM_W4_GROUPED_LEVEL(neon)
