#include "kernels/spmm/stream.h"

#include <algorithm>
#include <cstring>

namespace whit::spmm {
namespace {

constexpr isize kMaxPlaces = 256, kMaxValues = 8;

/// Sizes of a stream but for what its entries take.
struct Shape {
  s64 all, places, blocks, bands;
};

template <class T>
Shape shape_of(const Csr<T>& csr, const Layout& layout) {
  const s64 all = s64{ceil_div(csr.k, layout.lines)} * csr.taps;
  const s64 lines = std::max<s64>(1, layout.block_lines / layout.lines);
  const s64 most = std::min<s64>(std::min<s64>(kMaxPlaces, layout.places), std::max<s64>(1, lines * csr.taps));
  const s64 blocks = std::max<s64>(1, (all + most - 1) / most);
  const s64 step = row_step(layout);
  return {all, std::max<s64>(1, (all + blocks - 1) / blocks), blocks, csr.n / step + (csr.n % step != 0)};
}

/// What a group has in a block of places: which ones, and the values of each, [rows][lines].
template <class T>
struct Gathered {
  bool held[kMaxPlaces];
  T values[kMaxPlaces][kMaxValues];

  isize count() const { return std::count(held, held + kMaxPlaces, true); }

  void gather(const Csr<T>& csr, const Layout& layout, isize group, s64 first, s64 places) {
    std::memset(held, 0, sizeof held);
    if (csr.taps == 0 || csr.k == 0) return;
    const isize row_end = std::min<isize>(csr.n, (group + 1) * layout.rows);
    for (isize row = group * layout.rows; row < row_end; ++row) {
      const s32* begin = csr.columns.data() + csr.starts[row];
      const s32* end = csr.columns.data() + csr.starts[row + 1];
      for (s64 place = first; place < std::min(first + places, first + csr.taps); ++place) {
        const s64 tap = place % csr.taps;
        // Sets of lines that have a place for this tap in the block.
        const s64 set_begin = first > tap ? (first - tap + csr.taps - 1) / csr.taps : 0;
        const s64 set_end = first + places > tap ? (first + places - tap + csr.taps - 1) / csr.taps : 0;
        const s64 line_begin = std::min<s64>(csr.k, set_begin * layout.lines);
        const s64 line_end = std::min<s64>(csr.k, set_end * layout.lines);
        if (line_begin >= line_end) continue;
        const s32* column = std::lower_bound(begin, end, tap * csr.k + line_begin);
        for (; column < end && *column < tap * csr.k + line_end; ++column) {
          const T value = csr.values[column - csr.columns.data()];
          if (value == 0) continue;
          const s64 line = *column - tap * csr.k, set = line / layout.lines;
          const s64 at = set * csr.taps + tap - first;
          if (!held[at]) std::fill_n(values[at], kMaxValues, T{0});
          held[at] = true;
          values[at][(row - group * layout.rows) * layout.lines + line % layout.lines] = value;
        }
      }
    }
  }
};

isize padded(isize count, const Layout& layout) { return round_up(count, layout.multiple); }

/// Bits of a value in the stream.
constexpr s64 value_bits(Value value) {
  return value == Value::f32 ? 32 : value == Value::s16 ? 16 : value == Value::s8 ? 8 : 4;
}

/// The head of a stream of this many runs and entries; false if it does not fit.
template <class T>
bool lay_out(const Csr<T>& csr, const Layout& layout, s64 runs, s64 entries, Stream* head, std::size_t* bytes) {
  const Shape shape = shape_of(csr, layout);
  s64 at = sizeof(Stream);
  const auto part = [&at](s64 count, s64 bits, u32* offset) {
    s64 size;
    if (at > UINT32_MAX || !checked_mul(count, bits, &size)) return false;
    *offset = static_cast<u32>(at);
    return checked_add(at, size / 8 + 64, &at) && ((at &= ~s64{63}), true);
  };
  s64 rows, bands;
  if (csr.n > INT32_MAX || csr.taps > INT32_MAX || csr.k > INT32_MAX || shape.all > INT32_MAX) return false;
  if (entries > UINT32_MAX || runs > UINT32_MAX) return false;
  if (!checked_mul(shape.bands, row_step(layout), &rows) || !checked_mul(shape.blocks, shape.bands, &bands))
    return false;
  *head = {};
  head->n = static_cast<u32>(csr.n), head->taps = static_cast<u32>(csr.taps), head->k = static_cast<u32>(csr.k);
  head->all_places = static_cast<u32>(shape.all);
  head->places = static_cast<u32>(shape.places), head->blocks = static_cast<u32>(shape.blocks);
  head->bands = static_cast<u32>(shape.bands);
  if (!part(rows, 32, &head->bias) || !part(bands + 1, 8 * sizeof(Start), &head->starts) ||
      !part(runs, 8 * sizeof(Run), &head->run_list) || !part(entries, layout.place_bytes ? 16 : 8, &head->place_list) ||
      !part(round_up(entries * layout.rows * layout.lines, s64{kNibbles}), value_bits(layout.value), &head->value_list))
    return false;
  if (static_cast<u64>(at) > PTRDIFF_MAX) return false;
  *bytes = static_cast<std::size_t>(at);
  return true;
}

/// Calls each(block, band, group of the band, count) for every run, in any order of groups.
template <class T, class Each>
void for_each_run(const Csr<T>& csr, const Layout& layout, Each&& each) {
  const Shape shape = shape_of(csr, layout);
  const isize groups = ceil_div(csr.n, layout.rows);
  Gathered<T> gathered;
  for (s64 block = 0; block < shape.blocks; ++block) {
    for (isize group = 0; group < groups; ++group) {
      gathered.gather(csr, layout, group, block * shape.places, shape.places);
      const isize count = padded(gathered.count(), layout);
      if (count > 0 || block == 0) each(block, group / layout.band, group % layout.band, count);
    }
  }
}

/// The runs and entries of all.
template <class T>
void count_all(const Csr<T>& csr, const Layout& layout, s64* runs, s64* entries) {
  *runs = *entries = 0;
  for_each_run(csr, layout, [&](s64, isize, isize, isize count) { ++*runs, *entries += count; });
}

/// Where value v, of [rows][lines], of an entry is in the list of all.
s64 value_index(const Layout& layout, s64 entry, isize v) {
  const isize row = v / layout.lines, line = v % layout.lines, many = layout.multiple;
  const s64 of_many = entry % many;
  return ((entry - of_many) * layout.rows + row * many + of_many) * layout.lines + line;
}

void put(Value value, std::byte* list, s64 index, f32 x) {
  if (value == Value::f32) reinterpret_cast<f32*>(list)[index] = x;
}

void put(Value value, std::byte* list, s64 index, s8 x) {
  if (value == Value::s8) reinterpret_cast<s8*>(list)[index] = x;
  if (value == Value::s16) reinterpret_cast<s16*>(list)[index] = x;
  if (value == Value::s4)
    list[index / kNibbles * (kNibbles / 2) + index % (kNibbles / 2)] |=
        static_cast<std::byte>((x & 15) << (index % kNibbles < kNibbles / 2 ? 0 : 4));
}

void put_place(const Layout& layout, std::byte* list, s64 index, isize place) {
  if (layout.place_bytes) {
    reinterpret_cast<u16*>(list)[index] = static_cast<u16>(place * layout.place_bytes);
  } else {
    reinterpret_cast<u8*>(list)[index] = static_cast<u8>(place);
  }
}

}  // namespace

template <class T>
std::size_t packed_bytes(const Csr<T>& csr, const Layout& layout) {
  s64 runs, entries;
  Stream head;
  std::size_t bytes;
  if (!lay_out(csr, layout, 0, 0, &head, &bytes)) return SIZE_MAX;  // before all blocks are walked through
  count_all(csr, layout, &runs, &entries);
  return lay_out(csr, layout, runs, entries, &head, &bytes) ? bytes : SIZE_MAX;
}

template <class T>
void pack(const Csr<T>& csr, const Layout& layout, const void* bias, std::byte* packed) {
  s64 runs, entries;
  count_all(csr, layout, &runs, &entries);
  Stream head;
  std::size_t bytes;
  if (!lay_out(csr, layout, runs, entries, &head, &bytes)) return;
  std::memset(packed, 0, bytes);
  std::memcpy(packed, &head, sizeof head);
  if (bias) std::memcpy(packed + head.bias, bias, static_cast<std::size_t>(csr.n) * sizeof(s32));

  Start* start = reinterpret_cast<Start*>(packed + head.starts);
  Run* run = reinterpret_cast<Run*>(packed + head.run_list);
  // Runs of a band lie together: first all of them, then each band's are sorted, then their entries follow.
  Start at = {};
  s64 here = -1;
  for_each_run(csr, layout, [&](s64 block, isize band, isize group, isize count) {
    for (; here < block * head.bands + band; ++here) start[here + 1] = at;
    run[at.run++] = {static_cast<u16>(group), static_cast<u16>(count)};
    at.entry += static_cast<u32>(count);
  });
  for (; here < s64{head.blocks} * head.bands; ++here) start[here + 1] = at;

  std::byte* values = packed + head.value_list;
  const isize per_entry = isize{layout.rows} * layout.lines;
  Gathered<T> gathered;
  s64 entry = 0;
  for (s64 block = 0; block < head.blocks; ++block) {
    for (s64 band = 0; band < head.bands; ++band) {
      const Start* const of = start + block * head.bands + band;
      std::sort(run + of[0].run, run + of[1].run,
                [](Run a, Run b) { return a.count != b.count ? a.count > b.count : a.group < b.group; });
      for (u32 each = of[0].run; each < of[1].run;) {
        const isize runs = of[1].run - each >= static_cast<u32>(layout.bundle) ? layout.bundle : 1;
        const isize least = run[each + static_cast<u32>(runs) - 1].count;
        s64 rest = entry + runs * least;  // where what this run has more than the least goes
        for (isize r = 0; r < runs; ++r, ++each) {
          gathered.gather(csr, layout, static_cast<isize>(band * layout.band + run[each].group), block * head.places,
                          head.places);
          isize place = -1, next = 0;
          for (isize e = 0; e < run[each].count; ++e) {
            const s64 at = e < least ? entry + e * runs + r : rest + e - least;
            while (next < kMaxPlaces && !gathered.held[next]) ++next;
            if (next < kMaxPlaces) {
              place = next++;
              for (isize v = 0; v < per_entry; ++v)
                put(layout.value, values, value_index(layout, at, v), gathered.values[place][v]);
            }  // else zeros, at the place of the entry before
            put_place(layout, packed + head.place_list, at, place);
          }
          rest += run[each].count - least;
        }
        entry = rest;
      }
    }
  }
}

isize place_offsets(const Stream& stream, isize block, isize set_stride, isize pixel_stride, const s32* offsets,
                    isize (&at)[256]) {
  const isize taps = std::max<isize>(1, stream.taps), first = block * stream.places;
  const isize places = std::min<isize>(stream.places, stream.all_places - first);
  isize set = first / taps, tap = first % taps;
  for (isize place = 0; place < places; ++place) {
    at[place] = set * set_stride + (offsets ? offsets[tap] * pixel_stride : 0);
    if (++tap == taps) tap = 0, ++set;
  }
  return places;
}

isize split_row(const Stream& stream, const Layout& layout, int parts, int i) {
  if (i <= 0) return 0;
  const isize n = static_cast<isize>(stream.n);
  if (i >= parts) return n;
  const Start* start = stream.at<Start>(stream.starts);
  const u64 entries = start[u64{stream.blocks} * stream.bands].entry, want = entries * static_cast<u64>(i) / parts;
  u64 before = 0;
  for (u32 band = 0; band < stream.bands; ++band) {
    u64 here = 0;
    for (u64 block = 0; block < stream.blocks; ++block) {
      const Start* of = start + block * stream.bands + band;
      here += of[1].entry - of[0].entry;
    }
    if (before + here / 2 >= want) return std::min(n, static_cast<isize>(band) * row_step(layout));
    before += here;
  }
  return n;
}

#define WHIT_SPMM_STREAM(T)                                        \
  template std::size_t packed_bytes(const Csr<T>&, const Layout&); \
  template void pack(const Csr<T>&, const Layout&, const void*, std::byte*);
WHIT_SPMM_STREAM(f32)
WHIT_SPMM_STREAM(s8)
#undef WHIT_SPMM_STREAM

}  // namespace whit::spmm
