#include "kernels/bitpack/levels.h"
#include "kernels/bitpack/neon_rows.h"

namespace whit::bitpack {

constexpr Table bitpack_table_neon{Isa::neon, "bitpack_neon", pack_f32, pack_s8};

}  // namespace whit::bitpack
