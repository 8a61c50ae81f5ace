#pragma once
// The epilogue on x86: finish() of epilogue.h, with code of its own for what nearly all products of a quantised network
// need, to s8 without hard_swish. Which form it takes gets decided once for many tiles. Include avx2.h or avx512.h
// before.

#include "kernels/simd_s8/epilogue.h"

namespace whit {
namespace {

enum class EpilogueForm : u8 {
  relu,      ///< one FMA from accumulators in biased form, see choose_form()
  plain,     ///< conversion and product, clamped as bytes alone
  residual,  ///< plain with a residual
  general,   ///< finish() of epilogue.h
};

/// 2^23, which plus an s32 x from 0 to 2^23 - 1 has the bits kPowerBits + x. From -2^23 on below 0 those are the bits
/// of 2^23 + x / 2.
constexpr f32 kPower = 8388608.0f;
constexpr s32 kPowerBits = 0x4B000000;
constexpr f32 kMostScale = 255;  // of forms other than `general`

/// True if `relu` or `plain` may be the form of an epilogue.
inline bool is_fast(const EpilogueS8& epilogue) {
  return epilogue.output == EpilogueS8::Output::s8 && epilogue.activation == Activation::clamp && !epilogue.residual;
}

/// The form of `columns` columns, whole vectors, whose accumulators get reach(i) away from their bias at most, given
/// for the vector from column i on; and what it needs: what accumulators start from, and for relu the offset. `relu`
/// says that results below 0 all become 0. The epilogue is_fast(), or does what `plain` does before something else.
///
/// Sums within 2^23 and scales below 2^8 keep results within s32, so that converting and narrowing saturate as the
/// clamp does. relu: accumulators start at kPowerBits. The FMA of the f32 that they are then with scale and -2^23 *
/// scale, which is exact, rounds acc * scale once, as the product does. Where acc < 0 the result is not above 0, which
/// is all that the clamp wants to know; so a column that never gets above 0 may start higher than it says.
template <class Reach>
WHIT_INLINE EpilogueForm choose_form(bool relu, const s32* bias, const f32* scale, const Reach& reach, int columns,
                                     s32* start, f32* offset) {
  constexpr f32 kMost = kPower - 1, kMostReach = 0x1p22f, kNoWrap = 0x1.8p30f;
  bool fast = true, low = false;
  const Vector::Float zero = Vector::broadcast(0.0f), most = Vector::broadcast(kMost);
  for (int i = 0; i < columns; i += Vector::kLanes) {
    const Vector::Float b = Vector::to_float(Vector::load(bias + i)), s = Vector::load(scale + i), r = reach(i);
    const Vector::Float below = Vector::sub(zero, b), minus = Vector::sub(zero, s);
    fast &= Vector::all_at_most(r, kMostReach);  // a statement each: && would branch, and clang warns of & of bools
    fast &= Vector::all_at_most(Vector::add(b, r), kMost);
    fast &= Vector::all_at_most(s, kMostScale);
    fast &= Vector::all_at_most(minus, kMostScale);
    low |= !Vector::all_at_most(Vector::add(below, r), kMost);
    relu &= Vector::all_at_most(minus, 0);
    relu &= Vector::all_at_most(below, kNoWrap);
  }
  if (!fast || (low && !relu)) return EpilogueForm::general;
  if (!relu) return EpilogueForm::plain;
  const Vector::Int bits = Vector::broadcast(kPowerBits);
  for (int i = 0; i < columns; i += Vector::kLanes) {
    const Vector::Int least = Vector::round(Vector::sub(reach(i), most));
    Vector::store(start + i, Vector::add(Vector::max(Vector::load(bias + i), least), bits));
    Vector::store(offset + i, Vector::mul(Vector::load(scale + i), Vector::broadcast(-kPower)));
  }
  return EpilogueForm::relu;
}

template <class Reach>
WHIT_INLINE EpilogueForm choose_form(const EpilogueS8& epilogue, const s32* bias, const f32* scale, const Reach& reach,
                                     int columns, s32* start, f32* offset) {
  return choose_form(epilogue.clamp_min >= 0, bias, scale, reach, columns, start, offset);
}

/// What up to kVectors vectors of columns are finished with. Accumulators begin with `start`, in all forms but relu the
/// bias. All in memory, ready for use as operands.
template <int kVectors>
struct EpilogueColumns {
  static constexpr int kColumns = kVectors * Vector::kLanes;

  /// `count` columns from n on, in C vectors.
  template <int C>
  WHIT_INLINE void set(const Epilogue& epilogue, const s32* bias, const f32* reach, isize n, isize count) {
    const EpilogueS8& spec = epilogue.spec;
    const int last = static_cast<int>(count - (C - 1) * Vector::kLanes);  // above 0
    const bool whole = Vector::kMasked || last == Vector::kLanes;
    WHIT_UNROLL for (int c = 0; c < C; ++c)
        Vector::store(start + c * Vector::kLanes, Vector::load(bias + c * Vector::kLanes));
    form = EpilogueForm::general;
    if (spec.output != EpilogueS8::Output::s8 || spec.activation != Activation::clamp || !whole) return;
    if (spec.residual && !(spec.residual_scale <= kMostScale && -spec.residual_scale <= kMostScale)) return;
    // Narrows to u8 before the zero point is added: 0 is what the instruction saturates at.
    const bool relu = !spec.residual && spec.clamp_min == 0;
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const f32* p = spec.scale + n + c * Vector::kLanes;
      Vector::store(scale + c * Vector::kLanes, c < C - 1 ? Vector::load(p) : Vector::load_first(p, last));
    }
    form = choose_form(
        relu, bias, scale, [&](int i) { return Vector::load(reach + i); }, C * Vector::kLanes, start, offset);
    if (form == EpilogueForm::relu) {
      narrowing = Vector::narrowing_u8(spec.zero_point, epilogue.maximum);
    } else if (form == EpilogueForm::plain) {
      narrowing = Vector::narrowing(spec.zero_point, epilogue.minimum, epilogue.maximum);
      if (spec.residual) form = EpilogueForm::residual;
    }
  }

  alignas(64) s32 start[kColumns];
  alignas(64) f32 scale[kColumns], offset[kColumns];
  Vector::Narrowing narrowing;
  EpilogueForm form;
};

/// body.template operator()<form>()
template <class Body>
WHIT_INLINE void with_form(EpilogueForm form, Body body) {
  switch (form) {
    case EpilogueForm::relu: return body.template operator()<EpilogueForm::relu>();
    case EpilogueForm::plain: return body.template operator()<EpilogueForm::plain>();
    case EpilogueForm::residual: return body.template operator()<EpilogueForm::residual>();
    default: return body.template operator()<EpilogueForm::general>();
  }
}

/// finish() with its form, for rows that follow each other from m on.
template <EpilogueForm kForm, int R, int C, int kVectors>
WHIT_INLINE void finish(const Epilogue& epilogue, const EpilogueColumns<kVectors>& columns, Vector::Int (&acc)[R][C],
                        isize m, isize n, int last) {
  constexpr int kLanes = Vector::kLanes;
  if constexpr (kForm == EpilogueForm::general) {
    finish(epilogue, acc, Consecutive{m}, n, last);
  } else {
    WHIT_UNROLL for (int r = 0; r < R; ++r) { WHIT_UNROLL for (int c = 0; c < C; ++c) Vector::settle(acc[r][c]); }
    // Copies, since a store of bytes might change members.
    const EpilogueS8& spec = epilogue.spec;
    const isize stride = epilogue.out_stride, residual_stride = spec.residual_stride;
    s8* out = static_cast<s8*>(epilogue.out) + m * stride + n;
    const s8* residual = kForm == EpilogueForm::residual ? spec.residual + m * residual_stride + n : nullptr;
    const Vector::Int residual_zero_point = Vector::broadcast(spec.residual_zero_point);
    const Vector::Float residual_scale = Vector::broadcast(spec.residual_scale);
    WHIT_UNROLL for (int first = 0; first < R * C; first += 4) {
      Vector::Int x[4];
      WHIT_UNROLL for (int i = 0; i < 4; ++i) {
        const int at = first + i < R * C ? first + i : R * C - 1, c = at % C;
        const Vector::Float scale = Vector::load(columns.scale + c * kLanes);
        if constexpr (kForm == EpilogueForm::relu) {
          const Vector::Float offset = Vector::load(columns.offset + c * kLanes);
          x[i] = Vector::round(Vector::fma(Vector::float_bits(acc[at / C][c]), scale, offset));
          continue;
        }
        Vector::Float t = Vector::mul(Vector::to_float(acc[at / C][c]), scale);
        if constexpr (kForm == EpilogueForm::residual) {
          const s8* p = residual + c * kLanes;
          const Vector::Int y = c < C - 1 || !Vector::kMasked ? Vector::load_s8(p) : Vector::load_s8_first(p, last);
          t = Vector::add(t, Vector::mul(Vector::to_float(Vector::sub(y, residual_zero_point)), residual_scale));
          if (c == C - 1 && first + i < R * C - 1) residual += residual_stride;
        }
        x[i] = Vector::round(t);
      }
      const Vector::Bytes bytes =
          kForm == EpilogueForm::relu ? Vector::narrow_u8(x, columns.narrowing) : Vector::narrow(x, columns.narrowing);
      WHIT_UNROLL for (int i = 0; i < 4; ++i) {
        const int c = (first + i) % C;
        if (first + i >= R * C) break;
        if constexpr (C == 2) {
          if (c == 0) Vector::store_half(out, bytes, i / 2, kLanes + last);
        } else {
          Vector::store_part(out + c * kLanes, bytes, i, last);
        }
        if (c == C - 1) out += stride;
      }
    }
  }
}

}  // namespace
}  // namespace whit
