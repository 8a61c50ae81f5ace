#pragma once
// What the levels share; local to the file that includes it.

#include <cstring>

#include "kernels/bitpack/bitpack.h"
#include "kernels/simd_f32/unroll.h"

namespace whit::bitpack {
namespace {

/// Values from `first` on, a multiple of 8, of a row.
template <class T>
WHIT_INLINE void pack_rest(const Args<T>& args, isize row, isize first) {
  const T* x = args.x + row * args.x_stride;
  u8* bits = args.bits + row * args.bits_stride;
  for (isize c = first; c < args.k; c += 8) {
    const isize count = args.k - c < 8 ? args.k - c : 8;
    u8 byte = 0;
    for (isize i = 0; i < count; ++i) {
      const T threshold = args.thresholds ? args.thresholds[c + i] : args.threshold;
      byte = static_cast<u8>(byte | (x[c + i] < threshold) << i);
    }
    bits[c / 8] = byte;
  }
}

/// Rows with below(x, thresholds) for every kGroup values and the rest of them one by one; both point at kGroup values.
template <isize kGroup, class T, class Below>
WHIT_INLINE void pack_rows(const Args<T>& args, isize begin, isize end, Below below) {
  T same[kGroup];
  for (T& threshold : same) threshold = args.threshold;
  for (isize row = begin; row < end; ++row) {
    const T* x = args.x + row * args.x_stride;
    u8* bits = args.bits + row * args.bits_stride;
    isize c = 0;
    for (; c + kGroup <= args.k; c += kGroup) {
      const auto word = below(x + c, args.thresholds ? args.thresholds + c : same);
      std::memcpy(bits + c / 8, &word, sizeof(word));
    }
    pack_rest(args, row, c);
  }
}

}  // namespace
}  // namespace whit::bitpack
