#include "kernels/pool/pool.h"

#include "kernels/pool/levels.h"

namespace whit::pool {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX512VNNI
    &pool_table_avx512vnni,
#endif
#ifdef WHIT_HAVE_AVX2
    &pool_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &pool_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &pool_table_neon32,
#endif
    &pool_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return pool_table_scalar;
}

}  // namespace whit::pool
