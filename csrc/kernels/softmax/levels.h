#pragma once
// One table per <level>.cc.

#include "kernels/softmax/softmax.h"

namespace whit::softmax {

extern const Table softmax_table_scalar;
extern const Table softmax_table_neon;
extern const Table softmax_table_neon32;
extern const Table softmax_table_avx2;
extern const Table softmax_table_avx512vnni;

}  // namespace whit::softmax
