// Quantizing works on vectors of f32 whose results do not depend on subnormal numbers, so it is written for NEON here
// (see vectorize.h); the other loops are those of every level.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/convert/levels.h"
#include "kernels/vectorize.h"

namespace whit::convert {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/convert/convert.inc"
// clang-format on

constexpr isize kLanes = 8;

/// x / scale, rounded as IEEE 754 asks: by VFP, one lane after the other.
WHIT_INLINE float32x4_t divide(float32x4_t x, float32x4_t scale) {
  float32x4_t t;
  __asm__(
      "vmov q0, %q1\n"
      "vmov q1, %q2\n"
      "vdiv.f32 s0, s0, s4\n"
      "vdiv.f32 s1, s1, s5\n"
      "vdiv.f32 s2, s2, s6\n"
      "vdiv.f32 s3, s3, s7\n"
      "vmov %q0, q0\n"
      : "=w"(t)
      : "w"(x), "w"(scale)
      : "q0", "q1");
  return t;
}

/// NaN becomes 0; adding the zero point saturates, which is the clamp.
WHIT_INLINE int16x4_t quantize_vector(const f32* x, float32x4_t scale, int32x4_t zero_point) {
  const float32x4_t t = divide(vld1q_f32(x), scale);
  const float32x4_t number = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(t), vceqq_f32(t, t)));
  return vqmovn_s32(vqaddq_s32(Vector::round(number), zero_point));
}

void quantize_row(const f32* x, s8* y, isize n, const f32* scale, const s32* zero_point, bool per_column) {
  float32x4_t scales[2] = {vld1q_dup_f32(scale), vld1q_dup_f32(scale)};
  int32x4_t zero_points[2] = {vld1q_dup_s32(zero_point), vld1q_dup_s32(zero_point)};
  for (isize i = 0; i + kLanes <= n; i += kLanes) {
    if (per_column) {
      for (int v = 0; v < 2; ++v) {
        scales[v] = vld1q_f32(scale + i + 4 * v);
        zero_points[v] = vld1q_s32(zero_point + i + 4 * v);
      }
    }
    vst1_s8(y + i, vqmovn_s16(vcombine_s16(quantize_vector(x + i, scales[0], zero_points[0]),
                                           quantize_vector(x + i + 4, scales[1], zero_points[1]))));
  }
}

/// q + a * b, fused.
WHIT_INLINE float32x4_t fma(float32x4_t q, float32x4_t a, float32x4_t b) {
  __asm__("vfma.f32 %q0, %q1, %q2" : "+w"(q) : "w"(a), "w"(b));
  return q;
}
/// q - a * b, fused.
WHIT_INLINE float32x4_t fms(float32x4_t q, float32x4_t a, float32x4_t b) {
  __asm__("vfms.f32 %q0, %q1, %q2" : "+w"(q) : "w"(a), "w"(b));
  return q;
}

/// quantize_by_reciprocal() of convert.inc on vectors. NEON takes subnormal numbers as 0. What q leaves of x is a
/// multiple of 2^-48 |x| or 0, so that it is lost for |x| < 2^-78 alone, which with a scale of 2^-60 or more stands for
/// 0.
void quantize_by_reciprocal_neon32(const f32* x, s8* y, isize n, f32 scale, s32 zero_point) {
  const float32x4_t s = vdupq_n_f32(scale), r = vdupq_n_f32(1.0f / scale);
  const float32x4_t low = vdupq_n_f32(static_cast<f32>(-128 - zero_point) * scale);
  const float32x4_t high = vdupq_n_f32(static_cast<f32>(127 - zero_point) * scale);
  const int16x8_t offset = vdupq_n_s16(static_cast<s16>(zero_point));
  const auto steps = [=](const f32* p) WHIT_LAMBDA_INLINE {
    const float32x4_t x0 = vld1q_f32(p);
    const float32x4_t number = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x0), vceqq_f32(x0, x0)));
    const float32x4_t t = vminq_f32(vmaxq_f32(number, low), high);
    const float32x4_t q = vmulq_f32(t, r);
    return vqmovn_s32(Vector::round(fma(q, fms(t, q, s), r)));
  };
  for (isize i = 0; i < n; i += kLanes)
    vst1_s8(y + i, vqmovn_s16(vqaddq_s16(vcombine_s16(steps(x + i), steps(x + i + 4)), offset)));
}

void quantize_neon32(const QuantizeArgs& args) {
  const f32* x = static_cast<const f32*>(args.x);
  s8* y = static_cast<s8*>(args.y);
  const isize rows = args.per_column ? args.rows : 1, cols = args.per_column ? args.cols : args.rows * args.cols;
  const isize whole = cols / kLanes * kLanes;
  for (isize r = 0; r < rows; ++r, x += cols, y += cols) {
    if (!args.per_column && *args.scale >= 0x1p-60f && *args.scale <= 0x1p60f)
      quantize_by_reciprocal_neon32(x, y, whole, *args.scale, *args.zero_point);
    else
      quantize_row(x, y, whole, args.scale, args.zero_point, args.per_column);
    const isize parameter = args.per_column ? whole : 0;
    if (whole < cols)
      quantize({x + whole, y + whole, 1, cols - whole, args.scale + parameter, args.zero_point + parameter,
                args.per_column});
  }
}

constexpr Table make_table_neon32() {
  Table table = make_table(Isa::neon32);
  table.quantize = quantize_neon32;
  table.quantize_planes = quantize_planes<quantize_neon32>;
  table.quantize_rows = quantize_rows<quantize_neon32>;
  return table;
}

}  // namespace

constexpr Table convert_table_neon32 = make_table_neon32();

}  // namespace whit::convert
