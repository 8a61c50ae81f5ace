// Runs a product of bits, or the one of gemm_s8 on the same values (run_product.h):
//     run_b1 KERNEL M N K TAPS
// The result is compared with that of another kernel.

#include <cstdlib>

#include "bench/arm/run_product.h"
#include "bench/kernels/family/gemm_b1_shared.h"

int main(int argc, char** argv) {
  using namespace whit;
  if (argc != 6) return 2;
  const bench::GemmShape shape{std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5])};
  return bench::run_product("run_b1", argv[1], [&](IsaSet isa) { return bench::gemm_b1_group(shape, isa); });
}
