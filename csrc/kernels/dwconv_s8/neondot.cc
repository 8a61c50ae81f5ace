// ARMv8.2 with the dot product, 8 channels at a time. Four input rows are interleaved, so that the four bytes of a lane
// are taps of one column, and every sdot takes them with the weights of one output row (see interleaved.h for the
// layout). The A76 multiplies bytes to s16 on one pipe only, but interleaves and takes dot products on two.

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/dwconv_s8/strip.h"

namespace whit::dwconv_s8 {
namespace {

using Int = Vector::Int;

constexpr int kChannels = 8;

/// As an instruction: around the intrinsic compilers copy accumulators from register to register.
WHIT_INLINE Int dot(Int acc, int8x16_t x, int8x16_t w) {
  __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(x), "w"(w));
  return acc;
}

/// K x K taps at stride S, up to kMaxRows output rows together. K interleaved columns of input live in registers; every
/// step of one output column loads the S columns that are new.
template <int K, int S, int kMaxRows>
struct Square {
  static constexpr int kSize = K, kStride = S, kRows = kMaxRows, kLanes = kChannels, kStep = 1;
  static constexpr int kGroups = ((kMaxRows - 1) * S + K + 3) / 4;
  static constexpr int kVectorBytes = kChannels * 4;
  static constexpr int kBlockBytes = kVectorBytes * (1 + K * kGroups * kMaxRows);

  using Channels = Relu::Channels<2>;

  /// For 5x5, whose code is long, both kinds of results share it.
  template <int T>
  static void strip(const Block& block, const Channels& channels) {
    if (K == 3 && !channels.relu) {
      walk<T, false>(block, channels);
    } else {
      walk<T, true>(block, channels);
    }
  }

  template <int T, bool kRelu>
  static void walk(const Block& block, const Channels& channels) {
    constexpr int R = (T - 1) * S + K, G = (R + 3) / 4;
    using Column = int8x16_t[G][2];
    const bool is_relu = K == 3 ? kRelu : channels.relu;
    const Relu relu = is_relu ? *block.relu : Relu();
    const isize out_row = block.out_row, out_step = block.out_step, in_channel = block.in_channel;
    const int columns = block.columns;
    const s8* const* in = block.in;
    const s8* weights = block.block + kVectorBytes;
    s8* out = block.out;
    const Channels* values[T];  // a pointer for each row, so that none gets a copy of another one's registers
    WHIT_UNROLL for (int t = 0; t < T; ++t) values[t] = &channels;

    const auto load = [&](Column& x) __attribute__((always_inline)) {
      WHIT_UNROLL for (int group = 0; group < G; ++group) {
        // The weights of rows beyond the last one are zero: any bytes will do.
        const auto row = [&](int r) __attribute__((always_inline)) {
          return vcombine_s8(vld1_s8(in[4 * group + r < R ? 4 * group + r : R - 1] + in_channel), vdup_n_s8(0));
        };
        const int16x8_t low = vreinterpretq_s16_s8(vzip1q_s8(row(0), row(1)));
        const int16x8_t high = 4 * group + 2 < R ? vreinterpretq_s16_s8(vzip1q_s8(row(2), row(3))) : low;
        x[group][0] = vreinterpretq_s8_s16(vzip1q_s16(low, high));
        x[group][1] = vreinterpretq_s8_s16(vzip2q_s16(low, high));
      }
      in += R;
    };

    // 3x3 keeps its weights in registers. What they were loaded from is hidden, or compilers would load them again.
    constexpr int kWeights = K == 3 ? K * kGroups * kMaxRows : 0;
    int8x16_t w[kWeights + 1][2];
    WHIT_UNROLL for (int i = 0; i < kWeights; ++i) {
      WHIT_UNROLL for (int v = 0; v < 2; ++v) {
        int8x16_t kept = vld1q_s8(weights + kVectorBytes * i + 16 * v);
        __asm__("" : "+w"(kept));
        w[i][v] = kept;
      }
    }

    Column x[K];  // a ring
    WHIT_UNROLL for (int j = 0; j < K - S; ++j) load(x[j]);
    int column = 0;
    const auto step = [&]<int kFirst>() __attribute__((always_inline)) {
      WHIT_UNROLL for (int j = K - S; j < K; ++j) load(x[(kFirst + j) % K]);
      WHIT_UNROLL for (int t = 0; t < T; ++t) forget(values[t]);
      if (K > 3) forget(weights);
      Int acc[T][2];
      WHIT_UNROLL for (int t = 0; t < T; ++t) {
        acc[t][0] = values[t]->start[0];
        acc[t][1] = values[t]->start[1];
      }
      WHIT_UNROLL for (int j = 0; j < K; ++j) {
        WHIT_UNROLL for (int group = 0; group < G; ++group) {
          WHIT_UNROLL for (int t = 0; t < T; ++t) {
            if (4 * group + 3 < t * S || 4 * group >= t * S + K) continue;
            const int i = (j * kGroups + group) * kMaxRows + t;
            WHIT_UNROLL for (int v = 0; v < 2; ++v) acc[t][v] =
                dot(acc[t][v], x[(kFirst + j) % K][group][v],
                    K == 3 ? w[i % (kWeights + 1)][v] : vld1q_s8(weights + kVectorBytes * i + 16 * v));
          }
        }
        if (K > 3) keep_order();
      }
      if (is_relu) {
        const float32x4_t scale[2] = {values[0]->scale[0], values[0]->scale[1]};
        if constexpr (T == 1) {
          vst1_s8(out, relu.bytes(Relu::steps(acc[0], scale, values[0]->minus)));
        } else {
          WHIT_UNROLL for (int t = 0; t < T; t += 2) {
            const int16x8_t low = Relu::steps(acc[t], scale, values[t]->minus);
            const int8x16_t two = relu.bytes(low, Relu::steps(acc[t + 1], scale, values[t + 1]->minus));
            vst1_s8(out + t * out_row, vget_low_s8(two));
            vst1q_lane_s64(reinterpret_cast<s64*>(out + (t + 1) * out_row), vreinterpretq_s64_s8(two), 1);
          }
        }
      } else {
        WHIT_UNROLL for (int t = 0; t < T; ++t) {
          s32* sums = block.sums + (t * kStripColumns + column) * kChannels;
          vst1q_s32(sums, acc[t][0]);
          vst1q_s32(sums + 4, acc[t][1]);
        }
      }
      out += out_step;
      return ++column == columns;
    };
    for (;;) {
      if (step.template operator()<0>()) return;
      if (step.template operator()<S % K>()) return;
      if (step.template operator()<2 * S % K>()) return;
      if constexpr (K == 5) {
        if (step.template operator()<3 * S % K>()) return;
        if (step.template operator()<4 * S % K>()) return;
      }
    }
  }
};

}  // namespace

void dwconv_s8_3x3s1_neondot(const Args& args, isize row_begin, isize row_end) {
  Strips<Square<3, 1, 2>>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_neondot(const Args& args, isize row_begin, isize row_end) {
  Strips<Square<3, 2, 1>>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_neondot(const Args& args, isize row_begin, isize row_end) {
  Strips<Square<5, 1, 4>>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_neondot(const Args& args, isize row_begin, isize row_end) {
  Strips<Square<5, 2, 2>>::run(args, row_begin, row_end);
}

}  // namespace whit::dwconv_s8
