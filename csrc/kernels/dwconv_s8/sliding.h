#pragma once
// 3 x 3 taps where there are 32 registers: the three interleaved columns of input that an output column needs stay in
// registers, and every step to the next output column loads the S columns that are new. Otherwise as interleaved.h.

#include "kernels/dwconv_s8/interleaved.h"

namespace whit::dwconv_s8 {
namespace {

/// T output rows together, at stride S.
template <int S, int T>
struct Sliding {
  static constexpr int K = 3, kInRows = (T - 1) * S + K;
  static_assert(kInRows <= 4);

  /// Everything that a step changes or needs, in variables whose address nobody takes: compilers must think that a
  /// store of s8 changes all others.
  template <class L>
  struct Walk {
    WHIT_INLINE Walk(const Args& args, const Block<L>& block, isize y, isize row_end)
        : mask(L::mask(block.count)),
          narrowing(L::narrowing(block.epilogue.spec.zero_point, block.epilogue.minimum, block.epilogue.maximum)),
          weights(block.weights),
          pad(args.pad + block.channel),
          in_w(args.geometry.in_w),
          ix(-args.geometry.pad_left),
          out_stride(args.out_stride) {
      const Geometry& g = args.geometry;
      WHIT_UNROLL for (int i = 0; i < kInRows; ++i) {
        const isize iy = y * S - g.pad_top + i;
        const bool inside = iy >= 0 && iy < g.in_h;
        from[i] = inside ? args.in + iy * g.in_w * g.channels + block.channel : pad;
        from_step[i] = inside ? g.channels : 0;
      }
      out[0] = static_cast<s8*>(args.out) + y * g.out_w * out_stride + block.channel;
      // A row that does not exist is written before the one above it, to the same place.
      WHIT_UNROLL for (int t = 1; t < T; ++t) out[t] = out[t - 1] + (y + t < row_end ? g.out_w * out_stride : 0);
    }

    /// The next column of input.
    WHIT_INLINE void load(typename L::Bytes (&column)[4]) {
      typename L::Bytes taps[4];
      if (static_cast<std::size_t>(ix) < static_cast<std::size_t>(in_w)) {
        WHIT_UNROLL for (int i = 0; i < kInRows; ++i) {
          taps[i] = L::load(from[i], mask);
          from[i] += from_step[i];
        }
      } else {
        const typename L::Bytes padding = L::load(pad, mask);
        WHIT_UNROLL for (int i = 0; i < kInRows; ++i) taps[i] = padding;
      }
      WHIT_UNROLL for (int i = kInRows; i < 4; ++i) taps[i] = L::zero();
      ++ix;
      L::unpack(taps, column);
    }

    const typename L::Mask mask;
    const typename L::Narrowing narrowing;
    const s8 *const weights, *const pad;
    const isize in_w;
    isize ix;
    const isize out_stride;
    const s8* from[kInRows];
    isize from_step[kInRows];
    s8* out[T];
  };

  /// The next output column, whose first column of input is columns[kFirst].
  template <int kFirst, class L>
  WHIT_INLINE static void step(Walk<L>& walk, const Block<L>& block, typename L::Bytes (&columns)[K][4], isize pixel,
                               isize out_w, isize rows) {
    WHIT_UNROLL for (int j = K - S; j < K; ++j) walk.load(columns[(kFirst + j) % K]);
    typename L::Int acc[T][4];
    WHIT_UNROLL for (int t = 0; t < T; ++t) block.start(acc[t]);
    WHIT_UNROLL for (int j = 0; j < K; ++j) {
      WHIT_UNROLL for (int v = 0; v < 4; ++v) {
        WHIT_UNROLL for (int t = 0; t < T; ++t) {
          const s8* w = walk.weights + ((j * T + t) * 4 + v) * L::kChannels;
          acc[t][v] = L::dot4(acc[t][v], columns[(kFirst + j) % K][v], w);
        }
      }
    }
    WHIT_UNROLL for (int t = T - 1; t >= 0; --t) {
      if (block.form != EpilogueForm::general) {
        L::store(walk.out[t], block.narrow(acc[t], walk.narrowing), walk.mask);
      } else if (t < rows) {
        block.finish_any(acc[t], pixel + t * out_w);
      }
      walk.out[t] += walk.out_stride;
    }
  }

  struct Strip {
    const Args& args;
    isize row_end;

    template <class L>
    [[gnu::noinline]] void operator()(const Block<L>& shared_block, isize y) const {
      const Block<L> block = shared_block;
      Walk<L> walk(args, block, y, row_end);
      const isize out_w = args.geometry.out_w, rows = row_end - y, end = (y + 1) * out_w;
      typename L::Bytes columns[K][4];
      WHIT_UNROLL for (int j = 0; j < K - S; ++j) walk.load(columns[j]);
      for (isize pixel = y * out_w;;) {
        step<0>(walk, block, columns, pixel, out_w, rows);
        if (++pixel == end) break;
        step<S % K>(walk, block, columns, pixel, out_w, rows);
        if (++pixel == end) break;
        step<2 * S % K>(walk, block, columns, pixel, out_w, rows);
        if (++pixel == end) break;
      }
    }
  };

  static void run(const Args& args, isize row_begin, isize row_end) {
    for_each_strip(args, row_begin, row_end, T, K * T, Strip{args, row_end});
  }
};

}  // namespace
}  // namespace whit::dwconv_s8
