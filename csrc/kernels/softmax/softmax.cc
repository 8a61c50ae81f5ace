#include "kernels/softmax/softmax.h"

#include "kernels/softmax/levels.h"

namespace whit::softmax {
namespace {

constexpr const Table* kTables[] = {
#ifdef WHIT_HAVE_AVX512VNNI
    &softmax_table_avx512vnni,
#endif
#ifdef WHIT_HAVE_AVX2
    &softmax_table_avx2,
#endif
#ifdef WHIT_HAVE_NEON
    &softmax_table_neon,
#endif
#ifdef WHIT_HAVE_NEON32
    &softmax_table_neon32,
#endif
    &softmax_table_scalar,
};

}  // namespace

std::span<const Table* const> tables() { return kTables; }

const Table& select(IsaSet isa) {
  for (const Table* table : kTables)
    if (isa.has(table->isa)) return *table;
  return softmax_table_scalar;
}

}  // namespace whit::softmax
