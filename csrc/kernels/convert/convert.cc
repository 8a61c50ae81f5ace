#include "kernels/convert/convert.h"

#include "kernels/convert/levels.h"

namespace whit::convert {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX512VNNI
    &convert_table_avx512vnni,
#endif
#ifdef WHIT_HAVE_AVX2
    &convert_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &convert_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &convert_table_neon32,
#endif
    &convert_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return convert_table_scalar;
}

}  // namespace whit::convert
