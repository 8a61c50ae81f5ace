#include "kernels/bitpack/levels.h"
#include "kernels/bitpack/rows.h"

namespace whit::bitpack {
namespace {

template <class T>
void pack(const Args<T>& args, isize begin, isize end) {
  for (isize row = begin; row < end; ++row) pack_rest(args, row, 0);
}

}  // namespace

constexpr Table bitpack_table_scalar{Isa::scalar, "bitpack_scalar", pack<f32>, pack<s8>};

}  // namespace whit::bitpack
