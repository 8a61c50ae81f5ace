#include "kernels/eltwise/levels.h"
#include "kernels/vectorize.h"

namespace whit::eltwise {
namespace {
#include "kernels/math.inc"
//
#include "kernels/eltwise/eltwise.inc"
}  // namespace

constexpr Table eltwise_table_scalar = make_table(Isa::scalar);

}  // namespace whit::eltwise
