#include "kernels/reduce/reduce.h"

#include "kernels/reduce/levels.h"

namespace whit::reduce {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX512VNNI
    &reduce_table_avx512vnni,
#endif
#ifdef WHIT_HAVE_AVX2
    &reduce_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &reduce_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &reduce_table_neon32,
#endif
    &reduce_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return reduce_table_scalar;
}

}  // namespace whit::reduce
