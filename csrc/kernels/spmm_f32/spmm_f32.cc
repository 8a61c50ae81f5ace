#include "kernels/spmm_f32/spmm_f32.h"

#include <algorithm>
#include <iterator>

#include "kernels/copy/transpose.h"
#include "kernels/spmm_f32/kernel.h"

namespace whit::spmm_f32 {
namespace {

constexpr Kernel kKernels[] = {
#define SPMM_F32_LEVEL(isa)
#define SPMM_F32_KERNEL(isa, function, rows, pixels, places, runs) \
  {Isa::isa, #function, function, finish_##isa, rows, pixels, places, runs},
#include "kernels/spmm_f32/kernels.inc"
#undef SPMM_F32_LEVEL
#undef SPMM_F32_KERNEL
};

spmm::Layout layout(const Kernel& kernel) {
  return {.rows = kernel.rows,
          .band = kBandRows / kernel.rows,
          .value = spmm::Value::f32,
          .places = kernel.places,
          .bundle = kernel.runs,
          .place_bytes = kernel.pixels * static_cast<int>(sizeof(f32))};
}

/// `columns` columns of `rows` rows become as many rows.
void transpose(const f32* in, isize in_stride, f32* out, isize out_stride, isize rows, isize columns) {
  constexpr isize kBytes = sizeof(f32);
  copy::transpose_block<u32>(reinterpret_cast<const std::byte*>(in), in_stride * kBytes,
                             reinterpret_cast<std::byte*>(out), out_stride * kBytes, rows, columns);
}

/// How well a kernel suits a problem: less is better.
int rank(const Kernel& kernel, const Problem& problem) {
  const bool column = problem.pixels == 1 && problem.taps == 1 && problem.k <= 65536;
  const bool of_8 = problem.block == Block{8, 1}, of_4 = problem.block == Block{4, 1};
  if (kernel.places == 0) return column && (!of_8 || kernel.rows > 8) ? 0 : 9;
  // 8 rows are good for one pixel, whose lanes they are; for more only where registers hold several vectors of each.
  if (kernel.rows == 8) return of_8 && (problem.pixels == 1 || kernel.pixels > 8) ? 1 : 8;
  if (kernel.rows == 4) return of_4 || of_8 ? 2 : 7;
  return problem.pixels > 0 && problem.pixels <= kernel.pixels ? 4 - (kernel.places == 256) : 5;
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Problem& problem, IsaSet isa) {
  const Kernel* best = nullptr;
  for (const Kernel& kernel : kKernels) {
    if (!isa.has(kernel.isa)) continue;
    if (best && best->isa != kernel.isa) break;
    if (!best || rank(kernel, problem) < rank(*best, problem)) best = &kernel;
  }
  return best ? *best : *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize pixel_tile(const Kernel& kernel) { return kernel.pixels; }

int entry_rows(const Kernel& kernel) { return kernel.places == 0 ? 1 : kernel.rows; }
isize row_step(const Kernel& kernel) { return kernel.places == 0 ? kColumnBand : spmm::row_step(layout(kernel)); }

std::size_t packed_bytes(const Kernel& kernel, const Csr<f32>& csr) {
  return kernel.places == 0 ? column_bytes(csr, kernel.rows) : spmm::packed_bytes(csr, layout(kernel));
}

void pack(const Kernel& kernel, const Csr<f32>& csr, const f32* bias, std::byte* packed) {
  if (kernel.places == 0) return pack_column(csr, kernel.rows, bias, packed);
  spmm::pack(csr, layout(kernel), bias, packed);
}

void run(const Kernel& kernel, const Args& args, isize n_begin, isize n_end, isize pixels) {
  kernel.function(args, n_begin, n_end, pixels);
}

void lines_from_rows(const Rows& rows, isize begin, isize count, isize k, f32* lines, isize line_stride) {
  const auto row = [&](isize i) {
    if (!rows.offsets) return rows.base + i * rows.row_stride;
    return rows.offsets[i] >= 0 ? rows.base + rows.offsets[i] : rows.pad;
  };
  for (isize i = begin; i < begin + count;) {
    // Rows that are as far apart as the next two.
    isize run = 1, stride = 0;
    if (i + 1 < begin + count) stride = row(i + 1) - row(i);
    while (i + run < begin + count && row(i + run) - row(i + run - 1) == stride) ++run;
    transpose(row(i), stride, lines + (i - begin), line_stride, run, k);
    i += run;
  }
}

void store(const Kernel& kernel, const f32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
           const EpilogueF32& epilogue, f32* out, isize out_stride, isize first_row) {
  constexpr isize kPixels = 16, kColumns = 64;
  f32 block[kPixels * kColumns];
  for (isize p = 0; p < pixels; p += kPixels) {
    const isize rows = std::min(kPixels, pixels - p), row = first_row + p;
    for (isize n = n_begin; n < n_end; n += kColumns) {
      const isize columns = std::min(kColumns, n_end - n);
      transpose(acc + n * acc_stride + p, acc_stride, block, kColumns, columns, rows);
      kernel.finish(epilogue, block, kColumns, columns, rows,
                    epilogue.residual ? epilogue.residual + row * epilogue.residual_stride + n : nullptr,
                    out + row * out_stride + n, out_stride);
    }
  }
}

}  // namespace whit::spmm_f32
