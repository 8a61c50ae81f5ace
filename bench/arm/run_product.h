#pragma once
// What run_spmm, run_w4 and run_b1 have in common: one kernel of a group between two markers (see run_whit.cc).

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "bench/kernels/harness.h"

namespace whit::bench {

/// Runs `kernel` on the group that `build(isa)` makes, once to warm up and once between the markers, and compares its
/// result with that of the group's first kernel. Returns an exit code: 1 if they differ, 2 if there is no such kernel.
template <class Build>
int run_product(const char* program, std::string_view kernel, const Build& build) {
  const Result<IsaSet> isa = isa_active();
  if (!isa.ok()) return 2;
  const Group group = build(*isa);
  for (const Job& job : group.jobs) {
    if (job.kernel != kernel) continue;
    group.jobs.front().run();
    const std::vector<std::byte> expected(group.output.begin(), group.output.end());
    job.run();
    close(-7000001);
    job.run();
    close(-7000002);
    return std::memcmp(expected.data(), group.output.data(), expected.size()) == 0 ? 0 : 1;
  }
  std::fprintf(stderr, "%s: no kernel %.*s here\n", program, static_cast<int>(kernel.size()), kernel.data());
  return 2;
}

}  // namespace whit::bench
