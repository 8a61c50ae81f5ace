#include "bench/kernels/family/gemm_b1_shared.h"

namespace whit::bench {

void add_gemm_b1(const Options& options, Entries& entries) {
  const std::span<const GemmShape> shapes =
      options.smoke ? std::span<const GemmShape>(kSmallGemmShapes) : std::span<const GemmShape>(kBinaryShapes);
  for (const GemmShape& s : shapes)
    entries.push_back({"gemm_b1", shape_name(s), [&s, isa = options.isa] { return gemm_b1_group(s, isa); }});
}

}  // namespace whit::bench
