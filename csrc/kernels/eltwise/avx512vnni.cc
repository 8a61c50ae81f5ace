#include "kernels/eltwise/levels.h"
#include "kernels/vectorize.h"

namespace whit::eltwise {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/eltwise/eltwise.inc"
// clang-format on
}  // namespace

constexpr Table eltwise_table_avx512vnni = make_table(Isa::avx512vnni);

}  // namespace whit::eltwise
