#pragma once
// Stride 2 where there are 32 registers: a period of input passes through registers once, quad by quad, and is added to
// the outputs of its own period and to those of the one before, whose sums wait for it. Otherwise as interleaved.h.

#include "kernels/dwconv_s8/interleaved.h"

namespace whit::dwconv_s8 {
namespace {

/// P output columns of a row together, which need two periods.
template <int K, int S, int P>
struct Passing : Square<K, S, 1, P> {
  using Base = Square<K, S, 1, P>;
  using Base::kCount, Base::kPeriods, Base::kQuads, Base::kWidth;
  static_assert(kPeriods == 2);

  template <class L>
  using Sums = typename L::Int[P][4];

  struct Uses {
    bool of[kPeriods][kCount];
  };
  /// Whether any output needs a quad.
  static constexpr Uses kUses = [] {
    Uses uses{};
    kQuads.for_each([&](int period, int quad, int, int) { uses.of[period][quad] = true; });
    return uses;
  }();

  template <class L>
  WHIT_INLINE static void multiply(const typename L::Bytes (&x)[4], int period, int quad, const s8* weights,
                                   Sums<L>& sums) {
    WHIT_UNROLL for (int v = 0; v < 4; ++v) {
      WHIT_UNROLL for (int p = 0; p < P; ++p) {
        const int index = Base::kIndex.of[period][quad][p][0];
        if (index >= 0) sums[p][v] = L::dot4(sums[p][v], x[v], weights + (index * 4 + v) * L::kChannels);
      }
    }
  }

  /// The next period of input: the first one of the outputs `begins`, which start with it, the second one of `ends`.
  template <bool kBegins, bool kEnds, bool kInside, class L>
  WHIT_INLINE static void pass(typename Base::template Input<L, 1>& input, const Block<L>& block, Sums<L>& begins,
                               Sums<L>& ends) {
    const s8* weights = block.weights;
    __asm__ volatile("" : "+r"(weights));  // as in register_tile()
    if constexpr (kBegins) {
      WHIT_UNROLL for (int p = 0; p < P; ++p) block.start(begins[p]);
    }
    WHIT_UNROLL for (int quad = 0; quad < kCount; ++quad) {
      const bool first = kBegins && kUses.of[0][quad], second = kEnds && kUses.of[1][quad];
      if (!first && !second) continue;
      typename L::Bytes x[4];
      input.template quad<kInside>(quad, x);
      if (second) multiply<L>(x, 1, quad, weights, ends);
      if (first) multiply<L>(x, 0, quad, weights, begins);
    }
    input.advance();
  }

  template <class L>
  struct Walk {
    typename Base::template Input<L, 1> input;
    Sums<L> sums;  // that wait
    isize pixel, columns;

    template <bool kInside>
    WHIT_INLINE void step(const Block<L>& block) {
      Sums<L> ends;
      WHIT_UNROLL for (int p = 0; p < P; ++p) { WHIT_UNROLL for (int v = 0; v < 4; ++v) ends[p][v] = sums[p][v]; }
      pass<true, true, kInside>(input, block, sums, ends);
      WHIT_UNROLL for (int p = 0; p < P; ++p) block.finish(ends[p], pixel + p);
      pixel += P;
      columns -= P;
    }
  };

  template <class L>
  WHIT_INLINE static void row(const Args& args, const Block<L>& block, isize y) {
    Walk<L> walk{
        {args, block, y, -args.geometry.pad_left - kQuads.lead}, {}, y * args.geometry.out_w, args.geometry.out_w};
    pass<true, false, false>(walk.input, block, walk.sums, walk.sums);
    while (walk.columns > P && !walk.input.is_inside()) walk.template step<false>(block);
    while (walk.columns > P && walk.input.is_inside()) walk.template step<true>(block);
    while (walk.columns > P) walk.template step<false>(block);
    pass<false, true, false>(walk.input, block, walk.sums, walk.sums);
    WHIT_UNROLL for (int p = 0; p < P; ++p) {
      if (p < walk.columns) block.finish(walk.sums[p], walk.pixel + p);
    }
  }

  template <class L>
  [[gnu::noinline]] static void rows(const Args& args, const Block<L>& shared_block, isize row_begin, isize row_end) {
    const Block<L> block = shared_block;
    for (isize y = row_begin; y < row_end; ++y) row<L>(args, block, y);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    for_each_block<ForChannels>(args, Base::kProducts,
                                [&]<class L>(const Block<L>& block) { rows<L>(args, block, row_begin, row_end); });
  }
};

}  // namespace
}  // namespace whit::dwconv_s8
