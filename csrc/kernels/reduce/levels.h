#pragma once
// One table per <level>.cc.

#include "kernels/reduce/reduce.h"

namespace whit::reduce {

extern const Table reduce_table_scalar;
extern const Table reduce_table_neon;
extern const Table reduce_table_neon32;
extern const Table reduce_table_avx2;
extern const Table reduce_table_avx512vnni;

}  // namespace whit::reduce
