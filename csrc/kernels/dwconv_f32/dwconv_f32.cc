#include "kernels/dwconv_f32/dwconv_f32.h"

#include <iterator>

#include "base/checked.h"
#include "kernels/dwconv_f32/kernel.h"

namespace whit::dwconv_f32 {
namespace {

constexpr Kernel kKernels[] = {
#define DWCONV_F32_KERNEL(isa, function, kernel_size, stride, lanes) \
  {Isa::isa, #function, function, kernel_size, stride, lanes},
#include "kernels/dwconv_f32/kernels.inc"
#undef DWCONV_F32_KERNEL
};

bool computes(const Kernel& kernel, const Geometry& g) {
  if (kernel.kernel_size == 0) return true;
  return g.kernel_h == kernel.kernel_size && g.kernel_w == kernel.kernel_size && g.stride_h == kernel.stride &&
         g.stride_w == kernel.stride && g.dilation_h == 1 && g.dilation_w == 1;
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Geometry& geometry, IsaSet isa) {
  for (const Kernel& kernel : kKernels)
    if (isa.has(kernel.isa) && computes(kernel, geometry)) return kernel;
  return *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }

std::size_t packed_bytes(const Kernel& kernel, isize channels, isize taps) {
  return allocation_bytes(round_up(channels, kernel.lanes), 1 + s64{taps}, sizeof(f32));
}

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed) {
  f32* out = reinterpret_cast<f32*>(packed);
  for (isize c = 0; c < rhs.channels; c += kernel.lanes) {
    for (isize lane = c; lane < c + kernel.lanes; ++lane) *out++ = rhs.bias && lane < rhs.channels ? rhs.bias[lane] : 0;
    for (isize tap = 0; tap < rhs.taps; ++tap)
      for (isize lane = c; lane < c + kernel.lanes; ++lane)
        *out++ = lane < rhs.channels ? rhs.values[lane * rhs.taps + tap] : 0;
  }
}

void run(const Kernel& kernel, const Args& args, isize row_begin, isize row_end) {
  kernel.function(args, row_begin, row_end);
}

}  // namespace whit::dwconv_f32
