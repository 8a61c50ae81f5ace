#include "kernels/spmm_s8/column.h"

#include <cstring>

namespace whit::spmm_s8 {
namespace {

/// Where a row has come to.
struct Cursor {
  s64 at, end;
};

constexpr s64 kDone = INT64_MAX;
constexpr int kMostLanes = 16;

/// The steps of the slices of a matrix, in order.
class Slices {
 public:
  Slices(const Kernel& kernel, const Csr<s8>& csr)
      : csr_(csr), lanes_(kernel.lanes), lines_(kernel.layout.lines), multiple_(kernel.layout.multiple) {}

  /// Calls slice(rows [lanes]) for each, then step(base) for each of its steps, and, for entries that are there,
  /// entry(number within the step, place, first weight of the CSR, weight behind the last).
  template <class OnSlice, class OnStep, class OnEntry>
  void each(const OnSlice& on_slice, const OnStep& on_step, const OnEntry& on_entry) const {
    spmm::RowOfBand rows[spmm::kColumnBand];
    for (isize first = 0; first < csr_.n; first += spmm::kColumnBand) {
      const isize filled = spmm::sort_band(csr_.n, first, lanes_, [&](isize row) { return entries(row); }, rows);
      for (isize i = 0; i < filled; i += lanes_) {
        on_slice(rows + i);
        steps(rows + i, on_step, on_entry);
      }
    }
  }

 private:
  /// The set of lines of the next weight, past zeros.
  s64 next(Cursor& cursor) const {
    while (cursor.at < cursor.end && csr_.values[cursor.at] == 0) ++cursor.at;
    return cursor.at < cursor.end ? csr_.columns[cursor.at] / lines_ : kDone;
  }
  void skip(Cursor& cursor, s64 set) const {
    while (cursor.at < cursor.end && csr_.columns[cursor.at] / lines_ == set) ++cursor.at;
  }
  u32 entries(isize row) const {
    Cursor cursor{csr_.starts[row], csr_.starts[row + 1]};
    u32 count = 0;
    for (s64 set; (set = next(cursor)) != kDone; ++count) skip(cursor, set);
    return count;
  }

  template <class OnStep, class OnEntry>
  void steps(const spmm::RowOfBand* rows, const OnStep& on_step, const OnEntry& on_entry) const {
    Cursor cursors[kMostLanes];
    for (isize l = 0; l < lanes_; ++l) {
      const isize row = static_cast<isize>(rows[l].row);
      cursors[l] = row < csr_.n ? Cursor{csr_.starts[row], csr_.starts[row + 1]} : Cursor{0, 0};
    }
    for (;;) {
      s64 base = kDone;
      for (isize l = 0; l < lanes_; ++l) base = std::min(base, next(cursors[l]));
      if (base == kDone) return;
      on_step(base);
      for (isize e = 0; e < multiple_ * lanes_; ++e) {
        Cursor& cursor = cursors[e % lanes_];
        const s64 set = next(cursor);
        if (set == kDone || set - base > 255) continue;
        const s64 begin = cursor.at;
        skip(cursor, set);
        on_entry(e, set - base, begin, cursor.at);
      }
    }
  }

  const Csr<s8>& csr_;
  isize lanes_, lines_, multiple_;
};

/// The head of a stream of this many steps; false if it does not fit.
bool lay_out(const Kernel& kernel, const Csr<s8>& csr, s64 steps, ColumnStream* head, std::size_t* bytes) {
  if (csr.n > INT32_MAX || !fits_column(kernel, csr.taps, csr.k) || steps > UINT32_MAX) return false;
  const s64 slices = ceil_div(csr.n, isize{kernel.lanes}), entries = s64{kernel.lanes} * kernel.layout.multiple;
  s64 at = sizeof(ColumnStream);
  const auto part = [&at](s64 count, s64 size, u32* offset) {
    if (at > UINT32_MAX) return false;
    *offset = static_cast<u32>(at);
    at = (at + count * size + 63) / 64 * 64;
    return true;
  };
  *head = {};
  head->n = static_cast<u32>(csr.n);
  if (!part(slices * kernel.lanes, sizeof(s32), &head->bias) ||
      !part(slices * kernel.lanes, sizeof(u32), &head->rows) || !part(slices + 1, sizeof(u32), &head->starts) ||
      !part(steps, sizeof(u16), &head->bases) || !part(steps * entries, sizeof(u8), &head->places) ||
      !part(steps * entries * kernel.layout.lines, sizeof(s8), &head->values))
    return false;
  *bytes = static_cast<std::size_t>(at);
  return at <= PTRDIFF_MAX;
}

s64 count_steps(const Kernel& kernel, const Csr<s8>& csr) {
  s64 steps = 0;
  Slices(kernel, csr).each([](const spmm::RowOfBand*) {}, [&](s64) { ++steps; }, [](isize, s64, s64, s64) {});
  return steps;
}

}  // namespace

bool fits_column(const Kernel& kernel, isize taps, isize k) {
  return taps == 1 && k <= isize{kernel.layout.lines} << 16;
}

std::size_t column_bytes(const Kernel& kernel, const Csr<s8>& csr) {
  ColumnStream head;
  std::size_t bytes;
  if (!lay_out(kernel, csr, 0, &head, &bytes)) return SIZE_MAX;  // before all weights are walked through
  return lay_out(kernel, csr, count_steps(kernel, csr), &head, &bytes) ? bytes : SIZE_MAX;
}

void pack_column(const Kernel& kernel, const Csr<s8>& csr, const s32* bias, s32 zero_point, std::byte* packed) {
  ColumnStream head;
  std::size_t bytes;
  if (!lay_out(kernel, csr, count_steps(kernel, csr), &head, &bytes)) return;
  std::memset(packed, 0, bytes);
  std::memcpy(packed, &head, sizeof head);
  s32* first_sum = reinterpret_cast<s32*>(packed + head.bias);
  u32* row_of = reinterpret_cast<u32*>(packed + head.rows);
  u32* start = reinterpret_cast<u32*>(packed + head.starts);
  u16* const bases = reinterpret_cast<u16*>(packed + head.bases);
  u8* const places = reinterpret_cast<u8*>(packed + head.places);
  s8* const values = reinterpret_cast<s8*>(packed + head.values);
  const isize lanes = kernel.lanes, lines = kernel.layout.lines, entries = lanes * kernel.layout.multiple;
  s64 steps = 0;
  Slices(kernel, csr)
      .each(
          [&](const spmm::RowOfBand* rows) {
            *start++ = static_cast<u32>(steps);
            for (isize l = 0; l < lanes; ++l) {
              const isize row = static_cast<isize>(rows[l].row);
              *row_of++ = rows[l].row;
              *first_sum++ = row < csr.n ? bias_without_zero_point(csr, row, bias, zero_point) : 0;
            }
          },
          [&](s64 base) { bases[steps++] = static_cast<u16>(base); },
          [&](isize e, s64 place, s64 begin, s64 end) {
            const s64 at = (steps - 1) * entries + e;
            places[at] = static_cast<u8>(place);
            for (s64 i = begin; i < end; ++i) values[at * lines + csr.columns[i] % lines] = csr.values[i];
          });
  *start = static_cast<u32>(steps);
}

}  // namespace whit::spmm_s8
