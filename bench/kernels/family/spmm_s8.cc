#include "bench/kernels/family/spmm_s8_shared.h"

namespace whit::bench {
namespace {

constexpr spmm::Block kPatterns[] = {{1, 4}, {1, 1}, {4, 1}};
constexpr isize kSizes[] = {256, 512, 1024}, kPixels[] = {196, 784};
// Of one pixel: weights in L1, L2, L3 and, mostly, beyond; a classifier's.
constexpr isize kColumns[][2] = {{512, 512}, {1000, 1280}, {1024, 1024}, {2048, 2048}, {4096, 4096}};

std::vector<SpmmShape> shapes(const Options& options) {
  std::vector<SpmmShape> shapes;
  for (const spmm::Block& block : kPatterns) {
    for (const int largest : {127, 7}) {
      if (options.smoke) {
        for (const isize pixels : {21, 1}) shapes.push_back({44, 48, pixels, block, largest});
        continue;
      }
      for (const isize size : kSizes)
        for (const isize pixels : kPixels) shapes.push_back({size, size, pixels, block, largest});
    }
    if (options.smoke || block.rows > 1) continue;
    for (const auto& [n, k] : kColumns) shapes.push_back({n, k, 1, block, 127});
  }
  return shapes;
}

}  // namespace

void add_spmm_s8(const Options& options, Entries& entries) {
  for (const SpmmShape& s : shapes(options))
    entries.push_back({"spmm_s8", shape_name(s), [s, isa = options.isa] { return spmm_s8_group(s, isa); }});
}

}  // namespace whit::bench
