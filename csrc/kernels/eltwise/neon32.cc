// The loops on f32 are those of every level. The conversions and the operators on s8 work on vectors of f32 whose
// results do not depend on subnormal numbers, so they are written for NEON here (see vectorize.h).

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/eltwise/levels.h"
#include "kernels/vectorize.h"

namespace whit::eltwise {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/eltwise/eltwise.inc"
// clang-format on

constexpr isize kLanes = 8;

/// The `count` bytes at p, 1 <= count <= 8, and zeros.
WHIT_INLINE int8x8_t load_bytes(const s8* p, isize count) {
  return count == kLanes ? vld1_s8(p) : vcreate_s8(load_first_u64(p, count));
}
WHIT_INLINE void store_bytes(s8* p, int8x8_t x, isize count) {
  if (count == kLanes) {
    vst1_s8(p, x);
  } else {
    store_first_u64(p, vget_lane_u64(vreinterpret_u64_s8(x), 0), count);
  }
}

/// y = s8(round(t)) + zero_point within [minimum, maximum], all in steps.
struct ToSteps {
  explicit ToSteps(const BinaryParams& p)
      : zero_point(vdupq_n_s16(static_cast<s16>(p.zero_point))),
        minimum(vdup_n_s8(static_cast<s8>(p.clamp_min + static_cast<f32>(p.zero_point)))),
        maximum(vdup_n_s8(static_cast<s8>(p.clamp_max + static_cast<f32>(p.zero_point)))) {}
  WHIT_INLINE int8x8_t operator()(float32x4_t low, float32x4_t high) const {
    const int16x8_t steps = vcombine_s16(vqmovn_s32(Vector::round(low)), vqmovn_s32(Vector::round(high)));
    return vmin_s8(vmax_s8(vqmovn_s16(vqaddq_s16(steps, zero_point)), minimum), maximum);
  }
  int16x8_t zero_point;
  int8x8_t minimum, maximum;
};

WHIT_INLINE float32x4_t low_f32(int16x8_t x) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))); }
WHIT_INLINE float32x4_t high_f32(int16x8_t x) { return vcvtq_f32_s32(vmovl_s16(vget_high_s16(x))); }

/// combine(a - a_zero_point, b - b_zero_point) for 8 at a time; rows shorter than that go to `narrow`.
template <class F>
void vectors_s8(const BinaryArgs& args, void (*narrow)(const BinaryArgs&), F combine) {
  if (args.cols < kLanes) return narrow(args);
  const int8x8_t a_zero_point = vdup_n_s8(static_cast<s8>(args.params.a_zero_point));
  const int8x8_t b_zero_point = vdup_n_s8(static_cast<s8>(args.params.b_zero_point));
  const ToSteps to_steps(args.params);
  for (isize r = 0; r < args.rows; ++r) {
    const s8* a = static_cast<const s8*>(args.a) + r * args.a_row_stride;
    const s8* b = static_cast<const s8*>(args.b) + r * args.b_row_stride;
    s8* y = static_cast<s8*>(args.y) + r * args.cols;
    const int8x8_t a0 = vld1_dup_s8(a), b0 = vld1_dup_s8(b);
    for (isize left = args.cols; left > 0; left -= kLanes, a += kLanes, b += kLanes, y += kLanes) {
      const isize count = left < kLanes ? left : kLanes;
      const int16x8_t x = vsubl_s8(args.a_step ? load_bytes(a, count) : a0, a_zero_point);
      const int16x8_t z = vsubl_s8(args.b_step ? load_bytes(b, count) : b0, b_zero_point);
      store_bytes(y, combine(x, z, to_steps), count);
    }
  }
}

void add_s8_neon32(const BinaryArgs& args) {
  const float32x4_t a_scale = vdupq_n_f32(args.params.a_scale), b_scale = vdupq_n_f32(args.params.b_scale);
  vectors_s8(args, add_s8, [=](int16x8_t a, int16x8_t b, const ToSteps& to_steps) WHIT_LAMBDA_INLINE {
    return to_steps(vaddq_f32(vmulq_f32(low_f32(a), a_scale), vmulq_f32(low_f32(b), b_scale)),
                    vaddq_f32(vmulq_f32(high_f32(a), a_scale), vmulq_f32(high_f32(b), b_scale)));
  });
}
void sub_s8_neon32(const BinaryArgs& args) {
  const float32x4_t a_scale = vdupq_n_f32(args.params.a_scale), b_scale = vdupq_n_f32(args.params.b_scale);
  vectors_s8(args, sub_s8, [=](int16x8_t a, int16x8_t b, const ToSteps& to_steps) WHIT_LAMBDA_INLINE {
    return to_steps(vsubq_f32(vmulq_f32(low_f32(a), a_scale), vmulq_f32(low_f32(b), b_scale)),
                    vsubq_f32(vmulq_f32(high_f32(a), a_scale), vmulq_f32(high_f32(b), b_scale)));
  });
}
void mul_s8_neon32(const BinaryArgs& args) {
  const float32x4_t scale = vdupq_n_f32(args.params.a_scale);
  vectors_s8(args, mul_s8, [=](int16x8_t a, int16x8_t b, const ToSteps& to_steps) WHIT_LAMBDA_INLINE {
    const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
    const int32x4_t high = vmull_s16(vget_high_s16(a), vget_high_s16(b));
    return to_steps(vmulq_f32(vcvtq_f32_s32(low), scale), vmulq_f32(vcvtq_f32_s32(high), scale));
  });
}

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

/// quantize_by_reciprocal() of eltwise.inc on vectors. NEON takes subnormal numbers as 0. What q leaves of x is a
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
  table.binary_s8[static_cast<int>(Binary::add)] = add_s8_neon32;
  table.binary_s8[static_cast<int>(Binary::sub)] = sub_s8_neon32;
  table.binary_s8[static_cast<int>(Binary::mul)] = mul_s8_neon32;
  table.quantize = quantize_neon32;
  table.quantize_planes = quantize_planes<quantize_neon32>;
  return table;
}

}  // namespace

constexpr Table eltwise_table_neon32 = make_table_neon32();

}  // namespace whit::eltwise
