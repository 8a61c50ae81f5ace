#include "kernels/lut/levels.h"

namespace whit::lut {
namespace {

void map_s8(const s8* x, s8* y, isize n, const s8* entries) {
  for (isize i = 0; i < n; ++i) y[i] = entries[static_cast<u8>(x[i])];
}

}  // namespace

constexpr Table lut_table_scalar{Isa::scalar, "lut_s8_scalar", map_s8};

}  // namespace whit::lut
