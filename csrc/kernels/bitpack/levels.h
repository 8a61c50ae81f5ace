#pragma once
// One table per <level>.cc.

#include "kernels/bitpack/bitpack.h"

namespace whit::bitpack {

extern const Table bitpack_table_scalar;
extern const Table bitpack_table_neon;
extern const Table bitpack_table_neon32;
extern const Table bitpack_table_avx2;

}  // namespace whit::bitpack
