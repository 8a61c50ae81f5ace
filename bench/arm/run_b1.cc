// Runs a product of bits, or the one of gemm_s8 on the same values, between two markers (see run_whit.cc):
//     run_b1 KERNEL M N K TAPS
// The result is compared with that of another kernel.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench/kernels/family/gemm_b1_shared.h"

int main(int argc, char** argv) {
  using namespace whit;
  if (argc != 6) return 2;
  const bench::GemmShape shape{std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5])};
  const Result<IsaSet> isa = isa_active();
  if (!isa.ok()) return 2;
  const bench::Group group = bench::gemm_b1_group(shape, *isa);
  for (const bench::Job& job : group.jobs) {
    if (job.kernel != argv[1]) continue;
    group.jobs.front().run();
    const std::vector<std::byte> expected(group.output.begin(), group.output.end());
    job.run();
    close(-7000001);
    job.run();
    close(-7000002);
    return std::memcmp(expected.data(), group.output.data(), expected.size()) == 0 ? 0 : 1;
  }
  std::fprintf(stderr, "run_b1: no kernel %s here\n", argv[1]);
  return 2;
}
