#pragma once
// One table per <level>.cc.

#include "kernels/pool/pool.h"

namespace whit::pool {

extern const Table pool_table_scalar;
extern const Table pool_table_neon;
extern const Table pool_table_neon32;
extern const Table pool_table_avx2;
extern const Table pool_table_avx512vnni;

}  // namespace whit::pool
