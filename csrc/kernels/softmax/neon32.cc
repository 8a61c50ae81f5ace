#include "kernels/softmax/levels.h"
#include "kernels/vectorize.h"

namespace whit::softmax {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/fold.inc"
#include "kernels/softmax/softmax.inc"
// clang-format on
}  // namespace

constexpr Table softmax_table_neon32 = make_table(Isa::neon32);

}  // namespace whit::softmax
