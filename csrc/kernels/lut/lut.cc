#include "kernels/lut/lut.h"

#include "kernels/lut/levels.h"

namespace whit::lut {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX512VNNI
    &lut_table_avx512vnni,
#endif
#ifdef WHIT_HAVE_AVX2
    &lut_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &lut_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &lut_table_neon32,
#endif
    &lut_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return lut_table_scalar;
}

}  // namespace whit::lut
