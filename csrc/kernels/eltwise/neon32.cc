// The loops on f32 are those of every level. The operators on s8 work on vectors of f32 whose results do not depend on
// subnormal numbers, so they are written for NEON here (see vectorize.h).

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

constexpr Table make_table_neon32() {
  Table table = make_table(Isa::neon32);
  table.binary_s8[static_cast<int>(Binary::add)] = add_s8_neon32;
  table.binary_s8[static_cast<int>(Binary::sub)] = sub_s8_neon32;
  table.binary_s8[static_cast<int>(Binary::mul)] = mul_s8_neon32;
  return table;
}

}  // namespace

constexpr Table eltwise_table_neon32 = make_table_neon32();

}  // namespace whit::eltwise
