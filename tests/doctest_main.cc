#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cerrno>
#include <cstdio>
#include <set>
#include <string>

#include "base/isa.h"
#include "coverage.h"

namespace whit::test {
namespace {

struct Coverage {
  std::set<std::string> kernels;
  IsaSet levels;
};

Coverage& coverage() {
  static Coverage instance;
  return instance;
}

// One line: "gemm_s8_test: isa: scalar neon; kernels: gemm_s8s8s32_4x8k1_scalar, ..."
void print_coverage() {
  const Coverage& ran = coverage();
  if (ran.kernels.empty()) return;
  std::printf("%s: isa: %s; kernels:", program_invocation_short_name, isa_list(ran.levels).c_str());
  const char* separator = " ";
  for (const std::string& kernel : ran.kernels) {
    std::printf("%s%s", separator, kernel.c_str());
    separator = ", ";
  }
  std::printf("\n");
}

}  // namespace

void note_kernel(std::string_view name) {
  const std::size_t underscore = name.rfind('_');
  if (underscore == std::string_view::npos) return;
  const std::optional<Isa> level = isa_from_name(name.substr(underscore + 1));
  if (!level) return;
  coverage().kernels.emplace(name);
  coverage().levels = coverage().levels.with(*level);
}

}  // namespace whit::test

int main(int argc, char** argv) {
  const int result = doctest::Context(argc, argv).run();
  whit::test::print_coverage();
  return result;
}
