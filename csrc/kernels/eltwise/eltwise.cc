#include "kernels/eltwise/eltwise.h"

#include "kernels/eltwise/levels.h"

namespace whit::eltwise {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX512VNNI
    &eltwise_table_avx512vnni,
#endif
#ifdef WHIT_HAVE_AVX2
    &eltwise_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &eltwise_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &eltwise_table_neon32,
#endif
    &eltwise_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return eltwise_table_scalar;
}

}  // namespace whit::eltwise
