// ARMv8.0 NEON, 8 channels at a time. Two products fit in s16 (128 * 127 * 2 = 32512): smull, smlal for a pair of taps,
// saddw, saddw2 into s32. The square kernels go through the kernel row by row: the inputs of a row are loaded once for
// all output columns of the tile (4 columns of 3x3 at stride 1: 18 loads of input where one output at a time has 36).

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/dwconv_s8/taps.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::dwconv_s8 {
namespace {

using Int = Vector::Int;

constexpr isize kChannels = 8;

WHIT_INLINE isize block_bytes(const Args& args) {
  return kChannels * (static_cast<isize>(sizeof(s32)) + args.geometry.kernel_h * args.geometry.kernel_w);
}

WHIT_INLINE void accumulate(Int (&acc)[2], int16x8_t products) {
  acc[0] = vaddw_s16(acc[0], vget_low_s16(products));
  acc[1] = vaddw_high_s16(acc[1], products);
}

/// Any kernel, stride and dilation, one output pixel at a time.
struct Any {
  static constexpr isize kTaps = 64, kSpan = 64;  // taps and channels for which addresses are computed once

  WHIT_INLINE static int8x8_t load(const s8* p, isize count) {
    return count == kChannels ? vld1_s8(p) : vcreate_s8(load_first_u64(p, count));
  }

  /// Channels [channel, end), at most kSpan.
  static void span(const Args& args, const Epilogue& epilogue, isize y, isize x, isize channel, isize end) {
    const isize all = args.geometry.kernel_h * args.geometry.kernel_w, bytes = block_bytes(args);
    const s8* first_block = reinterpret_cast<const s8*>(args.packed) + channel / kChannels * bytes;
    const Consecutive pixel{y * args.geometry.out_w + x};
    s32 sums[kSpan];
    Taps taps(args, y, x);
    for (isize done = 0; done < all; done += kTaps) {
      const isize some = all - done < kTaps ? all - done : kTaps;
      const s8* pixels[kTaps];
      for (isize t = 0; t < some; ++t) pixels[t] = taps.next();
      const s8* block = first_block;
      s32* sum = sums;
      for (isize c = channel; c < end; c += kChannels, block += bytes, sum += kChannels) {
        const isize count = end - c < kChannels ? end - c : kChannels;
        const s32* start = done == 0 ? reinterpret_cast<const s32*>(block) : sum;
        const s8* weights = block + kChannels * (static_cast<isize>(sizeof(s32)) + done);
        Int acc[1][2] = {{Vector::load(start), Vector::load(start + 4)}};
        isize t = 0;
        for (; t + 2 <= some; t += 2) {
          const int16x8_t product = vmull_s8(load(pixels[t] + c, count), vld1_s8(weights + t * kChannels));
          accumulate(acc[0], vmlal_s8(product, load(pixels[t + 1] + c, count), vld1_s8(weights + (t + 1) * kChannels)));
        }
        if (t < some) accumulate(acc[0], vmull_s8(load(pixels[t] + c, count), vld1_s8(weights + t * kChannels)));
        if (done + some < all) {
          Vector::store(sum, acc[0][0]);
          Vector::store(sum + 4, acc[0][1]);
        } else if (count > 4) {
          finish(epilogue, acc, pixel, c, static_cast<int>(count - 4));
        } else {
          Int low[1][1] = {{acc[0][0]}};
          finish(epilogue, low, pixel, c, static_cast<int>(count));
        }
      }
    }
  }

  /// Channels from `channel` on.
  static void pixel(const Args& args, const Epilogue& epilogue, isize y, isize x, isize channel) {
    for (const isize end = args.geometry.channels; channel < end; channel += kSpan)
      span(args, epilogue, y, x, channel, end - channel < kSpan ? end : channel + kSpan);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    for (isize y = row_begin; y < row_end; ++y)
      for (isize x = 0; x < args.geometry.out_w; ++x) pixel(args, epilogue, y, x, 0);
  }
};

/// K x K taps at stride S, without dilation.
template <int K, int S>
struct Square {
  static constexpr int kColumns = 4;

  /// A row of input pixels that the kernel meets; the padding's pixel over and over outside of the image.
  struct Row {
    const s8* first;  // of input column 0
    isize step;
  };

  /// Columns of output from x, all whole blocks of channels. at(i, column) is the input pixel of kernel row i.
  template <int N, class At>
  WHIT_INLINE static void tile(const Args& args, const Epilogue& epilogue, isize y, isize x, At at) {
    constexpr int kInColumns = (N - 1) * S + K;
    const s8* block = reinterpret_cast<const s8*>(args.packed);
    const Consecutive pixels{y * args.geometry.out_w + x};
    for (isize c = 0; c + kChannels <= args.geometry.channels; c += kChannels, block += block_bytes(args)) {
      const s32* bias = reinterpret_cast<const s32*>(block);
      const s8* weights = block + kChannels * sizeof(s32);
      Int acc[N][2];
      WHIT_UNROLL for (int o = 0; o < N; ++o) {
        acc[o][0] = Vector::load(bias);
        acc[o][1] = Vector::load(bias + 4);
      }
      WHIT_UNROLL for (int i = 0; i < K; ++i) {
        int8x8_t w[K], in[kInColumns];
        WHIT_UNROLL for (int j = 0; j < K; ++j) w[j] = vld1_s8(weights + (i * K + j) * kChannels);
        WHIT_UNROLL for (int column = 0; column < kInColumns; ++column) in[column] = vld1_s8(at(i, column) + c);
        WHIT_UNROLL for (int o = 0; o < N; ++o) {
          WHIT_UNROLL for (int j = 0; j < K; j += 2) {
            int16x8_t products = vmull_s8(in[o * S + j], w[j]);
            if (j + 1 < K) products = vmlal_s8(products, in[o * S + j + 1], w[j + 1]);
            accumulate(acc[o], products);
          }
          keep_order();
        }
      }
      finish(epilogue, acc, pixels, c, Vector::kLanes);
    }
  }

  template <int N>
  static void columns(const Args& args, const Epilogue& epilogue, isize y, isize x, const Row (&rows)[K]) {
    constexpr int kInColumns = (N - 1) * S + K;
    const Geometry& g = args.geometry;
    const isize ix = x * S - g.pad_left;
    if (ix >= 0 && ix + kInColumns <= g.in_w) {
      tile<N>(args, epilogue, y, x, [&](int i, int column) { return rows[i].first + (ix + column) * rows[i].step; });
    } else {
      const s8* pixels[K][kInColumns];
      for (int i = 0; i < K; ++i) {
        for (int column = 0; column < kInColumns; ++column) {
          const bool inside = ix + column >= 0 && ix + column < g.in_w;
          pixels[i][column] = inside ? rows[i].first + (ix + column) * rows[i].step : args.pad;
        }
      }
      tile<N>(args, epilogue, y, x, [&](int i, int column) { return pixels[i][column]; });
    }
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const Geometry& g = args.geometry;
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    const isize whole = g.channels / kChannels * kChannels;
    for (isize y = row_begin; y < row_end; ++y) {
      Row rows[K];
      for (int i = 0; i < K; ++i) {
        const isize iy = y * S - g.pad_top + i;
        const bool inside = iy >= 0 && iy < g.in_h;
        rows[i] = inside ? Row{args.in + iy * g.in_w * g.channels, g.channels} : Row{args.pad, 0};
      }
      isize x = 0;
      for (; x + kColumns <= g.out_w; x += kColumns) columns<kColumns>(args, epilogue, y, x, rows);
      for (; x < g.out_w; ++x) columns<1>(args, epilogue, y, x, rows);
      if (whole < g.channels)
        for (x = 0; x < g.out_w; ++x) Any::pixel(args, epilogue, y, x, whole);
    }
  }
};

}  // namespace

void dwconv_s8_3x3s1_neon(const Args& args, isize row_begin, isize row_end) {
  Square<3, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_neon(const Args& args, isize row_begin, isize row_end) {
  Square<3, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_neon(const Args& args, isize row_begin, isize row_end) {
  Square<5, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_neon(const Args& args, isize row_begin, isize row_end) {
  Square<5, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_neon(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
