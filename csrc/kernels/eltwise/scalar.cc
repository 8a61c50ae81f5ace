#include "kernels/eltwise/levels.h"
#include "kernels/vectorize.h"

namespace whit::eltwise {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/eltwise/eltwise.inc"
// clang-format on
}  // namespace

constexpr Table eltwise_table_scalar = make_table(Isa::scalar);

}  // namespace whit::eltwise
