#include "bench/kernels/family/spmm_s8_shared.h"

namespace whit::bench {
namespace {

constexpr spmm::Block kPatterns[] = {{1, 4}, {1, 1}, {4, 1}};
constexpr isize kSizes[] = {256, 512, 1024}, kPixels[] = {196, 784};

}  // namespace

void add_spmm_s8(const Options& options, Entries& entries) {
  for (const spmm::Block& block : kPatterns) {
    for (const int largest : {127, 7}) {
      for (const isize size : kSizes) {
        for (const isize pixels : kPixels) {
          const SpmmShape s =
              options.smoke ? SpmmShape{44, 21, block, largest} : SpmmShape{size, pixels, block, largest};
          entries.push_back({"spmm_s8", shape_name(s), [s, isa = options.isa] { return spmm_s8_group(s, isa); }});
          if (options.smoke) break;
        }
        if (options.smoke) break;
      }
    }
  }
}

}  // namespace whit::bench
