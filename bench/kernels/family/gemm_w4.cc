#include "bench/kernels/family/gemm_w4_shared.h"

namespace whit::bench {

void add_gemm_w4(const Options& options, Entries& entries) {
  for (const GemmShape& s : gemm_shapes(options)) {
    for (const Weights weights : {Weights::w4, Weights::palette, Weights::w2, Weights::w1})
      entries.push_back({"gemm_w4", shape_name(s) + weights_name(weights),
                         [&s, weights, isa = options.isa] { return gemm_w4_group(s, weights, isa); }});
    if (s.taps == 1)
      entries.push_back({"gemm_w4", shape_name(s) + " 4 bits, groups of 32",
                         [&s, isa = options.isa] { return gemm_w4_grouped_group(s, isa); }});
  }
}

}  // namespace whit::bench
