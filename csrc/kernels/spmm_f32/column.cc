#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/spmm_f32/kernel.h"

namespace whit::spmm_f32 {
namespace {

using Row = spmm::RowOfBand;

/// The rows of the band that begins with `first`, in slices.
isize sort_band(const Csr<f32>& csr, isize first, isize lanes, Row (&rows)[kColumnBand]) {
  const auto count = [&](isize row) {
    const f32* values = csr.values.data();
    return static_cast<u32>(
        std::count_if(values + csr.starts[row], values + csr.starts[row + 1], [](f32 v) { return v != 0; }));
  };
  return spmm::sort_band(csr.n, first, lanes, count, rows);
}

/// The head of a stream of this many steps; false if it does not fit.
bool lay_out(const Csr<f32>& csr, isize lanes, s64 steps, ColumnStream* head, std::size_t* bytes) {
  if (csr.n > INT32_MAX || csr.taps != 1 || csr.k > 65536 || steps > UINT32_MAX) return false;
  const s64 slices = ceil_div(csr.n, lanes);
  s64 at = sizeof(ColumnStream);
  const auto part = [&at](s64 count, s64 size, u32* offset) {
    if (at > UINT32_MAX) return false;
    *offset = static_cast<u32>(at);
    at = (at + count * size + 63) / 64 * 64;
    return true;
  };
  *head = {};
  head->n = static_cast<u32>(csr.n);
  if (!part(slices * lanes, sizeof(f32), &head->bias) || !part(slices * lanes, sizeof(u32), &head->rows) ||
      !part(slices, sizeof(Slice), &head->slices) || !part(steps * lanes, sizeof(u16), &head->places) ||
      !part(steps * lanes, sizeof(f32), &head->values))
    return false;
  *bytes = static_cast<std::size_t>(at);
  return at <= PTRDIFF_MAX;
}

s64 count_steps(const Csr<f32>& csr, isize lanes) {
  Row rows[kColumnBand];
  s64 steps = 0;
  for (isize first = 0; first < csr.n; first += kColumnBand) {
    const isize filled = sort_band(csr, first, lanes, rows);
    for (isize i = 0; i < filled; i += lanes) steps += rows[i].count;
  }
  return steps;
}

}  // namespace

std::size_t column_bytes(const Csr<f32>& csr, isize lanes) {
  ColumnStream head;
  std::size_t bytes;
  return lay_out(csr, lanes, count_steps(csr, lanes), &head, &bytes) ? bytes : SIZE_MAX;
}

void pack_column(const Csr<f32>& csr, isize lanes, const f32* bias, std::byte* packed) {
  ColumnStream head;
  std::size_t bytes;
  const s64 steps = count_steps(csr, lanes);
  if (!lay_out(csr, lanes, steps, &head, &bytes)) return;
  std::memset(packed, 0, bytes);
  std::memcpy(packed, &head, sizeof head);
  f32* const starts = reinterpret_cast<f32*>(packed + head.bias);
  u32* const row_of = reinterpret_cast<u32*>(packed + head.rows);
  Slice* slice = reinterpret_cast<Slice*>(packed + head.slices);
  u16* const places = reinterpret_cast<u16*>(packed + head.places);
  f32* const values = reinterpret_cast<f32*>(packed + head.values);
  std::fill_n(values, steps * lanes, -0.0f);  // -0 * 0 changes no sum, 0 * 0 would change -0
  Row rows[kColumnBand];
  u32 step = 0;
  for (isize first = 0; first < csr.n; first += kColumnBand) {
    const isize filled = sort_band(csr, first, lanes, rows);
    for (isize i = 0; i < filled; i += lanes, ++slice) {
      *slice = {step, rows[i + lanes - 1].count, rows[i].count};
      for (isize l = 0; l < lanes; ++l) {
        const isize row = static_cast<isize>(rows[i + l].row);
        row_of[first + i + l] = rows[i + l].row;
        if (row == csr.n) continue;
        starts[first + i + l] = bias ? bias[row] : 0;
        s64 at = s64{step} * lanes + l;
        for (s64 e = csr.starts[row]; e < csr.starts[row + 1]; ++e) {
          if (csr.values[e] == 0) continue;
          places[at] = static_cast<u16>(csr.columns[e]);
          values[at] = csr.values[e];
          at += lanes;
        }
      }
      step += slice->steps;
    }
  }
}

}  // namespace whit::spmm_f32
