#include "kernels/eltwise/levels.h"
#include "kernels/vectorize.h"

namespace whit::eltwise {
namespace {
#include "kernels/math.inc"
//
#include "kernels/eltwise/eltwise.inc"
}  // namespace

constexpr Table eltwise_table_avx2 = make_table(Isa::avx2);

}  // namespace whit::eltwise
