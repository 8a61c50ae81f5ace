#include "kernels/pool/levels.h"
#include "kernels/vectorize.h"

namespace whit::pool {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/pool/pool.inc"
// clang-format on
}  // namespace

constexpr Table pool_table_neon32 = make_table(Isa::neon32);

}  // namespace whit::pool
