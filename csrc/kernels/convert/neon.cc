#include "kernels/convert/levels.h"
#include "kernels/vectorize.h"

namespace whit::convert {
namespace {
// clang-format off: each file stands on those before it
#include "kernels/math.inc"
#include "kernels/convert/convert.inc"
// clang-format on
}  // namespace

constexpr Table convert_table_neon = make_table(Isa::neon);

}  // namespace whit::convert
