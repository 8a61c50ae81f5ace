// Runs a product with weights of 4 or 2 bits, or the one of gemm_s8 with the same weights, between two markers (see
// run_whit.cc):
//     run_w4 KERNEL M N K w4|palette|w2
// The result is compared with that of a kernel of gemm_s8. Kernels of groups of 32 k are compared with each other.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "bench/kernels/family/gemm_w4_shared.h"

int main(int argc, char** argv) {
  using namespace whit;
  if (argc != 6) return 2;
  const bench::GemmShape shape{std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), 1};
  const std::string_view kernel = argv[1], kind = argv[5];
  const bench::Weights weights = kind == "w2"        ? bench::Weights::w2
                                 : kind == "palette" ? bench::Weights::palette
                                                     : bench::Weights::w4;
  const Result<IsaSet> isa = isa_active();
  if (!isa.ok()) return 2;
  const bool grouped = kernel.find("grouped") != kernel.npos;
  const bench::Group group =
      grouped ? bench::gemm_w4_grouped_group(shape, *isa) : bench::gemm_w4_group(shape, weights, *isa);
  for (const bench::Job& job : group.jobs) {
    if (job.kernel != kernel) continue;
    group.jobs.front().run();
    const std::vector<std::byte> expected(group.output.begin(), group.output.end());
    job.run();
    close(-7000001);
    job.run();
    close(-7000002);
    return std::memcmp(expected.data(), group.output.data(), expected.size()) == 0 ? 0 : 1;
  }
  std::fprintf(stderr, "run_w4: no kernel %s here\n", argv[1]);
  return 2;
}
