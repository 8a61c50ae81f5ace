#include "kernels/eltwise/levels.h"
#include "kernels/vectorize.h"

namespace whit::eltwise {
namespace {
#include "kernels/math.inc"
//
#include "kernels/eltwise/eltwise.inc"
}  // namespace

constexpr Table eltwise_table_neon = make_table(Isa::neon);

}  // namespace whit::eltwise
