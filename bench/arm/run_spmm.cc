// Runs a sparse product of s8 or f32, or the dense one of the same weights (run_product.h):
//     run_spmm KERNEL SIZE PIXELS BLOCK_ROWS BLOCK_LINES LARGEST
// n = k = SIZE; 90 % of the weights are zeros, in blocks. The result is compared with that of a dense kernel.

#include <cstdlib>
#include <string_view>

#include "bench/arm/run_product.h"
#include "bench/kernels/family/spmm_f32_shared.h"
#include "bench/kernels/family/spmm_s8_shared.h"

int main(int argc, char** argv) {
  using namespace whit;
  if (argc != 7) return 2;
  const isize size = std::atoi(argv[2]);
  const bench::SpmmShape shape{
      size, size, std::atoi(argv[3]), {std::atoi(argv[4]), std::atoi(argv[5])}, std::atoi(argv[6])};
  const bool is_f32 = std::string_view(argv[1]).find("_f32_") != std::string_view::npos;
  return bench::run_product("run_spmm", argv[1], [&](IsaSet isa) {
    return is_f32 ? bench::spmm_f32_group(shape, isa) : bench::spmm_s8_group(shape, isa);
  });
}
