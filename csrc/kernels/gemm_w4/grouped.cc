#include "kernels/gemm_w4/grouped.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/checked.h"
#include "kernels/gemm_w4/grouped_kernel.h"

namespace whit::gemm_w4 {
namespace {

constexpr GroupedKernel kKernels[] = {
#define GEMM_W4_GROUPED(isa, function, nr, kr, block) {Isa::isa, #function, nr, kr, block, function},
#include "kernels/gemm_w4/grouped.inc"
#undef GEMM_W4_GROUPED
};

isize codes_bytes(const GroupedKernel& kernel) { return kScaleGroup * kernel.nr / 2; }

isize panel_bytes(const GroupedKernel& kernel, isize k) {
  const isize group = codes_bytes(kernel) + kernel.nr * static_cast<isize>(sizeof(u16));
  return kernel.nr * static_cast<isize>(sizeof(f32)) + ceil_div(k, kScaleGroup) * group;
}

/// The codes of `count` k, from `values` on, of `columns` columns.
void pack_group(const GroupedKernel& kernel, const s8* values, isize column_stride, isize columns, isize count,
                u8* codes) {
  std::fill_n(codes, codes_bytes(kernel), u8{0});
  for (isize c = 0; c < columns; ++c, values += column_stride) {
    for (isize k = 0; k < count; ++k) {
      const isize at = (k / kernel.kr * kernel.nr + c) * kernel.kr + k % kernel.kr, in_block = at % (2 * kernel.block);
      u8& byte = codes[at / (2 * kernel.block) * kernel.block + in_block % kernel.block];
      byte = static_cast<u8>(byte | (values[k] + 8) << (in_block < kernel.block ? 0 : 4));
    }
  }
}

}  // namespace

std::span<const GroupedKernel> grouped_kernels() { return kKernels; }

const GroupedKernel& select_grouped(IsaSet isa) {
  for (const GroupedKernel& kernel : kKernels)
    if (isa.has(kernel.isa)) return kernel;
  return *std::prev(std::end(kKernels));
}

const char* name(const GroupedKernel& kernel) { return kernel.name; }
Isa isa(const GroupedKernel& kernel) { return kernel.isa; }
isize panel_columns(const GroupedKernel& kernel) { return kernel.nr; }

std::size_t packed_bytes(const GroupedKernel& kernel, isize n, isize k) {
  return allocation_bytes(ceil_div(n, kernel.nr), panel_bytes(kernel, k));
}

std::size_t scratch_bytes(const GroupedKernel&, isize k) {
  return allocation_bytes(kMostGroupedRows, ceil_div(k, kScaleGroup), sizeof(s32));
}

void pack(const GroupedKernel& kernel, const GroupedRhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const isize stride = panel_bytes(kernel, rhs.k), groups = ceil_div(rhs.k, kScaleGroup);
  for (isize n = n_begin; n < n_end; n += kernel.nr) {
    const isize columns = std::min<isize>(kernel.nr, rhs.n - n);
    std::byte* out = packed + n / kernel.nr * stride;
    f32* bias = reinterpret_cast<f32*>(out);
    for (isize c = 0; c < kernel.nr; ++c) bias[c] = c < columns && rhs.bias ? rhs.bias[n + c] : 0;
    out += kernel.nr * sizeof(f32);
    for (isize g = 0; g < groups; ++g) {
      pack_group(kernel, rhs.values + n * rhs.k + g * kScaleGroup, rhs.k, columns,
                 std::min(kScaleGroup, rhs.k - g * kScaleGroup), reinterpret_cast<u8*>(out));
      u16* scale = reinterpret_cast<u16*>(out + codes_bytes(kernel));
      for (isize c = 0; c < kernel.nr; ++c) scale[c] = c < columns ? rhs.scales[(n + c) * groups + g] : u16{0};
      out = reinterpret_cast<std::byte*>(scale + kernel.nr);
    }
  }
}

void run(const GroupedKernel& kernel, const GroupedArgs& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  if (n_begin >= n_end) return;
  for (isize m = m_begin; m < m_end; m += kMostGroupedRows)
    kernel.function(args, m, std::min(kMostGroupedRows, m_end - m), n_begin, n_end);
}

}  // namespace whit::gemm_w4
