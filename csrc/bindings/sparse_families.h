#pragma once
// The two kinds of sparse products: what a CsrMatrix calls, by the type of its values.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/buffer.h"
#include "base/checked.h"
#include "bindings/pools.h"
#include "kernels/spmm/csr.h"
#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_s8/spmm_s8.h"
#include "model/model.h"

namespace whit::bindings {

using spmm::Csr;
using spmm::OwnedCsr;

/// Throws std::bad_alloc.
inline AlignedBuffer allocate(std::size_t bytes) {
  AlignedBuffer buffer(std::max<std::size_t>(bytes, 1));
  if (!buffer.data()) throw std::bad_alloc();
  return buffer;
}

/// How threads share one product. By rows, parts that have about as many values each, where that makes as many as
/// wanted: then all threads read the same x, and each its own weights. By columns if these are far more.
template <class T>
struct Shares {
  const Csr<T>& csr;
  isize row_step;
  isize threads;
  bool by_columns;

  /// `column_step`: columns that are not worth dividing; `tile`: what a kernel takes at once.
  Shares(const Csr<T>& csr, isize row_step, isize columns, isize column_step, isize tile, isize threads)
      : csr(csr), row_step(row_step), threads(threads) {
    const isize wanted = 4 * threads;
    by_columns = ceil_div(columns, tile) >= wanted ||
                 std::min(ceil_div(columns, column_step), wanted) > std::min(ceil_div(csr.n, row_step), wanted);
  }

  /// Where a thread's rows begin: 0 for the first, n behind the last, multiples of row_step between.
  isize first_row(isize thread) const {
    if (thread == 0 || thread == threads) return thread == 0 ? 0 : csr.n;
    const s64 before = static_cast<s64>(csr.values.size()) / threads * thread;
    const auto row = std::upper_bound(csr.starts.begin(), csr.starts.end(), before) - csr.starts.begin() - 1;
    return std::min(csr.n, round_up(static_cast<isize>(row), row_step));
  }
};

/// f32: x and the product are where the kernel takes them from and leaves them.
struct F32 {
  using Value = f32;
  using Sum = f32;
  using Kernel = spmm_f32::Kernel;
  static constexpr const char* kName = "float32";
  static constexpr DType kData = DType::f32, kSums = DType::f32;

  static spmm_f32::Problem problem(const Csr<f32>& csr) {
    // Only of full blocks: the zeros of others would take part, and x may be infinite.
    return {csr.n, 1, csr.k, 0, spmm::block_of(csr, 1.0)};
  }
  static const Kernel& select(const spmm_f32::Problem& problem, IsaSet isa) { return spmm_f32::select(problem, isa); }
  static const char* name(const Kernel& kernel) { return spmm_f32::name(kernel); }
  static std::size_t packed_bytes(const Kernel& kernel, const Csr<f32>& csr) {
    return spmm_f32::packed_bytes(kernel, csr);
  }
  static void pack(const Kernel& kernel, const Csr<f32>& csr, std::byte* packed) {
    spmm_f32::pack(kernel, csr, nullptr, packed);
  }
  static void multiply(const Kernel& kernel, const Csr<f32>& csr, const std::byte* packed, const f32* x, isize columns,
                       f32* out, int threads) {
    constexpr isize kColumnStep = 16;
    const Shares shares(csr, spmm_f32::row_step(kernel), columns, kColumnStep, spmm_f32::pixel_tile(kernel), threads);
    const LentPool pool(threads);
    if (shares.by_columns) {
      pool->parallel_for(columns, kColumnStep, [&](isize begin, isize end, int) {
        spmm_f32::run(kernel, {packed, x + begin, columns, nullptr, out + begin, columns}, 0, csr.n, end - begin);
      });
      return;
    }
    pool->parallel_for(threads, 1, [&](isize begin, isize end, int) {
      const isize n_begin = shares.first_row(begin), n_end = shares.first_row(end);
      if (n_begin < n_end) spmm_f32::run(kernel, {packed, x, columns, nullptr, out, columns}, n_begin, n_end, columns);
    });
  }
};

/// s8: tiles of x become lines in the kernel's form, and sums are copied from a tile of them.
struct S8 {
  using Value = s8;
  using Sum = s32;
  using Kernel = spmm_s8::Kernel;
  static constexpr const char* kName = "int8";
  static constexpr DType kData = DType::s8, kSums = DType::s32;

  static spmm_s8::Problem problem(const Csr<s8>& csr) {
    int largest = 0;
    for (s8 value : csr.values) largest = std::max(largest, std::abs(static_cast<int>(value)));
    return {csr.n, 1, csr.k, 0, spmm::block_of(csr), largest};
  }
  static const Kernel& select(const spmm_s8::Problem& problem, IsaSet isa) { return spmm_s8::select(problem, isa); }
  static const char* name(const Kernel& kernel) { return spmm_s8::name(kernel); }
  static std::size_t packed_bytes(const Kernel& kernel, const Csr<s8>& csr) {
    return spmm_s8::packed_bytes(kernel, csr);
  }
  static void pack(const Kernel& kernel, const Csr<s8>& csr, std::byte* packed) {
    spmm_s8::pack(kernel, csr, nullptr, 0, packed);
  }
  static void multiply(const Kernel& kernel, const Csr<s8>& csr, const std::byte* packed, const s8* x, isize columns,
                       s32* out, int threads) {
    const isize step = spmm_s8::pixel_step(kernel), most = round_up(spmm_s8::pixel_tile(kernel), step);
    const Shares shares(csr, spmm_s8::row_step(kernel), columns, step, most, threads);
    const isize tile = std::min(most, round_up(shares.by_columns ? ceil_div(columns, isize{threads}) : columns, step));
    const isize tiles = ceil_div(columns, tile);
    const isize line_stride = spmm_s8::line_bytes(kernel, tile);
    const isize line_bytes = round_up(line_stride * spmm_s8::line_count(kernel, csr.k), isize{64});
    const isize acc_rows = round_up(csr.n, isize{spmm_s8::layout(kernel).rows});
    // Lines of each tile, if every thread reads all of them, else of each thread's.
    const AlignedBuffer lines = allocate(allocation_bytes(line_bytes, shares.by_columns ? threads : tiles));
    const AlignedBuffer accs = allocate(allocation_bytes(acc_rows * tile, threads, sizeof(s32)));
    const auto prepare = [&](isize which, isize lines_at) {
      const isize begin = which * tile;
      spmm_s8::lines_from_channels(kernel, x + begin, columns, std::min(tile, columns - begin), csr.k,
                                   lines.data() + lines_at * line_bytes, line_stride);
    };
    const auto compute = [&](isize which, isize lines_at, isize n_begin, isize n_end, int share) {
      const isize begin = which * tile, count = std::min(tile, columns - begin);
      s32* const acc = reinterpret_cast<s32*>(accs.data()) + share * acc_rows * tile;
      spmm_s8::run(kernel, {packed, lines.data() + lines_at * line_bytes, line_stride, nullptr, acc, tile}, n_begin,
                   n_end, count);
      for (isize n = n_begin; n < n_end; ++n)
        std::memcpy(out + n * columns + begin, acc + n * tile, static_cast<std::size_t>(count) * sizeof(s32));
    };
    const LentPool pool(threads);
    if (shares.by_columns) {
      pool->parallel_for(tiles, 1, [&](isize begin, isize end, int share) {
        for (isize i = begin; i < end; ++i) {
          prepare(i, share);
          compute(i, share, 0, csr.n, share);
        }
      });
      return;
    }
    pool->parallel_for(tiles, 1, [&](isize begin, isize end, int) {
      for (isize i = begin; i < end; ++i) prepare(i, i);
    });
    pool->parallel_for(threads, 1, [&](isize begin, isize end, int share) {
      const isize n_begin = shares.first_row(begin), n_end = shares.first_row(end);
      for (isize i = 0; i < tiles && n_begin < n_end; ++i) compute(i, i, n_begin, n_end, share);
    });
  }
};

}  // namespace whit::bindings
