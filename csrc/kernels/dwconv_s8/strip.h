#pragma once
// What the NEON kernels of dwconv_s8 share: the walk over the output in strips of a few rows, and the epilogue of a
// convolution that ends in relu or relu6. Include simd_s8/neon.h before.
//
// A strip is T output rows by at most kStripColumns columns. Where its input pixels begin (the padding's pixel outside
// of the image) is looked up once for up to kSpan channels, so the loops below know no borders. Then, block by block of
// kLanes channels, Kernel::strip() walks along the columns.

#include "kernels/dwconv_s8/taps.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::dwconv_s8 {
namespace {

constexpr int kStripColumns = 16;
constexpr int kSpan = 256;  // channels whose constants are derived once for all rows

WHIT_INLINE isize least(isize a, isize b) { return a < b ? a : b; }

/// Makes the compiler forget what it knows about where p points to, so that what is loaded through it is loaded here.
/// Compilers would rather keep or copy registers than load again, which costs the pipes that do the arithmetic.
template <class T>
WHIT_INLINE void forget(const T*& p) {
  __asm__ volatile("" : "+r"(p));
}

struct Relu;

/// A block of a strip. Kernel::strip(), given the block's Relu::Channels, puts pixel (t, x) of its results to
/// out + t * out_row + x * out_step in s8 if they have `relu`, or else the sums to
/// sums + (t * kStripColumns + x) * kLanes.
struct Block {
  const Relu* relu;  ///< null: another epilogue
  const s8* block;
  const s8* const* in;  ///< [columns][rows of input]
  isize in_channel;     ///< to be added to every pixel
  int columns;
  s8* out;
  isize out_step, out_row;
  s32* sums;
};

/// Relu and relu6 to s8 in few instructions and to the same bits, for accumulators of known size.
///
/// Accumulators start at bias + the bits of 2^23, so that their bits, taken as f32, are 2^23 + acc for acc >= 0. A
/// fused multiply-add takes 2^23 * scale off again, which is exact, and so rounds acc * scale once, as f32(acc) * scale
/// does. Where acc < 0 the bits mean 2^23 - |acc| / 2: the result is not positive and the clamp makes it 0 all the
/// same. Adding 1.5 * 2^23 rounds to the integer in the lowest 16 bits, ties to even.
struct Relu {
  static constexpr s32 kStart = 0x4B000000;                  // bits of 2^23
  static constexpr f32 kPower = 8388608, kRound = 12582912;  // 2^23, 1.5 * 2^23

  Relu() = default;
  explicit Relu(const EpilogueS8& spec)
      : limit(vdupq_n_u8(static_cast<u8>(spec.clamp_max))), zero_point(vdupq_n_u8(static_cast<u8>(spec.zero_point))) {}

  static bool serves(const EpilogueS8& spec) {
    return spec.output == EpilogueS8::Output::s8 && spec.activation == Activation::clamp && !spec.residual &&
           spec.clamp_min == 0 && spec.clamp_max >= 0 && spec.clamp_max <= 255;
  }

  /// What the channels of one block need, in memory, to be loaded again for every pixel (see forget).
  template <int kVectors>
  struct Channels {
    int32x4_t start[kVectors];
    float32x4_t minus[kVectors], scale[kVectors];  ///< minus = -2^23 * scale
    /// Whether the accumulators of all channels are small enough, |acc| < 2^22 and |acc * scale| < 2^15, and the scales
    /// positive numbers. If not, or without `relu`, the starts are the biases and the rest is not used. A channel whose
    /// result is the same for all accumulators it may have (dead ones may have huge biases) passes as 0 * acc + result.
    bool relu;

    Channels() = default;
    /// Of `count` channels with these biases, padded, and scales (not read where `relu_of` is null).
    Channels(const Relu* relu_of, const s32* bias, const f32* scales, isize count, int taps) {
      const bool wanted = relu_of != nullptr;
      const float32x4_t products = vdupq_n_f32(static_cast<f32>(largest_product(taps)));
      float32x4_t least_scale = vdupq_n_f32(wanted ? 1 : 0), largest = vdupq_n_f32(0), largest_step = largest;
      WHIT_UNROLL for (int v = 0; v < kVectors; ++v) {
        scale[v] = vdupq_n_f32(1e-30f);  // of channels that do not exist: small enough for any accumulator
        start[v] = vld1q_s32(bias + 4 * v);
        if (!wanted || count <= 4 * v) continue;
        scale[v] = count >= 4 * v + 4 ? vld1q_f32(scales + 4 * v) : first_scales(scales + 4 * v, count - 4 * v);
        const float32x4_t bound = vaddq_f32(vabsq_f32(vcvtq_f32_s32(start[v])), products);
        least_scale = vminq_f32(least_scale, scale[v]);  // these keep a NaN
        largest = vmaxq_f32(largest, bound);
        largest_step = vmaxq_f32(largest_step, vmulq_f32(bound, scale[v]));
      }
      relu = vminvq_u32(small(least_scale, largest, largest_step)) != 0;
      if (wanted && !relu && hold_constants(*relu_of, taps)) return;
      WHIT_UNROLL for (int v = 0; v < kVectors; ++v) {
        start[v] = vaddq_s32(start[v], vdupq_n_s32(relu ? kStart : 0));
        minus[v] = vmulq_f32(scale[v], vdupq_n_f32(-kPower));
      }
    }

   private:
    /// What `taps` products add up to at most.
    static s32 largest_product(int taps) { return 128 * 127 * taps; }

    WHIT_INLINE static uint32x4_t small(float32x4_t least_scale, float32x4_t bound, float32x4_t step) {
      const uint32x4_t bounded = vandq_u32(vcltq_f32(step, vdupq_n_f32(32000)), vcltq_f32(bound, vdupq_n_f32(4000000)));
      return vandq_u32(bounded, vcgtq_f32(least_scale, vdupq_n_f32(0)));
    }

    /// If all channels that are not small have one result whatever the input, makes `relu` true and these constant.
    [[gnu::noinline]] bool hold_constants(const Relu& relu_of, int taps) {
      const int32x4_t products = vdupq_n_s32(largest_product(taps));
      const int32x4_t limit = vdupq_n_s32(vgetq_lane_u8(relu_of.limit, 0));
      // From the least to the largest accumulator every step is monotonic (a NaN becomes 0).
      const auto result = [&](int32x4_t acc, float32x4_t factor) {
        const int32x4_t rounded = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(acc), factor));
        return vminq_s32(vmaxq_s32(rounded, vdupq_n_s32(0)), limit);
      };
      Channels held = *this;
      for (int v = 0; v < kVectors; ++v) {
        const float32x4_t bound = vaddq_f32(vabsq_f32(vcvtq_f32_s32(start[v])), vcvtq_f32_s32(products));
        const uint32x4_t good = small(scale[v], bound, vmulq_f32(bound, scale[v]));
        const int32x4_t least = vqsubq_s32(start[v], products), largest = vqaddq_s32(start[v], products);
        const int32x4_t first = result(least, scale[v]);
        uint32x4_t constant = vceqq_s32(first, result(largest, scale[v]));
        // Where one of the ends saturated, accumulators might wrap.
        constant = vandq_u32(constant, vceqq_s32(vsubq_s32(largest, least), vaddq_s32(products, products)));
        if (vminvq_u32(vorrq_u32(good, constant)) == 0) return false;
        held.start[v] = vaddq_s32(vandq_s32(start[v], vreinterpretq_s32_u32(good)), vdupq_n_s32(kStart));
        held.scale[v] = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(scale[v]), good));
        held.minus[v] = vbslq_f32(good, vmulq_f32(scale[v], vdupq_n_f32(-kPower)), vcvtq_f32_s32(first));
      }
      *this = held;
      return relu = true;
    }
  };

  /// acc * scale rounded, of two vectors.
  WHIT_INLINE static int16x8_t steps(const int32x4_t (&acc)[2], const float32x4_t (&scale)[2],
                                     const float32x4_t* minus) {
    const float32x4_t t0 = vfmaq_f32(minus[0], vreinterpretq_f32_s32(acc[0]), scale[0]);
    const float32x4_t t1 = vfmaq_f32(minus[1], vreinterpretq_f32_s32(acc[1]), scale[1]);
    return lower_halves(vaddq_f32(t0, vdupq_n_f32(kRound)), vaddq_f32(t1, vdupq_n_f32(kRound)));
  }
  WHIT_INLINE int8x16_t bytes(int16x8_t low, int16x8_t high) const {
    const uint8x16_t steps = vqmovun_high_s16(vqmovun_s16(low), high);
    return vreinterpretq_s8_u8(vaddq_u8(vminq_u8(steps, limit), zero_point));
  }
  WHIT_INLINE int8x8_t bytes(int16x8_t low) const {
    const uint8x8_t steps = vmin_u8(vqmovun_s16(low), vget_low_u8(limit));
    return vreinterpret_s8_u8(vadd_u8(steps, vget_low_u8(zero_point)));
  }

  uint8x16_t limit, zero_point;

 private:
  static float32x4_t first_scales(const f32* p, isize count) {
    f32 scales[4] = {1e-30f, 1e-30f, 1e-30f, 1e-30f};  // small enough for any accumulator
    for (isize i = 0; i < count; ++i) scales[i] = p[i];
    return vld1q_f32(scales);
  }
};

/// Relu of sums of any size, in the order of docs/NUMERICS.md. A NaN becomes 0.
WHIT_INLINE int8x8_t finish_relu(const Relu& relu, const s32* sums, const float32x4_t (&scale)[2]) {
  const int32x4_t low = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(vld1q_s32(sums)), scale[0]));
  const int32x4_t high = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(vld1q_s32(sums + 4)), scale[1]));
  return relu.bytes(vqmovn_high_s32(vqmovn_s32(low), high));
}

/// The epilogue as it comes of `count` channels from `channel` of the T x columns pixels from (y, x).
[[gnu::noinline]] void finish_sums(const Args& args, const Epilogue& epilogue, const Relu* relu, isize y, isize x,
                                   int T, int columns, isize channel, isize count, isize lanes, const s32* sums) {
  constexpr int kPixels = 4;
  struct Pixels {
    isize first;
    int count;
    WHIT_INLINE bool has(int i) const { return i < count; }
    WHIT_INLINE isize operator[](int i) const { return first + i; }
  };
  if (relu && count == lanes) {
    for (isize c = 0; c < lanes; c += 8) {
      const f32* p = args.epilogue.scale + channel + c;
      const float32x4_t scale[2] = {vld1q_f32(p), vld1q_f32(p + 4)};
      for (int t = 0; t < T; ++t) {
        s8* out = static_cast<s8*>(args.out) + ((y + t) * args.geometry.out_w + x) * args.out_stride + channel + c;
        const s32* pixel = sums + t * kStripColumns * lanes + c;
        for (int column = 0; column < columns; ++column, out += args.out_stride, pixel += lanes)
          vst1_s8(out, finish_relu(*relu, pixel, scale));
      }
    }
    return;
  }
  for (int t = 0; t < T; ++t) {
    for (int column = 0; column < columns; column += kPixels) {
      const Pixels pixels{(y + t) * args.geometry.out_w + x + column, columns - column};
      const s32* p = sums + (t * kStripColumns + column) * lanes;
      for (isize c = 0; c < count; c += 8, p += 8) {
        const int rest = static_cast<int>(count - c);
        if (rest > 4) {
          Vector::Int acc[kPixels][2];
          WHIT_UNROLL for (int i = 0; i < kPixels; ++i) {
            acc[i][0] = vld1q_s32(p + i * lanes);
            acc[i][1] = vld1q_s32(p + i * lanes + 4);
          }
          finish(epilogue, acc, pixels, channel + c, rest < 8 ? rest - 4 : 4);
        } else {
          Vector::Int acc[kPixels][1];
          WHIT_UNROLL for (int i = 0; i < kPixels; ++i) acc[i][0] = vld1q_s32(p + i * lanes);
          finish(epilogue, acc, pixels, channel + c, rest);
        }
      }
    }
  }
}

/// Runs Kernel: kSize, kStride, kLanes, kStep (columns computed together; those after the last one are scratch), kRows
/// (output rows of a strip), Channels (a Relu::Channels), and strip<T>(const Block&, const Channels&) for T rows of it.
template <class Kernel>
struct Strips {
  using Channels = typename Kernel::Channels;

  static constexpr int kColumns = (kStripColumns + Kernel::kStep - 1) * Kernel::kStride + Kernel::kSize;

  template <int T>
  static constexpr int in_rows() {
    return (T - 1) * Kernel::kStride + Kernel::kSize;
  }

  template <int T>
  static void find(const Args& args, isize y, isize x, int columns, const s8* (&in)[kColumns * in_rows<T>()]) {
    constexpr int R = in_rows<T>();
    const Geometry& g = args.geometry;
    const s8* rows[R];
    isize steps[R];
    for (int r = 0; r < R; ++r) {
      const isize iy = y * Kernel::kStride - g.pad_top + r;
      const bool inside = iy >= 0 && iy < g.in_h;
      rows[r] = inside ? args.in + iy * g.in_w * g.channels : args.pad;
      steps[r] = inside ? g.channels : 0;
    }
    const isize first = x * Kernel::kStride - g.pad_left;
    for (int column = 0; column < columns; ++column) {
      const isize ix = first + column;
      const s8** out = in + column * R;
      if (ix >= 0 && ix < g.in_w) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) out[r] = rows[r] + ix * steps[r];
      } else {
        WHIT_UNROLL for (int r = 0; r < R; ++r) out[r] = args.pad;
      }
    }
  }

  /// The last few channels of all pixels of a strip go through here, since no byte beside them may be touched.
  template <int T>
  static void tail(Block block, const Channels& channels, int in_columns, isize count) {
    constexpr int R = in_rows<T>(), L = Kernel::kLanes;
    s8 in[kColumns * R][L] = {};
    const s8* pointers[kColumns * R];
    for (int i = 0; i < in_columns * R; ++i) {
      std::memcpy(in[i], block.in[i] + block.in_channel, static_cast<std::size_t>(count));
      pointers[i] = in[i];
    }
    s8 out[T][kStripColumns][L];
    s8* const first = block.out;
    const isize step = block.out_step, row = block.out_row;
    block.in = pointers;
    block.in_channel = 0;
    block.out = out[0][0];
    block.out_step = L;
    block.out_row = kStripColumns * L;
    Kernel::template strip<T>(block, channels);
    if (!channels.relu) return;
    for (int t = 0; t < T; ++t)
      for (int x = 0; x < block.columns; ++x)
        std::memcpy(first + t * row + x * step, out[t][x], static_cast<std::size_t>(count));
  }

  template <int T>
  void strip(isize y, isize x, int columns) const {
    constexpr int kStep = Kernel::kStep, L = Kernel::kLanes;
    const int in_columns = ((columns + kStep - 1) / kStep * kStep - 1) * Kernel::kStride + Kernel::kSize;
    const s8* in[kColumns * in_rows<T>()];
    find<T>(args, y, x, in_columns, in);
    const isize out_w = args.geometry.out_w, stride = args.out_stride;
    alignas(16) s32 sums[T * kStripColumns * L];
    s8* const out = relu ? static_cast<s8*>(args.out) + (y * out_w + x) * stride + first : nullptr;
    Block block{relu, blocks, in, first, columns, out, stride, out_w * stride, sums};
    const Channels* values = channels;
    for (isize c = first; c < end; c += L, ++values) {
      const isize count = least(L, end - c);
      if (count == L) {
        Kernel::template strip<T>(block, *values);
      } else {
        tail<T>(block, *values, in_columns, count);
      }
      if (!values->relu) finish_sums(args, epilogue, relu, y, x, T, columns, c, count, L, sums);
      block.block += Kernel::kBlockBytes;
      block.in_channel += L;
      if (relu) block.out += L;
    }
  }

  template <int T>
  void row(isize y) const {
    const isize strips = ceil_div(args.geometry.out_w, kStripColumns);
    for (isize x = 0, i = strips; i > 0; --i) {
      const isize columns = ceil_div(args.geometry.out_w - x, i);
      strip<T>(y, x, static_cast<int>(columns));
      x += columns;
    }
  }

  void rows(isize row_begin, isize row_end) const {
    constexpr int T = Kernel::kRows;
    isize y = row_begin;
    for (; y + T <= row_end; y += T) row<T>(y);
    if constexpr (T > 2)
      for (; y + 2 <= row_end; y += 2) row<2>(y);
    if constexpr (T > 1)
      for (; y < row_end; ++y) row<1>(y);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    constexpr int L = Kernel::kLanes;
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    const Relu constants(args.epilogue);
    const Relu* relu = Relu::serves(args.epilogue) ? &constants : nullptr;
    const s8* block = reinterpret_cast<const s8*>(args.packed);
    Channels channels[kSpan / L];
    for (isize first = 0; first < args.geometry.channels; first += kSpan) {
      const isize end = first + least(kSpan, args.geometry.channels - first);
      const Strips strips{args, epilogue, relu, channels, block, first, end};
      for (isize c = first; c < end; c += L, block += Kernel::kBlockBytes) {
        channels[(c - first) / L] =
            Channels(relu, reinterpret_cast<const s32*>(block), relu ? args.epilogue.scale + c : nullptr,
                     least(L, end - c), Kernel::kSize * Kernel::kSize);
      }
      strips.rows(row_begin, row_end);
    }
  }

  const Args& args;
  const Epilogue& epilogue;
  const Relu* relu;
  const Channels* channels;  ///< of the blocks of channels [first, end)
  const s8* blocks;
  isize first, end;
};

}  // namespace
}  // namespace whit::dwconv_s8
