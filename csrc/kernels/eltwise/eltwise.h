#pragma once
// Arithmetic element by element: unary functions, binary operators with broadcasting.
// The same bits on every ISA: plain IEEE operations in the order that kernels/math.inc and eltwise.inc write down.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::eltwise {

enum class Unary : u8 {
  clip,        ///< p = lowest, q = highest (the clamp of EpilogueF32: a NaN stays)
  leaky_relu,  ///< x < 0 ? x * p : x
  elu,         ///< x < 0 ? p * (e^x - 1) : x
  sigmoid,     ///< 1 / (1 + e^-x)
  tanh,
  hard_sigmoid,  ///< min(max(x * p + q, 0), 1)
  hard_swish,    ///< x * min(max(x * (1/6) + 0.5, 0), 1)
  silu,          ///< x * sigmoid(x)
  gelu,          ///< (x * 0.5) * (1 + erf(x * sqrt(1/2)))
  gelu_tanh,     ///< x * sigmoid(x * (2 sqrt(2/pi) + 2 sqrt(2/pi) 0.044715 x^2)), the same function as with tanh
  erf,
  softplus,  ///< log(1 + e^x)
  exp,
  log,
  sqrt,
  reciprocal,
  abs,
  neg,
  floor,
  ceil,
  round,  ///< halves to even
  sin,
  cos,
  binarize,  ///< x < 0 ? -1 : 1
};
inline constexpr int kUnaryCount = static_cast<int>(Unary::binarize) + 1;

struct UnaryArgs {
  const f32* x;
  f32* y;  ///< may be x
  isize n;
  f32 p, q;
};

/// The s8 versions exist for the first three.
enum class Binary : u8 {
  add,
  sub,
  mul,
  div,
  pow,
  min,    ///< NaN if one operand is NaN
  max,    ///< the same
  prelu,  ///< a < 0 ? a * b : a
};
inline constexpr int kBinaryCount = static_cast<int>(Binary::prelu) + 1;
inline constexpr int kBinaryCountS8 = static_cast<int>(Binary::mul) + 1;

/// f32 add, sub, mul: t = a op b, then min(max(t, clamp_min), clamp_max) unless both bounds are infinite.
///
/// s8, where a_scale = f32(scale of a / scale of y) for add and sub, f32(scale of a * scale of b / scale of y) for mul,
/// and the clamp bounds are whole steps of y within [-128 - zero_point, 127 - zero_point]:
///     add, sub:  t = f32(a - a_zero_point) * a_scale;  u = f32(b - b_zero_point) * b_scale;  t = t + u  (t - u)
///     mul:       t = f32((a - a_zero_point) * (b - b_zero_point)) * a_scale          the product of integers is exact
///     both:      t = max(t, clamp_min);  t = min(t, clamp_max);  y = s8(round_to_nearest_even(t) + zero_point)
/// each f32 operation rounded on its own, max and min as in epilogue.h.
struct BinaryParams {
  f32 clamp_min = -__builtin_inff(), clamp_max = __builtin_inff();
  s32 a_zero_point = 0, b_zero_point = 0, zero_point = 0;
  f32 a_scale = 1, b_scale = 1;
};

/// y[r * cols + c] = op(a[r * a_row_stride + c * a_step], b[r * b_row_stride + c * b_step]); steps are 0 or 1, not both
/// 0 unless cols is 1. y may be an operand that has y's own layout.
struct BinaryArgs {
  const void* a;
  const void* b;
  void* y;
  isize rows, cols;
  isize a_row_stride, b_row_stride;
  int a_step, b_step;
  BinaryParams params;
};

struct Table {
  Isa isa;
  void (*unary[kUnaryCount])(const UnaryArgs&);
  void (*binary_f32[kBinaryCount])(const BinaryArgs&);
  void (*binary_s8[kBinaryCountS8])(const BinaryArgs&);
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::eltwise
