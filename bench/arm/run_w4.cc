// Runs a product with weights of 4 to 1 bits, or the one of gemm_s8 with the same weights (run_product.h):
//     run_w4 KERNEL M N K w4|palette|w2|w1
// The result is compared with that of a kernel of gemm_s8. Kernels of groups of 32 k are compared with each other.

#include <cstdlib>
#include <string_view>

#include "bench/arm/run_product.h"
#include "bench/kernels/family/gemm_w4_shared.h"

int main(int argc, char** argv) {
  using namespace whit;
  if (argc != 6) return 2;
  const bench::GemmShape shape{std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), 1};
  const std::string_view kernel = argv[1], kind = argv[5];
  const bench::Weights weights = kind == "w2"        ? bench::Weights::w2
                                 : kind == "w1"      ? bench::Weights::w1
                                 : kind == "palette" ? bench::Weights::palette
                                                     : bench::Weights::w4;
  const bool grouped = kernel.find("grouped") != kernel.npos;
  return bench::run_product("run_w4", kernel, [&](IsaSet isa) {
    return grouped ? bench::gemm_w4_grouped_group(shape, isa) : bench::gemm_w4_group(shape, weights, isa);
  });
}
