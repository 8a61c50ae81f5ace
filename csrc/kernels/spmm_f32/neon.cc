// NEON: 32 registers. FMLA takes a weight from a lane: 4 x 20 holds 20 accumulators, 5 vectors of x and one of weights,
// 8 x 12 holds 24, 3 and 2.

#include "kernels/simd_f32/neon.h"
#include "kernels/spmm_f32/kernel.h"

namespace whit::spmm_f32 {
namespace {

template <int Row, int R, int V>
WHIT_INLINE void add_row(float32x4_t (&acc)[R][V], const float32x4_t (&x)[V], const float32x4_t (&w)[(R + 3) / 4]) {
  if constexpr (Row < R) {
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[Row][v] = vfmaq_laneq_f32(acc[Row][v], x[v], w[Row / 4], Row % 4);
    add_row<Row + 1>(acc, x, w);
  }
}

template <int R, int V>
WHIT_INLINE void add_entry(float32x4_t (&acc)[R][V], const float32x4_t (&x)[V], const f32* weight) {
  if constexpr (R == 1) {
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[0][v] = vfmaq_n_f32(acc[0][v], x[v], *weight);
  } else {
    float32x4_t w[R / 4];
    WHIT_UNROLL for (int i = 0; i < R / 4; ++i) w[i] = vld1q_f32(weight + 4 * i);
    add_row<0>(acc, x, w);
  }
}

template <int V>
struct FourWeights {
  float32x4_t weights;

  WHIT_INLINE explicit FourWeights(const f32* p) : weights(vld1q_f32(p)) {}
  WHIT_INLINE void add(float32x4_t (&acc)[1][V], const float32x4_t (&x)[V], int i) const {
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[0][v] = i == 0   ? vfmaq_laneq_f32(acc[0][v], x[v], weights, 0)
                                                        : i == 1 ? vfmaq_laneq_f32(acc[0][v], x[v], weights, 1)
                                                        : i == 2 ? vfmaq_laneq_f32(acc[0][v], x[v], weights, 2)
                                                                 : vfmaq_laneq_f32(acc[0][v], x[v], weights, 3);
  }
};

}  // namespace
}  // namespace whit::spmm_f32

#include "kernels/spmm_f32/neon_column.h"
// after these
#include "kernels/spmm_f32/rows.inc"

namespace whit::spmm_f32 {

void spmm_f32_1x32_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 8, 128>>(args, n_begin, n_end, pixels);
}

void spmm_f32_1x16_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 4, 256, 4>>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x20_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<4, 5, 192>>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x12_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  using Of8 = Shape<8, 3, 256>;
  if (pixels == 1) return column_of_8<Of8>(args, n_begin, n_end);
  strip<Of8>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x1_neon(const Args& args, isize n_begin, isize n_end, isize) { column<2>(args, n_begin, n_end); }

void finish_neon(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                 const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
