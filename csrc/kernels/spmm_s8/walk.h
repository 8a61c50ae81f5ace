#pragma once
// The walk over blocks, tiles of pixels, bands and runs that the kernels share; local to the file that includes it. A
// Body has
//     kRows, kSets          rows of an entry; lines from one set of lines to the next
//     kStep, kVectors       pixels of a vector, vectors of a tile
//     kPixelBytes           of a line
//     kEntryValues, kValueBytes   values of an entry, and the bytes of one as row() reads it
//     row<V>(run)           the sums of a run of entries, V vectors of pixels

#include <type_traits>

#include "kernels/simd_f32/unroll.h"
#include "kernels/simd_s8/partial.h"
#include "kernels/spmm_s8/kernel.h"

namespace whit::spmm_s8 {
namespace {

/// The entries of a group of rows in a block, and where their sums go.
struct RunOfEntries {
  const u8* places;
  const std::byte* values;
  isize count;
  const isize* at;    // of a place, from `lines`, in bytes
  const s8* lines;    // from the tile's first pixel on
  isize line_stride;  // bytes
  s32* acc;           // from the tile's first pixel on
  isize acc_stride;
  const s32* bias;  // [kRows]; null if sums go on with acc
  isize limit;      // of Head

  WHIT_INLINE const s8* x(isize i) const { return lines + at[places[i]]; }
  template <class T>
  WHIT_INLINE const T* value(isize i) const {
    return reinterpret_cast<const T*>(values) + i;
  }
};

/// 64 values of s4 (spmm::Value) as T.
template <class T>
WHIT_INLINE void widen(const u8* nibbles, T* values) {
  constexpr isize kHalf = spmm::kNibbles / 2;
  for (isize i = 0; i < kHalf; ++i) {
    values[i] = static_cast<T>(((nibbles[i] & 15) ^ 8) - 8);
    values[i + kHalf] = static_cast<T>(((nibbles[i] >> 4) ^ 8) - 8);
  }
}

/// The values of runs: where they are, or where s4 are widened to, those of some runs at once.
template <class T, int kEntryValues>
class Values {
 public:
  /// Of entries up to `end`.
  WHIT_INLINE Values(const std::byte* list, bool s4, isize end) : list_(list), s4_(s4), end_(end * kEntryValues) {}

  WHIT_INLINE const std::byte* of_run(isize entry, isize count) {
    const isize first = entry * kEntryValues, last = first + count * kEntryValues;
    if (!s4_) return list_ + first * isize{sizeof(T)};
    if (last > widened_end_) fill(first);
    return reinterpret_cast<const std::byte*>(buffer_ + (first - widened_));
  }

 private:
  static constexpr isize kBlock = spmm::kNibbles, kMost = 2048;
  static_assert(256 * kEntryValues + kBlock <= kMost);

  [[gnu::noinline]] void fill(isize first) {
    widened_ = first / kBlock * kBlock;
    const isize end = (end_ + kBlock - 1) / kBlock * kBlock;
    widened_end_ = end - widened_ < kMost ? end : widened_ + kMost;
    const u8* nibbles = reinterpret_cast<const u8*>(list_) + widened_ / 2;
    for (isize i = 0; i < widened_end_ - widened_; i += kBlock) widen(nibbles + i / 2, buffer_ + i);
  }

  const std::byte* list_;
  bool s4_;
  isize end_, widened_ = 0, widened_end_ = 0;
  alignas(64) T buffer_[kMost];
};

/// Bands [band, band_end) of a block, V vectors of pixels.
template <class Body, int V>
[[gnu::noinline]] void add_block(const spmm::Stream& stream, const RunOfEntries& of, bool s4, isize block, isize band,
                                 isize band_end) {
  constexpr isize kBandGroups = spmm::Layout().band;
  using Value = std::conditional_t<Body::kValueBytes == 2, s16, s8>;
  RunOfEntries entries = of;
  const spmm::Start* start = stream.at<spmm::Start>(stream.starts) + block * static_cast<isize>(stream.bands);
  Values<Value, Body::kEntryValues> values(stream.at<std::byte>(stream.value_list), s4,
                                           static_cast<isize>(start[band_end].entry));
  const s32* const bias = stream.at<s32>(stream.bias);
  isize entry = static_cast<isize>(start[band].entry);
  for (; band < band_end; ++band) {
    const spmm::Run* run = stream.at<spmm::Run>(stream.run_list) + start[band].run;
    const spmm::Run* const end = stream.at<spmm::Run>(stream.run_list) + start[band + 1].run;
    for (; run < end; ++run) {
      const isize row = (band * kBandGroups + run->group) * Body::kRows;
      entries.count = run->count;
      entries.places = stream.at<u8>(stream.place_list) + entry;
      entries.values = values.of_run(entry, entries.count);
      entries.acc = of.acc + row * of.acc_stride;
      entries.bias = block == 0 ? bias + row : nullptr;
      Body::template row<V>(entries);
      entry += entries.count;
    }
  }
}

template <class Body, int V>
WHIT_INLINE void with_vectors(int vectors, const spmm::Stream& stream, const RunOfEntries& of, bool s4, isize block,
                              isize band, isize band_end) {
  if constexpr (V > 1) {
    if (vectors < V) return with_vectors<Body, V - 1>(vectors, stream, of, s4, block, band, band_end);
  }
  add_block<Body, V>(stream, of, s4, block, band, band_end);
}

template <class Body>
WHIT_INLINE void walk(const Args& args, isize n_begin, isize n_end, isize pixels) {
  const Head& head = *reinterpret_cast<const Head*>(args.packed);
  const spmm::Stream& stream = spmm::stream(args.packed + sizeof(Head));
  constexpr isize kRowStep = isize{Body::kRows} * spmm::Layout().band;
  const isize band = n_begin / kRowStep, band_end = (n_end + kRowStep - 1) / kRowStep;
  const isize vectors = (pixels + Body::kStep - 1) / Body::kStep,
              tiles = (vectors + Body::kVectors - 1) / Body::kVectors;
  isize at[256];
  for (isize block = 0; block < static_cast<isize>(stream.blocks); ++block) {
    spmm::place_offsets(stream, block, Body::kSets * args.line_stride, Body::kPixelBytes, args.offsets, at);
    // Spread evenly: 13 vectors are tiles of 4, 3, 3 and 3, not of 4, 4, 4 and 1.
    for (isize i = 0; i < tiles; ++i) {
      const isize begin = vectors * i / tiles, end = vectors * (i + 1) / tiles;
      const RunOfEntries of{.places = nullptr,
                            .values = nullptr,
                            .count = 0,
                            .at = at,
                            .lines = static_cast<const s8*>(args.lines) + begin * Body::kStep * Body::kPixelBytes,
                            .line_stride = args.line_stride,
                            .acc = args.acc + begin * Body::kStep,
                            .acc_stride = args.acc_stride,
                            .bias = nullptr,
                            .limit = head.limit};
      with_vectors<Body, Body::kVectors>(static_cast<int>(end - begin), stream, of, head.s4, block, band, band_end);
    }
  }
}

}  // namespace
}  // namespace whit::spmm_s8
