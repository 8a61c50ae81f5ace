#pragma once
// The walk over blocks, tiles of pixels, bands and runs that the kernels share; local to the file that includes it. A
// Body has
//     kRows, kSets          rows of an entry; lines from one set of lines to the next
//     kStep, kVectors       pixels of a vector, vectors of a tile
//     kPixelBytes           of a line
//     row<V>(run)           the sums of a run of entries, V vectors of pixels

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

/// Bands [band, band_end) of a block, V vectors of pixels.
template <class Body, int V>
[[gnu::noinline]] void add_block(const spmm::Stream& stream, const RunOfEntries& of, isize block, isize band,
                                 isize band_end, isize values_per_entry, isize band_groups) {
  RunOfEntries entries = of;
  const spmm::Start* start = stream.at<spmm::Start>(stream.starts) + block * static_cast<isize>(stream.bands);
  const u8* const places = stream.at<u8>(stream.place_list);
  const std::byte* const values = stream.at<std::byte>(stream.value_list);
  const s32* const bias = stream.at<s32>(stream.bias);
  for (; band < band_end; ++band) {
    const spmm::Run* run = stream.at<spmm::Run>(stream.run_list) + start[band].run;
    const spmm::Run* const end = stream.at<spmm::Run>(stream.run_list) + start[band + 1].run;
    entries.places = places + start[band].entry;
    entries.values = values + static_cast<isize>(start[band].entry) * values_per_entry;
    for (; run < end; ++run) {
      const isize row = (band * band_groups + run->group) * Body::kRows;
      entries.count = run->count;
      entries.acc = of.acc + row * of.acc_stride;
      entries.bias = block == 0 ? bias + row : nullptr;
      Body::template row<V>(entries);
      entries.places += entries.count;
      entries.values += entries.count * values_per_entry;
    }
  }
}

template <class Body, int V>
WHIT_INLINE void with_vectors(int vectors, const spmm::Stream& stream, const RunOfEntries& of, isize block, isize band,
                              isize band_end) {
  if constexpr (V > 1) {
    if (vectors < V) return with_vectors<Body, V - 1>(vectors, stream, of, block, band, band_end);
  }
  add_block<Body, V>(stream, of, block, band, band_end, Body::kEntryBytes, spmm::Layout().band);
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
      with_vectors<Body, Body::kVectors>(static_cast<int>(end - begin), stream, of, block, band, band_end);
    }
  }
}

}  // namespace
}  // namespace whit::spmm_s8
