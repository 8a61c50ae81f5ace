#pragma once
// What an LSTM cell does after its matrix products. The same bits on every ISA (kernels/math.inc).

#include "base/types.h"

namespace whit::lstm {

/// One time step of `rows` sequences. gates[rows][4 * hidden] holds the sums before activation, in the order i o f g:
///     c = sigmoid(f) * c + sigmoid(i) * tanh(g)
///     h = sigmoid(o) * tanh(c)
/// c[rows][hidden] is updated, h[rows][hidden] is written.
void cell(const f32* gates, isize rows, isize hidden, f32* c, f32* h);

}  // namespace whit::lstm
