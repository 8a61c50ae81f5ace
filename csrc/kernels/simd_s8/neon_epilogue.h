#pragma once
// The epilogue on ARMv8 NEON: finish() of epilogue.h, with code of its own for what nearly all products of a quantised
// network need. Which kind it is gets decided once for many tiles.

#include <type_traits>

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/simd_s8/epilogue.h"

namespace whit {
namespace {

enum class EpilogueKind {
  clamp,     ///< to s8, no residual, no hard_swish
  residual,  ///< the same and a residual
  general,   ///< everything; whatever is no case of the others
};

/// How the first two kinds get from accumulators to bytes, which depends on the panel as well.
enum class EpilogueForm : s32 {
  any,          ///< by conversions, from plain accumulators
  small,        ///< by additions, from accumulators in biased form
  small_whole,  ///< the same where s8 is all of the clamp and the zero point can be part of what rounds; without a
                ///< residual also only where what is negative becomes -128 anyway: relu
};

/// 1.5 * 2^23. An s32 x of less than 2^22 (absolutely) plus kBiasBits is the f32 kBias + x, bit for bit, and an f32 t
/// of less than 2^22 plus kBias has t, rounded to nearest even, in its low bits. Where conversions between s32 and f32
/// run at half the rate of additions or less (Cortex-A76: a quarter), biased accumulators need none.
constexpr f32 kBias = 12582912.0f;
constexpr s32 kBiasBits = 0x4B400000;

/// For relu without a residual, x from 0 on plus kPowerBits is the f32 kPower + x, and kPower * scale is exact, so that
/// a fused multiply-add of it rounds x * scale once. Below 0 (down to -2^23) the f32 is kPower - |x| / 2: not positive
/// after the multiply-add either.
constexpr f32 kPower = 8388608.0f;
constexpr s32 kPowerBits = 0x4B000000;

/// The kind for columns [n, n_end). Besides the operations it looks at the scales: small enough for no step to
/// overflow, so that there is no NaN, and clamping integers after rounding is clamping in f32 before it (the bounds are
/// integers).
inline EpilogueKind epilogue_kind(const EpilogueS8& epilogue, isize n, isize n_end) {
  constexpr f32 kLargest = 0x1p90f;
  if (epilogue.output != EpilogueS8::Output::s8 || epilogue.activation != Activation::clamp)
    return EpilogueKind::general;
  if (epilogue.residual_zero_point != static_cast<s8>(epilogue.residual_zero_point)) return EpilogueKind::general;
  float32x4_t largest = vabsq_f32(vdupq_n_f32(epilogue.residual_scale));  // FMAX keeps a NaN
  for (; n + 4 <= n_end; n += 4) largest = vmaxq_f32(largest, vabsq_f32(vld1q_f32(epilogue.scale + n)));
  for (; n < n_end; ++n) largest = vmaxq_f32(largest, vabsq_f32(vdupq_n_f32(epilogue.scale[n])));
  if (!(vmaxvq_f32(largest) <= kLargest)) return EpilogueKind::general;
  return epilogue.residual ? EpilogueKind::residual : EpilogueKind::clamp;
}

/// body.template operator()<kind>()
template <class Body>
WHIT_INLINE void with_kind(EpilogueKind kind, Body body) {
  switch (kind) {
    case EpilogueKind::clamp: return body.template operator()<EpilogueKind::clamp>();
    case EpilogueKind::residual: return body.template operator()<EpilogueKind::residual>();
    default: return body.template operator()<EpilogueKind::general>();
  }
}

/// body.template operator()<form>()
template <class Body>
WHIT_INLINE void with_form(EpilogueForm form, Body body) {
  switch (form) {
    case EpilogueForm::small_whole: return body.template operator()<EpilogueForm::small_whole>();
    case EpilogueForm::small: return body.template operator()<EpilogueForm::small>();
    default: return body.template operator()<EpilogueForm::any>();
  }
}

/// Constants of an epilogue in registers' form, so that using one is a load.
struct EpilogueConstants {
  float32x4_t rounding;  ///< kBias + the zero point, which if even leaves ties their direction
  int16x8_t zero_points;
  int8x16_t minima, maxima, residual_zero_points;
  int16x8_t residual_offsets;
};

/// What up to 16 columns of one of the first two kinds are finished with.
struct EpilogueColumns {
  EpilogueForm form;
  alignas(16) s32 start[16];  ///< what their accumulators start from
  alignas(16) f32 zero[16];   ///< of small forms: what stands for an accumulator of 0; of relu, -kPower * scale
  alignas(16) f32 scale[16];
  EpilogueConstants constants;  ///< here, where a tile loads what its form needs, which is better than spilling it
};

/// An Epilogue and its constants.
struct NeonEpilogue : Epilogue {
  NeonEpilogue(const EpilogueS8& epilogue, void* output, isize stride)
      : Epilogue(epilogue, output, stride),
        is_whole(minimum == -128 && maximum == 127 && epilogue.zero_point % 2 == 0 &&
                 (epilogue.residual || epilogue.clamp_min >= 0)),
        constants{.rounding = vdupq_n_f32(kBias + static_cast<f32>(epilogue.zero_point)),
                  .zero_points = vdupq_n_s16(static_cast<s16>(epilogue.zero_point)),
                  .minima = vdupq_n_s8(minimum),
                  .maxima = vdupq_n_s8(maximum),
                  .residual_zero_points = vdupq_n_s8(static_cast<s8>(epilogue.residual_zero_point)),
                  .residual_offsets = vdupq_n_s16(static_cast<s16>(kResidualOffset - epilogue.residual_zero_point))} {}

  /// Makes a residual less its zero point positive.
  static constexpr s16 kResidualOffset = 256;

  /// For columns [n, n + count), count a multiple of 4, with accumulators up to reach[i] from bias[i].
  [[gnu::noinline]] void columns(const s32* bias, const f32* reach, isize n, isize count, EpilogueColumns& out) const {
    // Where outputs are not negative, a column that never is positive may as well be 0 * scale. Training leaves such
    // columns with a bias far beyond the others. (At least -1.5 * 2^30: the accumulators do not wrap.)
    const float32x4_t dead_from = vdupq_n_f32(!spec.residual && spec.clamp_min >= 0 ? -0x1.8p30f : 0x1p31f);
    const float32x4_t limit = vdupq_n_f32(0x1p22f), nothing = vdupq_n_f32(0);
    const f32 residual = spec.residual ? 255 * __builtin_fabsf(spec.residual_scale) : 0;
    const float32x4_t most_steps = vdupq_n_f32(32000 - residual);
    uint32x4_t small = vdupq_n_u32(~0u), positive = small;
    for (isize i = 0; i < count; i += 4) {
      const float32x4_t far = vld1q_f32(reach + i), given_scale = vld1q_f32(spec.scale + n + i);
      const int32x4_t given = vld1q_s32(bias + i);
      const float32x4_t about = vcvtq_f32_s32(given);
      const uint32x4_t near = vcltq_f32(far, limit);
      const uint32x4_t negative = vandq_u32(vcgeq_f32(about, dead_from), vcleq_f32(vaddq_f32(about, far), nothing));
      const uint32x4_t dead = vandq_u32(vandq_u32(near, negative), vcgeq_f32(given_scale, nothing));
      const float32x4_t start = vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(about), dead));
      const float32x4_t scale = vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(given_scale), dead));
      const float32x4_t steps = vmulq_f32(vaddq_f32(vabsq_f32(start), far), vabsq_f32(scale));
      small = vandq_u32(vandq_u32(small, near), vandq_u32(vcaleq_f32(start, limit), vcltq_f32(steps, most_steps)));
      positive = vandq_u32(positive, vcgeq_f32(scale, nothing));
      vst1q_s32(out.start + i, vbicq_s32(given, vreinterpretq_s32_u32(dead)));
      vst1q_f32(out.zero + i, vsubq_f32(vdupq_n_f32(kBias), start));
      vst1q_f32(out.scale + i, scale);
    }
    out.constants = constants;
    out.form = EpilogueForm::any;
    if (vminvq_u32(small)) {
      const bool whole = is_whole && (spec.residual || vminvq_u32(positive));
      const bool relu = whole && !spec.residual;
      out.form = whole ? EpilogueForm::small_whole : EpilogueForm::small;
      for (isize i = 0; i < count; i += 4) {
        vst1q_s32(out.start + i,
                  relu ? vaddq_s32(vld1q_s32(out.start + i), vdupq_n_s32(kPowerBits)) : vdupq_n_s32(kBiasBits));
        if (relu) vst1q_f32(out.zero + i, vmulq_f32(vld1q_f32(out.scale + i), vdupq_n_f32(-kPower)));
      }
    }
  }

  bool is_whole;
  EpilogueConstants constants;
};

/// Stores part kPart of the bytes, where a part is C vectors of 4.
template <int C, int kPart = 0>
WHIT_INLINE void store_part(s8* p, int8x16_t bytes) {
  const int32x4_t words = vreinterpretq_s32_s8(bytes);
  s32* word = reinterpret_cast<s32*>(p);
  if constexpr (C == 4) {
    vst1q_s8(p, bytes);
  } else if constexpr (C == 3) {
    vst1_s8(p, vget_low_s8(bytes));
    vst1q_lane_s32(word + 2, words, 2);
  } else if constexpr (C == 2) {
    vst1_s8(p, kPart ? vget_high_s8(bytes) : vget_low_s8(bytes));
  } else {
    vst1q_lane_s32(word, words, kPart);
  }
}

/// The 4 * C bytes at p, not one more.
template <int C>
WHIT_INLINE int8x16_t load_vectors(const s8* p) {
  if constexpr (C == 4) {
    return vld1q_s8(p);
  } else if constexpr (C == 1) {
    return vreinterpretq_s8_u32(vsetq_lane_u32(load_as<u32>(p), vdupq_n_u32(0), 0));
  } else {
    const int8x16_t low = vcombine_s8(vld1_s8(p), vdup_n_s8(0));
    if constexpr (C == 2) return low;
    return vreinterpretq_s8_u32(vsetq_lane_u32(load_as<u32>(p + 8), vreinterpretq_u32_s8(low), 2));
  }
}

/// One row of C vectors to t, as f32 in steps of the output.
template <EpilogueKind kKind, EpilogueForm kForm, int C>
WHIT_INLINE void scale_row(const NeonEpilogue& epilogue, const EpilogueConstants& constants, const int32x4_t (&acc)[C],
                           const float32x4_t (&zero)[C], const float32x4_t (&scale)[C], isize row, isize n,
                           float32x4_t (&t)[C]) {
  constexpr bool kSmall = kForm != EpilogueForm::any;
  WHIT_UNROLL for (int c = 0; c < C; ++c) {
    const float32x4_t biased = vreinterpretq_f32_s32(acc[c]);
    if constexpr (kKind == EpilogueKind::clamp && kForm == EpilogueForm::small_whole) {
      t[c] = vfmaq_f32(zero[c], biased, scale[c]);
    } else {
      t[c] = vmulq_f32(kSmall ? vsubq_f32(biased, zero[c]) : vcvtq_f32_s32(acc[c]), scale[c]);
    }
  }
  if constexpr (kKind == EpilogueKind::residual) {
    const EpilogueS8& spec = epilogue.spec;
    const int8x16_t x = load_vectors<C>(spec.residual + row * spec.residual_stride + n);
    int16x8_t low, high;
    if constexpr (kSmall) {
      low = vaddw_s8(constants.residual_offsets, vget_low_s8(x));
      high = vaddw_high_s8(constants.residual_offsets, x);
    } else {
      low = vsubl_s8(vget_low_s8(x), vget_low_s8(constants.residual_zero_points));
      high = vsubl_high_s8(x, constants.residual_zero_points);
    }
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const int16x8_t half = c < 2 ? low : high;
      float32x4_t value;
      if constexpr (kSmall) {
        const int16x8_t upper = vdupq_n_s16(kBiasBits >> 16);
        const int16x8_t biased = c % 2 ? vzip2q_s16(half, upper) : vzip1q_s16(half, upper);
        value = vsubq_f32(vreinterpretq_f32_s16(biased), vdupq_n_f32(kBias + NeonEpilogue::kResidualOffset));
      } else {
        value = vcvtq_f32_s32(c % 2 ? vmovl_high_s16(half) : vmovl_s16(vget_low_s16(half)));
      }
      t[c] = vaddq_f32(t[c], vmulq_n_f32(value, spec.residual_scale));
    }
  }
}

/// Rounds and narrows. FCVTNS and the narrowing steps saturate.
template <EpilogueForm kForm>
WHIT_INLINE int8x16_t to_bytes(const EpilogueConstants& constants, float32x4_t t0, float32x4_t t1, float32x4_t t2,
                               float32x4_t t3) {
  int16x8_t low, high;
  if constexpr (kForm != EpilogueForm::any) {
    const float32x4_t bias = kForm == EpilogueForm::small_whole ? constants.rounding : vdupq_n_f32(kBias);
    const auto low_bits = [bias](float32x4_t a, float32x4_t b) {
      return lower_halves(vaddq_f32(a, bias), vaddq_f32(b, bias));
    };
    low = low_bits(t0, t1);
    high = low_bits(t2, t3);
  } else {
    low = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(t0)), vcvtnq_s32_f32(t1));
    high = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(t2)), vcvtnq_s32_f32(t3));
  }
  if constexpr (kForm == EpilogueForm::small_whole) return vqmovn_high_s16(vqmovn_s16(low), high);
  const int8x8_t bytes = vqmovn_s16(vqaddq_s16(low, constants.zero_points));
  const int8x16_t all = vqmovn_high_s16(bytes, vqaddq_s16(high, constants.zero_points));
  return vminq_s8(vmaxq_s8(all, constants.minima), constants.maxima);
}

/// Rows kFirst and on, as many at a time as fill 16 bytes. Recursion instead of a loop, so that compilers see constant
/// indices from the start and leave the accumulators in registers.
template <EpilogueKind kKind, EpilogueForm kForm, int kFirst, int R, int C, class Rows>
WHIT_INLINE void finish_rows(const NeonEpilogue& epilogue, const EpilogueConstants& constants,
                             const int32x4_t (&acc)[R][C], const float32x4_t (&zero)[C], const float32x4_t (&scale)[C],
                             const Rows& rows, isize n) {
  constexpr int kGroup = C >= 3 ? 1 : 4 / C, kLast = R - 1;
  float32x4_t t[4 / C + 1][C];
  const auto scale_one = [&]<int kRow>() {
    if constexpr (kRow < kGroup) {
      if (kFirst + kRow <= kLast && rows.has(kFirst + kRow)) {
        constexpr int r = kFirst + kRow <= kLast ? kFirst + kRow : kLast;
        scale_row<kKind, kForm>(epilogue, constants, acc[r], zero, scale, rows[r], n, t[kRow]);
      } else {
        WHIT_UNROLL for (int c = 0; c < C; ++c) t[kRow][c] = vdupq_n_f32(0);
      }
    }
  };
  scale_one.template operator()<0>();
  scale_one.template operator()<1>();
  scale_one.template operator()<2>();
  scale_one.template operator()<3>();
  int8x16_t bytes;
  if constexpr (C >= 3) {
    bytes = to_bytes<kForm>(constants, t[0][0], t[0][1], t[0][2], t[0][C - 1]);
  } else {
    bytes = to_bytes<kForm>(constants, t[0][0], t[1 / C][1 % C], t[2 / C][0], t[3 / C][3 % C]);
  }
  const auto store_one = [&]<int kRow>() {
    if constexpr (kRow < kGroup && kFirst + kRow <= kLast) {
      if (!rows.has(kFirst + kRow)) return;
      store_part<C, kRow>(static_cast<s8*>(epilogue.out) + rows[kFirst + kRow] * epilogue.out_stride + n, bytes);
    }
  };
  store_one.template operator()<0>();
  store_one.template operator()<1>();
  store_one.template operator()<2>();
  store_one.template operator()<3>();
  keep_order();
  if constexpr (kFirst + kGroup < R)
    finish_rows<kKind, kForm, kFirst + kGroup>(epilogue, constants, acc, zero, scale, rows, n);
}

/// finish() of epilogue.h for a kind other than general and the form of the columns. C is at most 4 and the last vector
/// is whole.
template <EpilogueKind kKind, EpilogueForm kForm, int R, int C, class Rows>
WHIT_INLINE void finish(const NeonEpilogue& epilogue, const EpilogueColumns& columns, int32x4_t (&acc)[R][C],
                        const Rows& rows, isize n) {
  static_assert(kKind != EpilogueKind::general && C <= 4);
  WHIT_UNROLL for (int r = 0; r < R; ++r) { WHIT_UNROLL for (int c = 0; c < C; ++c) Vector::settle(acc[r][c]); }
  const EpilogueConstants constants = columns.constants;
  float32x4_t zero[C], scale[C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) {
    zero[c] = vld1q_f32(columns.zero + c * 4);
    scale[c] = vld1q_f32(columns.scale + c * 4);
  }
  finish_rows<kKind, kForm, 0>(epilogue, constants, acc, zero, scale, rows, n);
}

}  // namespace
}  // namespace whit
