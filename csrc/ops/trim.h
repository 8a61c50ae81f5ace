#pragma once
// What a trimmed build has (csrc/cmake/trim.cmake). For the sources named there alone.

#include <string_view>

#if !defined(WHIT_OPS)
#define WHIT_OPS ""  // ",conv,gemm,": the operators of a trimmed build; all if it is empty
#endif

namespace whit::ops {
namespace {

/// Of ",name,".
constexpr bool is_compiled(std::string_view name) {
  constexpr std::string_view kOps = WHIT_OPS;
  return kOps.empty() || kOps.find(name) != kOps.npos;
}

}  // namespace
}  // namespace whit::ops
