#include "kernels/reduce/levels.h"
#include "kernels/vectorize.h"

namespace whit::reduce {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/fold.inc"
#include "kernels/reduce/reduce.inc"
// clang-format on
}  // namespace

constexpr Table reduce_table_neon32 = make_table(Isa::neon32);

}  // namespace whit::reduce
