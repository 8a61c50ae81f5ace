#include "kernels/spmm/csr.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"

namespace whit::spmm {

template <class T>
bool valid(const Csr<T>& csr) {
  s64 columns;
  if (std::min({csr.n, csr.taps, csr.k}) < 0) return false;
  if (!checked_mul(csr.taps, csr.k, &columns) || columns > INT32_MAX) return false;
  const s64 count = static_cast<s64>(csr.values.size());
  if (csr.columns.size() != csr.values.size() || csr.starts.size() != static_cast<std::size_t>(csr.n) + 1) return false;
  if (csr.starts.front() != 0 || csr.starts.back() != count) return false;
  for (isize i = 0; i < csr.n; ++i) {
    const s64 begin = csr.starts[i], end = csr.starts[i + 1];
    if (begin > end || end > count) return false;
    s64 least = 0;
    for (s64 e = begin; e < end; ++e) {
      if (csr.columns[e] < least || csr.columns[e] >= columns) return false;
      least = s64{csr.columns[e]} + 1;
    }
  }
  return true;
}

template <class T>
std::optional<OwnedCsr<T>> csr_from_dense(const T* dense, isize n, isize taps, isize k) {
  s64 depth, count = 0;
  if (std::min({n, taps, k}) < 0 || !checked_mul(taps, k, &depth) || depth > INT32_MAX) return std::nullopt;
  AlignedBuffer starts(allocation_bytes(s64{n} + 1, sizeof(s64)));
  if (!starts.data()) return std::nullopt;
  s64* start = reinterpret_cast<s64*>(starts.data());
  for (isize i = 0; i < n; ++i) {
    start[i] = count;
    count += std::count_if(dense + i * depth, dense + (i + 1) * depth, [](T v) { return v != 0; });
  }
  start[n] = count;
  AlignedBuffer columns(allocation_bytes(count, sizeof(s32))), values(allocation_bytes(count, sizeof(T)));
  if (count > 0 && (!columns.data() || !values.data())) return std::nullopt;
  s32* column = reinterpret_cast<s32*>(columns.data());
  T* value = reinterpret_cast<T*>(values.data());
  for (isize i = 0; i < n; ++i) {
    for (s64 c = 0; c < depth; ++c) {
      if (dense[i * depth + c] == 0) continue;
      *column++ = static_cast<s32>(c);
      *value++ = dense[i * depth + c];
    }
  }
  return OwnedCsr<T>{n, taps, k, static_cast<isize>(count), std::move(starts), std::move(columns), std::move(values)};
}

template <class T>
f64 fill(const Csr<T>& csr, Block block) {
  s64 values = 0, held = 0;  // in all blocks; not 0
  for (isize row = 0; row < csr.n; row += block.rows) {
    const isize rows = std::min<isize>(block.rows, csr.n - row);
    // The rows of the blocks are merged by column: `at` is where each has come to.
    s64 at[8];
    for (isize r = 0; r < rows; ++r) at[r] = csr.starts[row + r];
    for (;;) {
      s32 first = INT32_MAX;
      for (isize r = 0; r < rows; ++r) {
        const s64 end = csr.starts[row + r + 1];
        while (at[r] < end && csr.values[at[r]] == 0) ++at[r];
        if (at[r] < end) first = std::min(first, csr.columns[at[r]]);
      }
      if (first == INT32_MAX) break;
      const isize line = first % csr.k / block.lines * block.lines;
      const isize lines = std::min<isize>(block.lines, csr.k - line);
      const s64 stop = first - first % csr.k + line + lines;
      values += rows * lines;
      for (isize r = 0; r < rows; ++r)
        for (; at[r] < csr.starts[row + r + 1] && csr.columns[at[r]] < stop; ++at[r]) held += csr.values[at[r]] != 0;
    }
  }
  return values == 0 ? 1 : static_cast<f64>(held) / static_cast<f64>(values);
}

template <class T>
Block block_of(const Csr<T>& csr, f64 least) {
  for (const Block block : {Block{8, 1}, Block{1, 4}, Block{4, 1}})
    if (fill(csr, block) >= least) return block;
  return {};
}

#define WHIT_SPMM_CSR(T)                                                             \
  template bool valid(const Csr<T>&);                                                \
  template std::optional<OwnedCsr<T>> csr_from_dense(const T*, isize, isize, isize); \
  template f64 fill(const Csr<T>&, Block);                                           \
  template Block block_of(const Csr<T>&, f64);
WHIT_SPMM_CSR(f32)
WHIT_SPMM_CSR(s8)
#undef WHIT_SPMM_CSR

}  // namespace whit::spmm
