#pragma once
// The walk over slices and steps that the kernels for one column share; local to the file that includes it. A Body has
//     kLanes, kLines                            rows of a slice, weights of an entry
//     Sums                                      of a slice
//     clear(sums)
//     add_step(sums, x, places, weights)        the entries of a step, x from its base on
//     finish(sums, bias, s32 (&out)[kLanes])    the sums of each row

#include "kernels/simd_f32/unroll.h"
#include "kernels/spmm_s8/column.h"

namespace whit::spmm_s8 {
namespace {

template <class Body>
WHIT_INLINE void column(const Args& args, isize n_begin, isize n_end) {
  constexpr isize kLanes = Body::kLanes, kLines = Body::kLines, kStep = column_multiple(Body::kLines) * kLanes;
  const ColumnStream& stream = *reinterpret_cast<const ColumnStream*>(args.packed + sizeof(Head));
  const u32* const start = stream.at<u32>(stream.starts);
  s32* const acc = args.acc;
  const isize acc_stride = args.acc_stride;
  for (isize slice = n_begin / kLanes; slice * kLanes < n_end; ++slice) {
    const isize first = static_cast<isize>(start[slice]);
    const u16 *base = stream.at<u16>(stream.bases) + first, *const end =
                                                                stream.at<u16>(stream.bases) + start[slice + 1];
    const u8* place = stream.at<u8>(stream.places) + first * kStep;
    const s8* weight = stream.at<s8>(stream.values) + first * kStep * kLines;
    typename Body::Sums sums;
    Body::clear(sums);
    for (; base < end; ++base, place += kStep, weight += kStep * kLines)
      Body::add_step(sums, static_cast<const s8*>(args.lines) + isize{*base} * kLines, place, weight);
    s32 out[kLanes];
    Body::finish(sums, stream.at<s32>(stream.bias) + slice * kLanes, out);
    const u32* const row = stream.at<u32>(stream.rows) + slice * kLanes;
    WHIT_UNROLL for (int l = 0; l < kLanes; ++l) {
      if (row[l] < stream.n) acc[static_cast<isize>(row[l]) * acc_stride] = out[l];
    }
  }
}

}  // namespace
}  // namespace whit::spmm_s8
