// Prints the levels that whit would use on this CPU, or the error of WHIT_ISA.

#include <cstdio>

#include "base/isa.h"

int main() {
  const whit::Result<whit::IsaSet> active = whit::isa_active();
  if (!active.ok()) {
    std::fprintf(stderr, "%s\n", active.status().message().c_str());
    return 1;
  }
  std::printf("%s\n", whit::isa_list(*active).c_str());
}
