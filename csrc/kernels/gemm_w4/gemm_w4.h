#pragma once
// s8 matrix product with weights of few values, which stay codes of 4 or 2 bits in memory:
//     acc[m][n] = bias[n] + sum_t,k (lhs[m][t][k] - zero_point) * codebook[code[n][t][k]]
// The same bytes as gemm_s8 gives for the values. A few rows read the codes and make values of them in registers; for
// more rows some panels of codes at a time become panels of gemm_s8, whose kernel then runs on them.

#include <optional>
#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::gemm_w4 {

/// The values that weights have.
struct Codebook {
  int bits;       ///< of a code: 4 or 2
  s8 values[16];  ///< the first 2^bits count

  isize size() const { return isize{1} << bits; }
  /// True for integers that follow each other: values are codes plus the first one, and need no lookup.
  bool is_linear() const {
    for (isize i = 1; i < size(); ++i)
      if (values[i] != values[0] + i) return false;
    return true;
  }
};

/// -8 ... 7 or, of 2 bits, -2 ... 1.
Codebook integers(int bits);
/// The codebook of these weights with the fewest bits, integers if they all fit; nullopt for more than 16 values, or
/// if -128 is among them.
std::optional<Codebook> codebook(std::span<const s8> weights);

struct Problem {
  isize m;  ///< rows; 0 = not known yet
  isize n, taps, k;
  int bits;
};

struct Kernel;  // one line of kernels.inc

/// Every kernel of this build, in order of preference.
std::span<const Kernel> kernels();
/// The kernel for this problem on a CPU with these ISA levels. Pure. Every kernel's packed layout serves any m.
const Kernel& select(const Problem& problem, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);
/// Of the codes, as the problem said.
int bits(const Kernel& kernel);

/// Weights as gemm_s8 takes them, all of them in a codebook of the kernel's bits (checked by the caller), which has no
/// -128.
struct Rhs {
  gemm_s8::Rhs weights;
  const Codebook& codebook;
};

/// As of gemm_s8.
isize panel_columns(const Kernel& kernel);
isize k_group(const Kernel& kernel);
isize tile_rows(const Kernel& kernel);
std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k);
/// Scratch that every thread in run() needs, however rows are given, if needs_scratch().
std::size_t scratch_bytes(const Kernel& kernel, isize taps, isize k);
/// False for so few rows that codes become values in registers; for any part of them as well.
bool needs_scratch(isize m, isize taps, isize k);
/// Packs the panels of columns [n_begin, n_end) (n_begin a multiple of panel_columns) into `packed`, which is 64-byte
/// aligned and holds packed_bytes(). Panels may be packed by several threads at once. False when memory is short.
bool pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end);

/// As of gemm_s8, but that `scratch` does not depend on lhs.offsets.
using Lhs = gemm_s8::Lhs;
using Args = gemm_s8::Args;

/// Computes rows [m_begin, m_end) x columns [n_begin, n_end). Exact on every ISA; allocates nothing.
void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end);

}  // namespace whit::gemm_w4
