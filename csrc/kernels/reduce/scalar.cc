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

constexpr Table reduce_table_scalar = make_table(Isa::scalar);

}  // namespace whit::reduce
