#pragma once
// The inner loops of a transposition. Vector types of the compiler, so that the base ISA of every target serves.

#include "kernels/copy/runs.h"

namespace whit::copy {

/// Reads `rows` runs of up to `columns` elements, writes each run as a column:
///     out[j * out_stride + l] = in[l * in_stride + j]    0 <= l < rows, 0 <= j < columns
/// Strides in bytes.
template <class T>
inline void transpose_scalar(const std::byte* in, isize in_stride, std::byte* out, isize out_stride, isize rows,
                             isize columns) {
  for (isize l = 0; l < rows; ++l)
    for (isize j = 0; j < columns; ++j)
      store(out + j * out_stride + l * static_cast<isize>(sizeof(T)),
            load<T>(in + l * in_stride + j * static_cast<isize>(sizeof(T))));
}

using u32x4 = u32 __attribute__((vector_size(16)));
using u16x8 = u16 __attribute__((vector_size(16)));
using u8x16 = u8 __attribute__((vector_size(16)));

/// 4 x 4 elements of 4 bytes.
inline void transpose_tile(const std::byte* in, isize in_stride, std::byte* out, isize out_stride, u32) {
  const u32x4 a = load<u32x4>(in), b = load<u32x4>(in + in_stride);
  const u32x4 c = load<u32x4>(in + 2 * in_stride), d = load<u32x4>(in + 3 * in_stride);
  const u32x4 ac0 = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac1 = __builtin_shufflevector(a, c, 2, 6, 3, 7);
  const u32x4 bd0 = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd1 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
  store<u32x4>(out, __builtin_shufflevector(ac0, bd0, 0, 4, 1, 5));
  store<u32x4>(out + out_stride, __builtin_shufflevector(ac0, bd0, 2, 6, 3, 7));
  store<u32x4>(out + 2 * out_stride, __builtin_shufflevector(ac1, bd1, 0, 4, 1, 5));
  store<u32x4>(out + 3 * out_stride, __builtin_shufflevector(ac1, bd1, 2, 6, 3, 7));
}

/// 4 x 4 elements of 2 bytes.
inline void transpose_tile(const std::byte* in, isize in_stride, std::byte* out, isize out_stride, u16) {
  transpose_scalar<u16>(in, in_stride, out, out_stride, 4, 4);
}

/// 8 x 8 elements of 1 byte.
inline void transpose_tile(const std::byte* in, isize in_stride, std::byte* out, isize out_stride, u8) {
  // Each step doubles how many rows' bytes lie together.
  using u64x2 = u64 __attribute__((vector_size(16)));
  const auto row = [&](isize l) { return reinterpret_cast<u8x16>(u64x2{load<u64>(in + l * in_stride), 0}); };
  const auto pair = [&](isize l) {
    return reinterpret_cast<u16x8>(
        __builtin_shufflevector(row(l), row(l + 1), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  };
  const u16x8 r01 = pair(0), r23 = pair(2), r45 = pair(4), r67 = pair(6);
  const auto low = [](u16x8 x, u16x8 y) {
    return reinterpret_cast<u32x4>(__builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11));
  };
  const auto high = [](u16x8 x, u16x8 y) {
    return reinterpret_cast<u32x4>(__builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15));
  };
  const u32x4 a = low(r01, r23), b = high(r01, r23), c = low(r45, r67), d = high(r45, r67);
  const auto put = [&](isize j, u32x4 v) {  // columns j and j + 1
    std::memcpy(out + j * out_stride, &v, 8);
    std::memcpy(out + (j + 1) * out_stride, reinterpret_cast<const std::byte*>(&v) + 8, 8);
  };
  put(0, __builtin_shufflevector(a, c, 0, 4, 1, 5));
  put(2, __builtin_shufflevector(a, c, 2, 6, 3, 7));
  put(4, __builtin_shufflevector(b, d, 0, 4, 1, 5));
  put(6, __builtin_shufflevector(b, d, 2, 6, 3, 7));
}

/// Few rows: images between [C, HW] and [HW, C] with C = 2, 3 or 4.
template <class T, int rows>
inline void interleave(const std::byte* in, isize in_stride, std::byte* out, isize columns) {
  for (isize j = 0; j < columns; ++j)
    for (int l = 0; l < rows; ++l)
      store(out + (j * rows + l) * static_cast<isize>(sizeof(T)),
            load<T>(in + l * in_stride + j * static_cast<isize>(sizeof(T))));
}

template <class T, int columns>
inline void deinterleave(const std::byte* in, std::byte* out, isize out_stride, isize rows) {
  for (isize l = 0; l < rows; ++l)
    for (int j = 0; j < columns; ++j)
      store(out + j * out_stride + l * static_cast<isize>(sizeof(T)),
            load<T>(in + (l * columns + j) * static_cast<isize>(sizeof(T))));
}

/// As transpose_scalar, in tiles.
template <class T>
inline void transpose_block(const std::byte* in, isize in_stride, std::byte* out, isize out_stride, isize rows,
                            isize columns) {
  constexpr isize size = static_cast<isize>(sizeof(T)), tile = size == 1 ? 8 : 4;
  if (out_stride == rows * size) {
    if (rows == 2) return interleave<T, 2>(in, in_stride, out, columns);
    if (rows == 3) return interleave<T, 3>(in, in_stride, out, columns);
    if (rows == 4) return interleave<T, 4>(in, in_stride, out, columns);
  }
  if (in_stride == columns * size) {
    if (columns == 2) return deinterleave<T, 2>(in, out, out_stride, rows);
    if (columns == 3) return deinterleave<T, 3>(in, out, out_stride, rows);
    if (columns == 4) return deinterleave<T, 4>(in, out, out_stride, rows);
  }
  const isize full_rows = rows / tile * tile, full_columns = columns / tile * tile;
  constexpr isize kBand = 64 / size;  // columns that share a cache line of the input
  for (isize band = 0; band < full_columns; band += kBand) {
    const isize band_end = band + kBand < full_columns ? band + kBand : full_columns;
    for (isize l = 0; l < full_rows; l += tile)
      for (isize j = band; j < band_end; j += tile)
        transpose_tile(in + l * in_stride + j * size, in_stride, out + j * out_stride + l * size, out_stride, T{});
  }
  transpose_scalar<T>(in + full_columns * size, in_stride, out + full_columns * out_stride, out_stride, full_rows,
                      columns - full_columns);
  transpose_scalar<T>(in + full_rows * in_stride, in_stride, out + full_rows * size, out_stride, rows - full_rows,
                      columns);
}

}  // namespace whit::copy
