#pragma once
// How the threads share a matrix product.

#include "ops/operator.h"

namespace whit::ops {

/// What run_in_parts needs to know of a product.
struct ProductParts {
  isize m, n;
  s64 macs;                      ///< of one output, as mac_grain counts them
  isize panel;                   ///< ranges of columns begin at multiples of it
  bool prefers_columns = false;  ///< each range of rows costs something apart
};

/// part(m_begin, m_end, n_begin, n_end, thread) for all of [m, n]: ranges of rows, of which there may be too few for
/// equal shares; then of columns, if the largest share is smaller by a sixteenth, or, where they are preferred, not
/// larger by as much.
template <class Part>
void run_in_parts(const ProductParts& product, ThreadPool& pool, const Part& part) {
  const isize m = product.m, n = product.n;
  const isize rows = mac_grain(1, n * product.macs), columns = mac_grain(product.panel, m * product.macs);
  const s64 by_rows = s64{product.prefers_columns ? 16 : 15} * n * pool.largest_share(m, rows);
  const s64 by_columns = s64{product.prefers_columns ? 15 : 16} * m * pool.largest_share(n, columns);
  if (by_columns >= by_rows) {
    pool.parallel_for(m, rows, [&](isize begin, isize end, int thread) { part(begin, end, isize{0}, n, thread); });
  } else {
    pool.parallel_for(n, columns, [&](isize begin, isize end, int thread) { part(isize{0}, m, begin, end, thread); });
  }
}

}  // namespace whit::ops
