#pragma once
// What an spmm_f32 microkernel is to run(), and the packed form of the kernels for one column.

#include "kernels/spmm/column.h"
#include "kernels/spmm_f32/spmm_f32.h"

namespace whit::spmm_f32 {

/// Rows of a band of a stream (spmm::Layout): enough that most runs have about as many entries as the one before, so
/// that the ends of their loops are predicted.
inline constexpr int kBandRows = 128;
using spmm::kColumnBand;

/// What run() does.
using Function = void(const Args& args, isize n_begin, isize n_end, isize pixels);
/// The epilogue of acc[rows][n].
using FinishFunction = void(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                            const f32* residual, f32* out, isize out_stride);

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  FinishFunction* finish;
  int rows, pixels;
  int places;  ///< of a block; 0: for one column, with a ColumnStream of slices of `rows`
  int runs;    ///< of a bundle (spmm::Layout)
};

/// Rows of a slice, one a lane, and the steps of the slice: one weight of each row. Steps from `full` on lack those of
/// some rows, where they have 0.
struct Slice {
  u32 step;         ///< the first one's number
  u32 full, steps;  ///< how many
};

/// Weights for one column. The rows of a band are sorted by the number of their weights, and cut into slices, which
/// follow each other: so the rows of a slice have almost as many. Parts lie at offsets in bytes from here.
struct alignas(64) ColumnStream {
  u32 n;
  u32 bias;    ///< f32 of each lane of each slice
  u32 rows;    ///< u32 of each lane of each slice; n for none
  u32 slices;  ///< Slice
  u32 places;  ///< u16 [steps][lanes]: columns
  u32 values;  ///< f32 [steps][lanes]

  template <class T>
  const T* at(u32 offset) const {
    return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(this) + offset);
  }
};

std::size_t column_bytes(const Csr<f32>& csr, isize lanes);
void pack_column(const Csr<f32>& csr, isize lanes, const f32* bias, std::byte* packed);

#define SPMM_F32_LEVEL(isa) FinishFunction finish_##isa;
#define SPMM_F32_KERNEL(isa, function, rows, pixels, places, runs) Function function;
#include "kernels/spmm_f32/kernels.inc"
#undef SPMM_F32_LEVEL
#undef SPMM_F32_KERNEL

}  // namespace whit::spmm_f32
