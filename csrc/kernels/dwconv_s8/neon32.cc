// ARMv7 NEON, 8 channels at a time. Two products fit in s16 (128 * 127 * 2 = 32512): vmull.s8, vmlal.s8 for a pair of
// taps, two vaddw.s16 into s32.
//
// 3x3 slides along the columns in assembly (neon32_sliding.h). 5x5 goes through the kernel row by row: the inputs of a
// row are loaded once for all output columns of the tile, which are as many as leave registers for a row of inputs and
// weights: 8 accumulators (4 columns), 8 or 11 half registers of input, 5 of weights, the products.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/dwconv_s8/neon32_sliding.h"
#include "kernels/dwconv_s8/taps.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::dwconv_s8 {
namespace {

WHIT_INLINE isize block_bytes(const Args& args) {
  return kChannels * (static_cast<isize>(sizeof(s32)) + args.geometry.kernel_h * args.geometry.kernel_w);
}

WHIT_INLINE void accumulate(Int (&acc)[2], int16x8_t products) {
  acc[0] = vaddw_s16(acc[0], vget_low_s16(products));
  acc[1] = vaddw_s16(acc[1], vget_high_s16(products));
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

/// The 8 bytes at p; p moves on by `step`. As an instruction, for compilers compute every address anew.
WHIT_INLINE int8x8_t load_next(const s8*& p, isize step) {
  int8x8_t x;
  __asm__ volatile("vld1.8 {%P0}, [%1], %2" : "=w"(x), "+r"(p) : "r"(step));
  return x;
}

/// K x K taps at stride S, without dilation.
template <int K, int S>
struct Square {
  static constexpr int kColumns = 4;

  /// A row of input pixels that the kernel meets; the padding's pixel over and over outside of the image.
  struct Row {
    const s8* first;  // of input column 0
    isize step;
  };

  template <int N>
  static constexpr int kInColumns = (N - 1) * S + K;

  /// One kernel row times its inputs, for N output columns.
  template <int N>
  WHIT_INLINE static void add_row(Int (&acc)[N][2], const int8x8_t (&in)[kInColumns<N>], const s8* weights) {
    int8x8_t w[K];
    WHIT_UNROLL for (int j = 0; j < K; ++j) w[j] = vld1_s8(weights + j * kChannels);
    WHIT_UNROLL for (int o = 0; o < N; ++o) {
      WHIT_UNROLL for (int j = 0; j < K; j += 2) {
        int16x8_t products = vmull_s8(in[o * S + j], w[j]);
        if (j + 1 < K) products = vmlal_s8(products, in[o * S + j + 1], w[j + 1]);
        accumulate(acc[o], products);
      }
      keep_order();
    }
  }

  template <int N>
  WHIT_INLINE static void start(Int (&acc)[N][2], const s32* bias) {
    WHIT_UNROLL for (int o = 0; o < N; ++o) {
      acc[o][0] = Vector::load(bias);
      acc[o][1] = Vector::load(bias + 4);
    }
  }

  /// N columns of output from x whose inputs, from column ix on, lie inside of the image. Whole blocks of channels.
  template <int N>
  [[gnu::noinline]] static void inside(const Args& args, const Epilogue& epilogue, isize y, isize x, isize ix,
                                       const Row (&rows)[K]) {
    const s8* block = reinterpret_cast<const s8*>(args.packed);
    const Consecutive pixels{y * args.geometry.out_w + x};
    const s8* in[K];
    WHIT_UNROLL for (int i = 0; i < K; ++i) in[i] = rows[i].first + ix * rows[i].step;
    for (isize c = 0; c + kChannels <= args.geometry.channels; c += kChannels, block += kBlockBytes) {
      Int acc[N][2];
      start(acc, reinterpret_cast<const s32*>(block));
      WHIT_UNROLL for (int i = 0; i < K; ++i) {
        int8x8_t x[kInColumns<N>];
        const s8* p = in[i];
        const isize step = rows[i].step;
        WHIT_UNROLL for (int column = 0; column < kInColumns<N>; ++column) x[column] = load_next(p, step);
        in[i] += kChannels;
        add_row(acc, x, block + kChannels * (sizeof(s32) + i * K));
      }
      finish(epilogue, acc, pixels, c, Vector::kLanes);
    }
  }

  /// The same at the borders of the image.
  template <int N>
  [[gnu::noinline]] static void border(const Args& args, const Epilogue& epilogue, isize y, isize x, isize ix,
                                       const Row (&rows)[K]) {
    const Geometry& g = args.geometry;
    const s8* pixels[K][kInColumns<N>];
    for (int i = 0; i < K; ++i) {
      for (int column = 0; column < kInColumns<N>; ++column) {
        const bool exists = ix + column >= 0 && ix + column < g.in_w;
        pixels[i][column] = exists ? rows[i].first + (ix + column) * rows[i].step : args.pad;
      }
    }
    const s8* block = reinterpret_cast<const s8*>(args.packed);
    const Consecutive out{y * g.out_w + x};
    for (isize c = 0; c + kChannels <= g.channels; c += kChannels, block += kBlockBytes) {
      Int acc[N][2];
      start(acc, reinterpret_cast<const s32*>(block));
      WHIT_UNROLL for (int i = 0; i < K; ++i) {
        int8x8_t x[kInColumns<N>];
        WHIT_UNROLL for (int column = 0; column < kInColumns<N>; ++column) x[column] = vld1_s8(pixels[i][column] + c);
        add_row(acc, x, block + kChannels * (sizeof(s32) + i * K));
      }
      finish(epilogue, acc, out, c, Vector::kLanes);
    }
  }

  template <int N>
  WHIT_INLINE static void columns(const Args& args, const Epilogue& epilogue, isize y, isize x, const Row (&rows)[K]) {
    const isize ix = x * S - args.geometry.pad_left;
    if (ix >= 0 && ix + kInColumns<N> <= args.geometry.in_w) {
      inside<N>(args, epilogue, y, x, ix, rows);
    } else {
      border<N>(args, epilogue, y, x, ix, rows);
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
        const bool exists = iy >= 0 && iy < g.in_h;
        rows[i] = exists ? Row{args.in + iy * g.in_w * g.channels, g.channels} : Row{args.pad, 0};
      }
      isize x = 0;
      for (; x + kColumns <= g.out_w; x += kColumns) columns<kColumns>(args, epilogue, y, x, rows);
      for (; x + 2 <= g.out_w; x += 2) columns<2>(args, epilogue, y, x, rows);
      for (; x < g.out_w; ++x) columns<1>(args, epilogue, y, x, rows);
      if (whole < g.channels)
        for (x = 0; x < g.out_w; ++x) Any::pixel(args, epilogue, y, x, whole);
    }
  }

 private:
  static constexpr isize kBlockBytes = kChannels * (static_cast<isize>(sizeof(s32)) + K * K);
};

}  // namespace

void dwconv_s8_3x3s1_neon32(const Args& args, isize row_begin, isize row_end) {
  Sliding<1, Any>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_neon32(const Args& args, isize row_begin, isize row_end) {
  Sliding<2, Any>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_neon32(const Args& args, isize row_begin, isize row_end) {
  Square<5, 1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_neon32(const Args& args, isize row_begin, isize row_end) {
  Square<5, 2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_neon32(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
