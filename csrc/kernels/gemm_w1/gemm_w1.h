#pragma once
// s8 matrix product with weights of two values, which are a bit each in memory:
//     acc[m][n] = bias[n] + sum_t,k (lhs[m][t][k] - zero_point) * (first + step * bit[n][t][k])
// The same bytes as gemm_s8 gives for the values. Four bits are the index of one of the 16 sums that four values of a
// row can give, so that a byte shuffle does 64 products of 16 columns (Wei et al., "T-MAC: CPU Renaissance via Table
// Lookup for Low-Bit LLM Deployment on Edge", 2024). That is faster than products where there are no dot products. Two
// bits a weight would halve what a shuffle does, and are not: products of gemm_w4 are as fast then.

#include <optional>
#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::gemm_w1 {

/// first, and first + step.
struct TwoValues {
  s32 first, step;
};

/// Those of these weights; nullopt if there are more.
std::optional<TwoValues> two_values(std::span<const s8> weights);

struct Kernel;  // one line of kernels.inc

/// Every kernel of this build, in order of preference.
std::span<const Kernel> kernels();
/// The first one that these ISA levels have. Pure.
const Kernel& select(IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);

/// Weights as gemm_s8 takes them, each of them one of the two.
struct Rhs {
  gemm_s8::Rhs weights;
  TwoValues values;
};

/// As of gemm_s8.
isize panel_columns(const Kernel& kernel);
std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k);
/// Scratch that every thread in run() needs.
std::size_t scratch_bytes();
void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end);

/// As of gemm_s8, but that `scratch` does not depend on lhs.offsets.
using Lhs = gemm_s8::Lhs;
using Args = gemm_s8::Args;

/// Computes rows [m_begin, m_end) x columns [n_begin, n_end), a row at a time. Exact on every ISA; allocates nothing.
void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end);

}  // namespace whit::gemm_w1
