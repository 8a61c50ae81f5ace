#include "kernels/dwconv_s8/dwconv_s8.h"

#include <algorithm>
#include <iterator>

#include "base/checked.h"
#include "kernels/dwconv_s8/kernel.h"
#include "kernels/dwconv_s8/quads.h"

namespace whit::dwconv_s8 {
namespace {

constexpr Kernel kKernels[] = {
#define DWCONV_S8_KERNEL(isa, function, size, stride, rows, columns, lanes, group, lhs_offset) \
  {Isa::isa, #function, function, size, stride, rows, columns, lanes, group, lhs_offset},
#include "kernels/dwconv_s8/kernels.inc"
#undef DWCONV_S8_KERNEL
};

bool serves(const Kernel& kernel, const Geometry& g) {
  return kernel.size == 0 || (g.kernel_h == kernel.size && g.kernel_w == kernel.size && g.stride_h == kernel.stride &&
                              g.stride_w == kernel.stride && g.dilation_h == 1 && g.dilation_w == 1);
}

bool has_quads(const Kernel& kernel) { return kernel.size > 0 && kernel.group > 1; }

Quads quads_of(const Kernel& kernel) { return make_quads(kernel.size, kernel.stride, kernel.rows, kernel.columns); }

/// Vectors of weights in a block.
isize block_vectors(const Kernel& kernel, isize taps) {
  return has_quads(kernel) ? quads_of(kernel).products() : ceil_div(taps, kernel.group);
}

isize lane_bytes(const Kernel& kernel, isize taps) {
  return static_cast<isize>(sizeof(s32)) + block_vectors(kernel, taps) * kernel.group;
}

/// Lanes of the block that begins with `channel`.
isize block_lanes(const Kernel& kernel, isize channels, isize channel) {
  return kernel.lanes == 64 && channels - channel <= 32 ? 32 : kernel.lanes;
}

/// Where a block of so many lanes has its channel.
isize lane_of(isize lanes, isize channel) {
  return lanes < 32 ? channel : channel % 16 / 4 * (lanes / 4) + channel / 16 * 4 + channel % 4;
}

/// Calls place(tap, position in the block's weights of one lane) for each tap, some more than once.
template <class Place>
void for_each_weight(const Kernel& kernel, isize taps, isize lanes, Place place) {
  const isize vector = lanes * kernel.group;
  if (!has_quads(kernel)) {
    for (isize tap = 0; tap < taps; ++tap) place(tap, tap / kernel.group * vector + tap % kernel.group);
    return;
  }
  const Quads quads = quads_of(kernel);
  isize first = 0;
  quads.for_each([&](int period, int quad, int t, int p) {
    for (int l = 0; l < 4; ++l)
      if (const int tap = quads.tap(period, quad, l, t, p); tap >= 0) place(tap, first + l);
    first += vector;
  });
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Geometry& geometry, IsaSet isa) {
  for (const Kernel& kernel : kKernels)
    if (isa.has(kernel.isa) && serves(kernel, geometry)) return kernel;
  return *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }

std::size_t packed_bytes(const Kernel& kernel, isize channels, isize taps) {
  const s64 lanes = s64{channels} / kernel.lanes * kernel.lanes;
  const s64 rest = channels == lanes ? 0 : block_lanes(kernel, channels, static_cast<isize>(lanes));
  return allocation_bytes(lanes + rest, lane_bytes(kernel, taps));
}

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed) {
  std::fill_n(packed, packed_bytes(kernel, rhs.channels, rhs.taps), std::byte{0});
  const u32 zero_point = static_cast<u32>(rhs.lhs_zero_point + kernel.lhs_offset);
  for (isize first = 0, lanes = 0; first < rhs.channels; first += lanes) {
    lanes = block_lanes(kernel, rhs.channels, first);
    const isize count = std::min(lanes, rhs.channels - first);
    const s8* values = rhs.values + first * rhs.taps;
    std::byte* block = packed + first * lane_bytes(kernel, rhs.taps);
    s32* bias = reinterpret_cast<s32*>(block);
    s8* weights = reinterpret_cast<s8*>(block) + lanes * static_cast<isize>(sizeof(s32));
    for (isize channel = 0; channel < count; ++channel) {
      u32 sum = 0;  // unsigned, since sums of s32 may wrap as the accumulators do
      for (isize tap = 0; tap < rhs.taps; ++tap) sum += static_cast<u32>(values[channel * rhs.taps + tap]);
      const u32 start = rhs.bias ? static_cast<u32>(rhs.bias[first + channel]) : 0;
      bias[lane_of(lanes, channel)] = static_cast<s32>(start - zero_point * sum);
    }
    for_each_weight(kernel, rhs.taps, lanes, [&](isize tap, isize position) {
      for (isize channel = 0; channel < count; ++channel)
        weights[lane_of(lanes, channel) * kernel.group + position] = values[channel * rhs.taps + tap];
    });
  }
}

void run(const Kernel& kernel, const Args& args, isize row_begin, isize row_end) {
  kernel.function(args, row_begin, row_end);
}

}  // namespace whit::dwconv_s8
