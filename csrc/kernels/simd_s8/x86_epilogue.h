#pragma once
// The epilogue on x86: finish() of epilogue.h, with code of its own for what nearly all products of a quantised network
// need, to s8 without a residual or hard_swish. Which form it takes gets decided once for many tiles. Include avx2.h or
// avx512.h before.

#include "kernels/simd_s8/epilogue.h"

namespace whit {
namespace {

enum class EpilogueForm : u8 {
  relu,     ///< one FMA from accumulators in biased form, see EpilogueColumns
  plain,    ///< conversion and product, clamped as bytes alone
  general,  ///< finish() of epilogue.h
};

/// 2^23, which plus an s32 x from 0 to 2^23 - 1 has the bits kPowerBits + x. From -2^23 on below 0 those are the bits
/// of 2^23 + x / 2.
constexpr f32 kPower = 8388608.0f;
constexpr s32 kPowerBits = 0x4B000000;

/// True if the operations of an epilogue have a form other than `general`.
inline bool is_fast(const EpilogueS8& epilogue) {
  return epilogue.output == EpilogueS8::Output::s8 && epilogue.activation == Activation::clamp && !epilogue.residual;
}

/// The form of `columns` columns, whole vectors, whose accumulators get reach(i) away from their bias at most, given
/// for the vector from column i on; and what it needs: what accumulators start from, and for relu the offset. The
/// epilogue is_fast().
///
/// Sums within 2^23 and scales below 2^8 keep results within s32, so that converting and narrowing saturate as the
/// clamp does. relu: accumulators start at kPowerBits. The FMA of the f32 that they are then with scale and -2^23 *
/// scale, which is exact, rounds acc * scale once, as the product does. Where acc < 0 the result is not above 0, which
/// is all that the clamp wants to know; so a column that never gets above 0 may start higher than it says.
template <class Reach>
WHIT_INLINE EpilogueForm choose_form(const EpilogueS8& epilogue, const s32* bias, const f32* scale, const Reach& reach,
                                     int columns, s32* start, f32* offset) {
  constexpr f32 kMost = kPower - 1, kMostReach = 0x1p22f, kMostScale = 255, kNoWrap = 0x1.8p30f;
  bool fast = true, low = false, relu = epilogue.clamp_min >= 0;
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

/// What C vectors of columns are finished with. Accumulators begin with `start`, in the general form with the bias.
template <int C>
struct EpilogueColumns {
  static constexpr int kColumns = C * Vector::kLanes;

  /// `count` columns from n on.
  WHIT_INLINE void set(const EpilogueS8& epilogue, const s32* bias, const f32* reach, isize n, isize count) {
    form = EpilogueForm::general;
    if (!is_fast(epilogue) || (count < kColumns && !Vector::kMasked)) return;
    const int last = static_cast<int>(count - (C - 1) * Vector::kLanes);  // above 0
    for (int c = 0; c < C; ++c) {
      const f32* p = epilogue.scale + n + c * Vector::kLanes;
      Vector::store(scale + c * Vector::kLanes, c < C - 1 ? Vector::load(p) : Vector::load_first(p, last));
      Vector::store(start + c * Vector::kLanes, Vector::load(bias + c * Vector::kLanes));
    }
    form = choose_form(epilogue, bias, scale, [&](int i) { return Vector::load(reach + i); }, kColumns, start, offset);
  }

  alignas(64) s32 start[kColumns];
  alignas(64) f32 scale[kColumns], offset[kColumns];
  EpilogueForm form;
};

/// body.template operator()<form>()
template <class Body>
WHIT_INLINE void with_form(EpilogueForm form, Body body) {
  switch (form) {
    case EpilogueForm::relu: return body.template operator()<EpilogueForm::relu>();
    case EpilogueForm::plain: return body.template operator()<EpilogueForm::plain>();
    default: return body.template operator()<EpilogueForm::general>();
  }
}

/// finish() with its form. `columns` are the C vectors' alone, also where a panel has more.
template <EpilogueForm kForm, int R, int C, int kPanelVectors, class Rows>
WHIT_INLINE void finish(const Epilogue& epilogue, const EpilogueColumns<kPanelVectors>& columns,
                        Vector::Int (&acc)[R][C], const Rows& rows, isize n, int last) {
  constexpr int kLanes = Vector::kLanes;
  if constexpr (kForm == EpilogueForm::general) {
    finish(epilogue, acc, rows, n, last);
  } else {
    WHIT_UNROLL for (int r = 0; r < R; ++r) { WHIT_UNROLL for (int c = 0; c < C; ++c) Vector::settle(acc[r][c]); }
    WHIT_UNROLL for (int first = 0; first < R * C; first += 4) {
      Vector::Int x[4];
      WHIT_UNROLL for (int i = 0; i < 4; ++i) {
        const int at = first + i < R * C ? first + i : R * C - 1, c = at % C;
        const Vector::Float scale = Vector::load(columns.scale + c * kLanes);
        if constexpr (kForm == EpilogueForm::relu) {
          const Vector::Float offset = Vector::load(columns.offset + c * kLanes);
          x[i] = Vector::round(Vector::fma(Vector::float_bits(acc[at / C][c]), scale, offset));
        } else {
          x[i] = Vector::round(Vector::mul(Vector::to_float(acc[at / C][c]), scale));
        }
      }
      const Vector::Bytes bytes =
          Vector::at_most(Vector::narrow(x, epilogue.spec.zero_point, epilogue.minimum, 0), epilogue.maximum);
      WHIT_UNROLL for (int i = 0; i < 4; ++i) {
        const int r = (first + i) / C, c = (first + i) % C;
        if (r >= R) break;
        if (!rows.has(r)) continue;
        s8* p = static_cast<s8*>(epilogue.out) + rows[r] * epilogue.out_stride + n;
        if constexpr (C == 2) {
          if (c == 0) Vector::store_half(p, bytes, i / 2, kLanes + last);
        } else {
          Vector::store_part(p + c * kLanes, bytes, i, last);
        }
      }
    }
  }
}

}  // namespace
}  // namespace whit
