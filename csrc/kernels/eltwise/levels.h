#pragma once
// One table per <level>.cc.

#include "kernels/eltwise/eltwise.h"

namespace whit::eltwise {

extern const Table eltwise_table_scalar;
extern const Table eltwise_table_neon;
extern const Table eltwise_table_neon32;
extern const Table eltwise_table_avx2;
extern const Table eltwise_table_avx512vnni;

}  // namespace whit::eltwise
