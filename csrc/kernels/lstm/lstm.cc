#include "kernels/lstm/lstm.h"

#include "kernels/vectorize.h"

namespace whit::lstm {
namespace {
#include "kernels/math.inc"
}  // namespace

void cell(const f32* gates, isize rows, isize hidden, f32* c, f32* h) {
  for (isize row = 0; row < rows; ++row, gates += 4 * hidden, c += hidden, h += hidden) {
    const f32 *input = gates, *output = gates + hidden, *forget = gates + 2 * hidden, *update = gates + 3 * hidden;
    WHIT_VECTOR_LOOP
    for (isize i = 0; i < hidden; ++i) {
      const f32 kept = sigmoid_f32(forget[i]) * c[i];
      const f32 state = kept + sigmoid_f32(input[i]) * tanh_f32(update[i]);
      c[i] = state;
      h[i] = sigmoid_f32(output[i]) * tanh_f32(state);
    }
  }
}

}  // namespace whit::lstm
