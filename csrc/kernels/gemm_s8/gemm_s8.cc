#include "kernels/gemm_s8/gemm_s8.h"

#include <algorithm>
#include <iterator>

#include "kernels/gemm_s8/kernel.h"
#include "kernels/gemm_s8/tile.h"

namespace whit::gemm_s8 {
namespace {

constexpr Kernel kKernels[] = {
#define GEMM_S8_KERNEL(isa, function, mr, nr, kr, rhs_offset) {Isa::isa, #function, function, mr, nr, kr, rhs_offset},
#include "kernels/gemm_s8/kernels.inc"
#undef GEMM_S8_KERNEL
};

/// Packs one panel; `columns` of its nr exist.
void pack_panel(const Kernel& kernel, const Rhs& rhs, isize n, isize columns, std::byte* packed) {
  const isize nr = kernel.nr, kr = kernel.kr, groups = ceil_div(rhs.k, kr);
  s32* bias = reinterpret_cast<s32*>(packed);
  u8* values = reinterpret_cast<u8*>(packed) + nr * static_cast<isize>(sizeof(s32));
  std::fill_n(bias, nr, 0);
  std::fill_n(values, rhs.taps * groups * kr * nr, static_cast<u8>(kernel.rhs_offset));
  for (isize column = 0; column < columns; ++column) {
    const s8* source = rhs.values + (n + column) * rhs.taps * rhs.k;
    u32 sum = 0;  // unsigned, since sums of s32 may wrap as the accumulators do
    for (isize t = 0; t < rhs.taps; ++t) {
      u8* group = values + (t * groups * nr + column) * kr;
      for (isize k = 0; k < rhs.k; k += kr, group += nr * kr) {
        const isize count = std::min(kr, rhs.k - k);
        for (isize i = 0; i < count; ++i) {
          const s8 value = *source++;
          sum += static_cast<u32>(value);
          group[i] = static_cast<u8>(value + kernel.rhs_offset);
        }
      }
    }
    const u32 start = rhs.bias ? static_cast<u32>(rhs.bias[n + column]) : 0;
    bias[column] = static_cast<s32>(start - static_cast<u32>(rhs.lhs_zero_point) * sum);
  }
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Problem& problem, IsaSet isa) {
  const Kernel* best = nullptr;
  for (const Kernel& kernel : kKernels) {
    if (!isa.has(kernel.isa)) continue;
    if (best && best->isa != kernel.isa) break;
    best = &kernel;
    if (2 * problem.k >= kernel.kr) break;
  }
  return best ? *best : *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize panel_columns(const Kernel& kernel) { return kernel.nr; }
isize k_group(const Kernel& kernel) { return kernel.kr; }
isize tile_rows(const Kernel& kernel) { return kernel.mr; }

std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
  return static_cast<std::size_t>(ceil_div(n, kernel.nr) * panel_bytes(kernel.nr, kernel.kr, taps, k));
}

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const isize stride = panel_bytes(kernel.nr, kernel.kr, rhs.taps, rhs.k);
  for (isize n = n_begin; n < n_end; n += kernel.nr)
    pack_panel(kernel, rhs, n, std::min<isize>(kernel.nr, rhs.n - n), packed + n / kernel.nr * stride);
}

void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  if (m_begin >= m_end || n_begin >= n_end) return;
  // As many rows as stay in a small L1 beside a panel; weights stream in once per block.
  constexpr isize kBlockBytes = 16 << 10;
  const isize tile_bytes = args.taps * args.k * kernel.mr;
  const isize tiles = std::clamp<isize>(kBlockBytes / tile_bytes, 1, kMaxTilesPerBlock);
  const isize rows = m_end - m_begin;
  const isize blocks = ceil_div(rows, tiles * kernel.mr);
  for (isize i = 0; i < blocks; ++i) {
    const isize begin = rows * i / blocks, end = rows * (i + 1) / blocks;
    kernel.function(args, m_begin + begin, end - begin, n_begin, n_end);
  }
}

}  // namespace whit::gemm_s8
