#pragma once
// 3x3 at stride 1 where there are 32 registers: the columns of input that an output column needs stay in registers, and
// every step to the next one loads the column that is new. Otherwise as interleaved.h.
//
// Where a register has two pixels, they are in neighbouring columns, and a step goes two columns on, from (a, b) to
// (c, d). The three operands for the outputs are then (a, b), (b, c), which comes from the registers of both, and (c,
// d).

#include "kernels/dwconv_s8/interleaved.h"

namespace whit::dwconv_s8 {
namespace {

/// T output rows together.
template <int T>
struct Sliding : Square<3, 1, T, 1> {
  using Base = Square<3, 1, T, 1>;
  static_assert(Base::kCount == 1);

  /// R of the T rows. Everything that a step changes or needs is in variables whose address nobody takes: compilers
  /// must think that a store of s8 changes all others.
  template <class L, int R>
  struct Walk {
    using Operand = typename L::Bytes[4];
    static constexpr int kBefore = L::kPixels == 2 ? 1 : 2;

    WHIT_INLINE Walk(const Args& args, const Block<L>& block, isize y)
        : input(args, block, y, -args.geometry.pad_left),
          out_w(args.geometry.out_w),
          pixel(y * out_w),
          columns(static_cast<int>(out_w)) {
      WHIT_UNROLL for (int i = 0; i < kBefore; ++i) {
        input.template quad<false>(0, before[i]);
        input.advance();
      }
    }

    WHIT_INLINE static void multiply(const Operand& x, int j, const s8* weights, typename L::Int (&acc)[R][4]) {
      WHIT_UNROLL for (int v = 0; v < 4; ++v) {
        WHIT_UNROLL for (int t = 0; t < R; ++t) acc[t][v] =
            L::dot4(acc[t][v], x[v], weights + ((j * T + t) * 4 + v) * L::kChannels);
      }
    }

    /// The next output column, or two, of which `exist` do.
    template <bool kInside>
    WHIT_INLINE void step(const Block<L>& block, int exist) {
      Operand last;
      input.template quad<kInside>(0, last);
      input.advance();
      typename L::Int acc[R][4];
      WHIT_UNROLL for (int t = 0; t < R; ++t) block.start(acc[t]);
      const s8* weights = block.weights;
      __asm__ volatile("" : "+r"(weights));  // as in register_tile()
      multiply(before[0], 0, weights, acc);
      if constexpr (L::kPixels == 2) {
        Operand middle;
        WHIT_UNROLL for (int v = 0; v < 4; ++v) middle[v] = L::between(before[0][v], last[v]);
        multiply(middle, 1, weights, acc);
      } else {
        multiply(before[1], 1, weights, acc);
      }
      multiply(last, 2, weights, acc);
      WHIT_UNROLL for (int t = 0; t < R; ++t) block.finish(acc[t], pixel + t * out_w, exist);
      WHIT_UNROLL for (int v = 0; v < 4; ++v) {
        if (kBefore == 2) before[0][v] = before[kBefore - 1][v];
        before[kBefore - 1][v] = last[v];
      }
      pixel += L::kPixels;
      columns -= L::kPixels;
    }

    WHIT_INLINE void run(const Block<L>& block) {
      while (columns > 0 && !input.is_inside()) step<false>(block, columns);
      while (columns >= L::kPixels && input.is_inside()) step<true>(block, L::kPixels);
      while (columns > 0) step<false>(block, columns);
    }

    typename Base::template Input<L, R> input;
    const isize out_w;
    isize pixel;
    int columns;
    Operand before[kBefore];
  };

  template <class L>
  [[gnu::noinline]] static void rows(const Args& args, const Block<L>& shared_block, isize row_begin, isize row_end) {
    const Block<L> block = shared_block;
    isize y = row_begin;
    for (; y + T <= row_end; y += T) Walk<L, T>(args, block, y).run(block);
    if constexpr (T > 1)
      for (; y < row_end; ++y) Walk<L, 1>(args, block, y).run(block);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    for_each_block<ForSlidingChannels>(
        args, Base::kProducts, [&]<class L>(const Block<L>& block) { rows<L>(args, block, row_begin, row_end); });
  }
};

}  // namespace
}  // namespace whit::dwconv_s8
