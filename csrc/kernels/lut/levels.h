#pragma once
// One table per <level>.cc.

#include "kernels/lut/lut.h"

namespace whit::lut {

extern const Table lut_table_scalar;
extern const Table lut_table_neon;
extern const Table lut_table_neon32;
extern const Table lut_table_avx2;
extern const Table lut_table_avx512vnni;

}  // namespace whit::lut
