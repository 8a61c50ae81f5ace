#include "kernels/gemm_f32/gemm_f32.h"

#include <algorithm>
#include <iterator>

#include "base/checked.h"
#include "kernels/gemm_f32/kernel.h"

namespace whit::gemm_f32 {
namespace {

constexpr Kernel kKernels[] = {
#define GEMM_F32_KERNEL(isa, function, mr, nr) {Isa::isa, #function, function, mr, nr},
#include "kernels/gemm_f32/kernels.inc"
#undef GEMM_F32_KERNEL
};

isize panel_stride(const Kernel& kernel, isize taps, isize k) { return (1 + taps * k) * kernel.nr; }

/// Rows that are taken through all panels together: their lhs stays in L2, and the weights stream in once per block.
/// Weights that are too many for L2 come from farther away than the lhs, so that fewer and larger blocks are better.
isize block_rows(const Kernel& kernel, isize n, isize taps, isize k) {
  const s64 near = near_bytes(kernel);
  const s64 row_bytes = std::max<s64>(1, s64{taps} * k * static_cast<s64>(sizeof(f32)));
  const s64 bytes = n * row_bytes > 4 * near ? 4 * near : near;
  return static_cast<isize>(std::max<s64>(1, bytes / row_bytes / kernel.mr)) * kernel.mr;
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Problem& problem, IsaSet isa) {
  const Kernel* best = nullptr;
  for (const Kernel& kernel : kKernels) {
    if (!isa.has(kernel.isa)) continue;
    if (best && best->isa != kernel.isa) break;
    if (!best || problem.n <= kernel.nr) best = &kernel;
  }
  return best ? *best : *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize panel_columns(const Kernel& kernel) { return kernel.nr; }
isize tile_rows(const Kernel& kernel) { return kernel.mr; }
s64 near_bytes(const Kernel& kernel) { return s64{kernel.isa >= Isa::avx2 ? 256 : 96} << 10; }

std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
  return allocation_bytes(ceil_div(n, kernel.nr), kernel.nr, 1 + s64{taps} * k, sizeof(f32));
}

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const isize nr = kernel.nr, depth = rhs.taps * rhs.k;
  for (isize n = n_begin; n < n_end; n += nr) {
    f32* panel = reinterpret_cast<f32*>(packed) + n / nr * panel_stride(kernel, rhs.taps, rhs.k);
    const isize columns = std::min(nr, rhs.n - n);
    std::fill_n(panel, nr, 0.0f);
    if (rhs.bias) std::copy_n(rhs.bias + n, columns, panel);
    panel += nr;
    // A few k at a time, so that the lines being written stay in the cache over all columns.
    constexpr isize kStep = 16;
    for (isize k = 0; k < depth; k += kStep) {
      const isize k_end = std::min(depth, k + kStep);
      for (isize column = 0; column < nr; ++column) {
        const f32* values = column < columns ? rhs.values + (n + column) * depth : nullptr;
        for (isize i = k; i < k_end; ++i) panel[i * nr + column] = values ? values[i] : 0.0f;
      }
    }
  }
}

void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  const isize block = block_rows(kernel, n_end - n_begin, args.taps, args.k);
  for (isize m = m_begin; m < m_end; m += block) {
    const isize block_end = std::min(m_end, m + block);
    if (block_end - m <= kernel.mr) {  // few rows: leave the walk over the panels to the kernel
      kernel.function(args, m, block_end - m, n_begin, n_end);
      continue;
    }
    // Rows are spread evenly: 13 rows are tiles of 7 and 6, not of 12 and 1.
    const isize rows = block_end - m, tiles = ceil_div(rows, kernel.mr);
    for (isize n = n_begin; n < n_end; n += kernel.nr) {
      const isize panel_end = std::min(n_end, n + kernel.nr);
      for (isize i = 0; i < tiles; ++i) {
        const isize begin = rows * i / tiles, end = rows * (i + 1) / tiles;
        kernel.function(args, m + begin, end - begin, n, panel_end);
      }
    }
  }
}

}  // namespace whit::gemm_f32
