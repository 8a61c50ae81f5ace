#pragma once
// EpilogueB1 on vectors. Include a Vector of simd_s8 and the Bits of simd_b1 before.

#include <cstring>

#include "kernels/gemm_b1/kernel.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::gemm_b1 {
namespace {

constexpr int kFinished = 4 * Vector::kLanes;  // columns at a time

/// The values at p, or where they are less than a group a copy with zeros behind them.
template <class T>
WHIT_INLINE const T* padded(const T* p, isize columns, T (&copy)[kFinished]) {
  if (columns == kFinished) return p;
  for (isize i = 0; i < kFinished; ++i) copy[i] = i < columns ? p[i] : T{0};
  return copy;
}

/// What rows share. Copies, since a store might change what they are made from.
struct Constants {
  explicit Constants(const Args& args)
      : depth(Vector::broadcast(static_cast<s32>(args.taps * args.k))),
        clamp_min(Vector::broadcast(args.epilogue.clamp_min)),
        clamp_max(Vector::broadcast(args.epilogue.clamp_max)),
        zero_point(args.epilogue.zero_point),
        minimum(bound(args.epilogue.clamp_min)),
        maximum(bound(args.epilogue.clamp_max)) {}

  Vector::Int depth;
  Vector::Float clamp_min, clamp_max;
  s32 zero_point;
  s8 minimum, maximum;

 private:
  s8 bound(f32 limit) const {
    const f32 x = limit + static_cast<f32>(zero_point);
    return static_cast<s8>(x < -128 ? -128 : x > 127 ? 127 : x);
  }
};

/// store(p) of whole vectors, through a copy where the columns are fewer.
template <class T, class Store>
WHIT_INLINE void store_columns(T* out, isize columns, Store store) {
  if (columns == kFinished) return store(out);
  alignas(64) T copy[kFinished];
  store(copy);
  for (isize i = 0; i < columns; ++i) out[i] = copy[i];
}

/// f32 and s8.
template <EpilogueB1::Output kOutput>
WHIT_INLINE void store_scaled(const Constants& constants, const Vector::Int (&acc)[4], const f32* scale,
                              const f32* bias, void* out, isize columns) {
  constexpr int kLanes = Vector::kLanes;
  Vector::Float t[4];
  WHIT_UNROLL for (int i = 0; i < 4; ++i) {
    t[i] = Vector::mul(Vector::to_float(acc[i]), Vector::load(scale + i * kLanes));
    t[i] = Vector::add(t[i], Vector::load(bias + i * kLanes));
  }
  if constexpr (kOutput == EpilogueB1::Output::f32) {
    store_columns(static_cast<f32*>(out), columns, [&](f32* p) {
      WHIT_UNROLL for (int i = 0; i < 4; ++i)
          Vector::store(p + i * kLanes, Vector::min(Vector::max(t[i], constants.clamp_min), constants.clamp_max));
    });
  } else {
    Vector::Int x[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i) x[i] =
        Vector::round(Vector::bound(t[i], constants.clamp_min, constants.clamp_max));
    const Vector::Bytes bytes = Vector::narrow(x, constants.zero_point, constants.minimum, constants.maximum);
    store_columns(static_cast<s8*>(out), columns, [&](s8* p) {
      Vector::store_half(p, bytes, 0, 2 * kLanes);
      Vector::store_half(p + 2 * kLanes, bytes, 1, 2 * kLanes);
    });
  }
}

/// kWhole: kFinished columns; kBorder: there may be a border. Whole columns without one are nearly everything, and
/// straight code.
template <EpilogueB1::Output kOutput, int kStride, bool kWhole, bool kBorder>
void finish_rows(const Args& args, const s32* counts, isize rows, isize m, isize n, isize some) {
  using Output = EpilogueB1::Output;
  using Int = Vector::Int;
  constexpr int kLanes = Vector::kLanes;
  constexpr bool kScales = kOutput == Output::f32 || kOutput == Output::s8;
  constexpr isize kBytes = kOutput == Output::s32 || kOutput == Output::f32 ? 4 : 1;
  const isize columns = kWhole ? kFinished : some;
  const Constants constants(args);
  const Border border = args.border;
  const isize all_columns = args.n, stride = args.out_stride * kBytes;
  u8* out = static_cast<u8*>(args.out) + m * stride + (kOutput == Output::b1 ? n / 8 : n * kBytes);

  s32 border_copy[kFinished];
  [[maybe_unused]] f32 scale_copy[kFinished], bias_copy[kFinished];
  [[maybe_unused]] const f32* scale = kScales ? padded(args.epilogue.scale + n, columns, scale_copy) : nullptr;
  [[maybe_unused]] const f32* bias = kScales ? padded(args.epilogue.bias + n, columns, bias_copy) : nullptr;
  [[maybe_unused]] Int limits[4];
  [[maybe_unused]] const auto bit_columns = static_cast<std::size_t>((columns + 7) / 8);
  if constexpr (kOutput == Output::b1) {
    s32 copy[kFinished];
    const s32* threshold = padded(args.epilogue.threshold + n, columns, copy);
    WHIT_UNROLL for (int i = 0; i < 4; ++i) limits[i] = Vector::load(threshold + i * kLanes);
  }

  for (isize end = m + rows; m < end; ++m, counts += kStride, out += stride) {
    Int acc[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      const Int count = Vector::load(counts + i * kLanes);
      acc[i] = Vector::sub(constants.depth, Vector::add(count, count));
    }
    if (kBorder && border.sums && border.classes[m] != 0) {
      const s32* sums = padded(border.sums + border.classes[m] * all_columns + n, columns, border_copy);
      WHIT_UNROLL for (int i = 0; i < 4; ++i) acc[i] = Vector::add(acc[i], Vector::load(sums + i * kLanes));
    }
    if constexpr (kScales) {
      store_scaled<kOutput>(constants, acc, scale, bias, out, columns);
    } else if constexpr (kOutput == Output::s32) {
      store_columns(reinterpret_cast<s32*>(out), columns,
                    [&](s32* p) { WHIT_UNROLL for (int i = 0; i < 4; ++i) Vector::store(p + i * kLanes, acc[i]); });
    } else {
      constexpr auto kAll = static_cast<Bits::Word>(-1);
      const auto word = static_cast<Bits::Word>(Bits::below(acc, limits) & (kAll >> (kFinished - columns)));
      std::memcpy(out, &word, bit_columns);
    }
  }
}

template <EpilogueB1::Output kOutput, int kStride>
void finish_rows(const Args& args, const s32* counts, isize rows, isize m, isize n, isize columns) {
  const auto function = columns < kFinished ? finish_rows<kOutput, kStride, false, true>
                        : args.border.sums  ? finish_rows<kOutput, kStride, true, true>
                                            : finish_rows<kOutput, kStride, true, false>;
  function(args, counts, rows, m, n, columns);
}

/// The epilogue of `columns` columns from n on, of rows from m on, from popcounts: kStride of each row, where there are
/// fewer columns anything behind them.
template <int kStride>
[[gnu::noinline]] void finish(const Args& args, const s32* counts, isize rows, isize m, isize n, isize columns) {
  using Output = EpilogueB1::Output;
  for (; columns > 0; columns -= kFinished, n += kFinished, counts += kFinished) {
    const isize some = columns < kFinished ? columns : kFinished;
    switch (args.epilogue.output) {
      case Output::s32: finish_rows<Output::s32, kStride>(args, counts, rows, m, n, some); break;
      case Output::f32: finish_rows<Output::f32, kStride>(args, counts, rows, m, n, some); break;
      case Output::s8: finish_rows<Output::s8, kStride>(args, counts, rows, m, n, some); break;
      case Output::b1: finish_rows<Output::b1, kStride>(args, counts, rows, m, n, some); break;
    }
  }
}

/// body.template operator()<rows>(first) for tiles of at most kMost rows that `count` rows are spread over evenly: 13
/// rows are tiles of 7 and 6, not of 12 and 1.
template <int kMost, class Body>
WHIT_INLINE void for_each_tile(isize count, Body body) {
  const auto tile = [&]<int R>(const auto& self, isize first, isize rows) __attribute__((always_inline)) -> void {
    if constexpr (R > 1) {
      if (rows < R) return self.template operator()<R - 1>(self, first, rows);
    }
    body.template operator()<R>(first);
  };
  const isize tiles = (count + kMost - 1) / kMost;
  const isize rows = count / tiles, larger = count - rows * tiles;  // as many tiles have a row more
  for (isize i = 0, first = 0; i < tiles; ++i) {
    const isize some = i < larger ? rows + 1 : rows;
    tile.template operator()<kMost>(tile, first, some);
    first += some;
  }
}

/// Rows [m, m + rows) in such tiles: count.template operator()<R>(first, counts) stores kStride popcounts of each, from
/// row m + first on. The epilogue takes several tiles together, and so begins less often.
template <int kMost, int kStride, class Count>
WHIT_INLINE void count_and_finish(const Args& args, isize m, isize rows, isize n, isize columns, Count count) {
  constexpr isize kTogether = 8 * kMost;
  alignas(64) s32 counts[kTogether * kStride];
  isize counted = 0;
  for_each_tile<kMost>(rows, [&]<int R>(isize first) __attribute__((always_inline)) {
    count.template operator()<R>(first, counts + counted * kStride);
    counted += R;
    if (counted + kMost <= kTogether && first + R < rows) return;
    finish<kStride>(args, counts, counted, m + first + R - counted, n, columns);
    counted = 0;
  });
}

}  // namespace
}  // namespace whit::gemm_b1
