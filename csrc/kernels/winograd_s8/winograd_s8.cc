#include "kernels/winograd_s8/winograd_s8.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "base/checked.h"
#include "kernels/winograd_s8/kernel.h"

namespace whit::winograd_s8 {
namespace {

constexpr Kernel kKernels[] = {
#define WINOGRAD_S8_KERNEL(isa) \
  {Isa::isa, "winograd_s8_4x4_" #isa, winograd_s8_input_4x4_##isa, winograd_s8_output_4x4_##isa},
#include "kernels/winograd_s8/kernels.inc"
#undef WINOGRAD_S8_KERNEL
};

/// G g of three values: a row for each point p, 1, p, p^2; the last one for infinity.
void filter_transform(s32 a, s32 b, s32 c, s32 (&out)[6]) {
  const s32 even = a + c, even2 = a + 4 * c;
  out[0] = a;
  out[1] = even + b, out[2] = even - b;
  out[3] = even2 + 2 * b, out[4] = even2 - 2 * b;
  out[5] = c;
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(IsaSet isa) {
  for (const Kernel& kernel : kKernels)
    if (isa.has(kernel.isa)) return kernel;
  return *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }

isize tiles_per_image(const Geometry& geometry) {
  return ceil_div(geometry.out_h, kTile) * ceil_div(geometry.out_w, kTile);
}

bool fits(const Rhs& rhs) {
  constexpr s64 kTooMuch = 1 << 18;
  for (isize n = 0; n < rhs.n; ++n) {
    s64 sum = 0;
    for (isize i = 0; i < 9 * rhs.k; ++i) sum += std::abs(rhs.values[n * 9 * rhs.k + i]);
    if (sum >= kTooMuch) return false;
  }
  return true;
}

std::size_t packed_bytes(isize n, isize k) {
  const s64 column_bytes = s64{kBiasBytes / kPanel} + s64{kElements} * round_up(k, kGroup) * isize{sizeof(s16)};
  return allocation_bytes(ceil_div(n, kPanel), kPanel, column_bytes);
}

void pack(const Rhs& rhs, std::byte* packed) {
  const isize depth = round_up(rhs.k, kGroup);
  for (isize first = 0; first < rhs.n; first += kPanel, packed += panel_bytes(rhs.k)) {
    s32* bias = reinterpret_cast<s32*>(packed);
    s16* u = reinterpret_cast<s16*>(packed + kBiasBytes);
    std::fill_n(bias, 2 * kPanel, 0);
    if (depth != rhs.k || rhs.n - first < kPanel) std::fill_n(u, kElements * depth * kPanel, s16{0});
    const isize columns = std::min(kPanel, rhs.n - first);
    u32 sums[kPanel] = {};
    for (isize c = 0; c < rhs.k; ++c) {
      for (isize j = 0; j < columns; ++j) {
        const s8* values = rhs.values + (first + j) * 9 * rhs.k + c;
        s32 half[3][6];
        for (int b = 0; b < 3; ++b) {
          const s32 w[] = {values[b * rhs.k], values[(3 + b) * rhs.k], values[(6 + b) * rhs.k]};
          filter_transform(w[0], w[1], w[2], half[b]);
          sums[j] += static_cast<u32>(w[0] + w[1] + w[2]);
        }
        for (int i = 0; i < 6; ++i) {
          s32 row[6];
          filter_transform(half[0][i], half[1][i], half[2][i], row);
          for (int e = 0; e < 6; ++e) u[((i * 6 + e) * depth + c) * kPanel + j] = static_cast<s16>(row[e]);
        }
      }
    }
    for (isize j = 0; j < columns; ++j) {
      const u32 start = rhs.bias ? static_cast<u32>(rhs.bias[first + j]) : 0;
      bias[j] = static_cast<s32>(start - static_cast<u32>(rhs.lhs_zero_point) * sums[j]);
    }
  }
}

void transform_input(const Kernel& kernel, const InputArgs& args, isize tile_begin, isize tile_end) {
  kernel.input(args, tile_begin, tile_end);
}

void multiply(const Kernel& kernel, const OutputArgs& args, isize tile_begin, isize tile_end, isize n_begin,
              isize n_end) {
  kernel.output(args, tile_begin, tile_end, n_begin, n_end);
}

}  // namespace whit::winograd_s8
