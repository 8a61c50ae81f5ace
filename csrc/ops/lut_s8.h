#pragma once
// A table of 256 s8 applied to a whole tensor: every s8 function of one variable.

#include <array>

#include "kernels/lut/lut.h"
#include "ops/checks.h"

namespace whit::ops {

struct LutS8 {
  std::array<s8, lut::kEntries> entries{};
  const lut::Table* table = nullptr;

  void run(const RunContext& context, isize elements) const {
    const s8* x = reinterpret_cast<const s8*>(context.inputs[0]);
    s8* y = reinterpret_cast<s8*>(context.outputs[0]);
    context.pool.parallel_for(elements, work_grain(1), [&](isize begin, isize end, int) {
      table->map_s8(x + begin, y + begin, end - begin, entries.data());
    });
  }
};

}  // namespace whit::ops
