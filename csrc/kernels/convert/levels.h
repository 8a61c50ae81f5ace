#pragma once
// One table per <level>.cc.

#include "kernels/convert/convert.h"

namespace whit::convert {

extern const Table convert_table_scalar;
extern const Table convert_table_neon;
extern const Table convert_table_neon32;
extern const Table convert_table_avx2;
extern const Table convert_table_avx512vnni;

}  // namespace whit::convert
