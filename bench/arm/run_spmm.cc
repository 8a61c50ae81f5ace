// Runs a sparse product of s8, or the dense one of the same weights, between two markers (see run_whit.cc):
//     run_spmm KERNEL SIZE PIXELS BLOCK_ROWS BLOCK_LINES LARGEST
// n = k = SIZE; 90 % of the weights are zeros, in blocks. The result is compared with that of a dense kernel.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench/kernels/family/spmm_s8_shared.h"

int main(int argc, char** argv) {
  using namespace whit;
  if (argc != 7) return 2;
  const isize size = std::atoi(argv[2]);
  const bench::SpmmShape shape{
      size, size, std::atoi(argv[3]), {std::atoi(argv[4]), std::atoi(argv[5])}, std::atoi(argv[6])};
  const Result<IsaSet> isa = isa_active();
  if (!isa.ok()) return 2;
  const bench::Group group = bench::spmm_s8_group(shape, *isa);
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
  std::fprintf(stderr, "run_spmm: no kernel %s here\n", argv[1]);
  return 2;
}
