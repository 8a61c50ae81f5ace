#pragma once
// Rows of f32 rounded to s8 while the model runs ("dynamic quantisation", docs/NUMERICS.md), for gemm and lstm.

#include <vector>

#include "kernels/convert/convert.h"
#include "ops/operator.h"

namespace whit::ops {

/// Up to m rows of k values, each on a grid of its own.
class RoundedRows {
 public:
  /// Where they are in scratch.
  struct Rows {
    s8* values;
    f32* scale;
    s32* zero_point;
  };

  void prepare(const PrepareContext& context, isize m, isize k) {
    m_ = m, k_ = k;
    table_ = &convert::select(context.isa);
    values_bytes_ = round_up(m * k, isize{kAlignment});
    grids_bytes_ = (static_cast<u64>(m) * (sizeof(f32) + sizeof(s32)) + kAlignment - 1) / kAlignment * kAlignment;
  }
  /// Of scratch from its beginning, which a 32-bit system may not have.
  u64 bytes() const { return static_cast<u64>(values_bytes_) + grids_bytes_; }
  const convert::Table& table() const { return *table_; }

  /// The first `rows` of x; without a pool, on this thread.
  Rows make(const f32* x, isize rows, std::byte* scratch, ThreadPool* pool) const {
    f32* const scale = reinterpret_cast<f32*>(scratch + values_bytes_);
    const Rows made{reinterpret_cast<s8*>(scratch), scale, reinterpret_cast<s32*>(scale + m_)};
    const auto round = [&](isize begin, isize end, int) {
      table_->quantize_rows(
          {x + begin * k_, made.values + begin * k_, end - begin, k_, made.scale + begin, made.zero_point + begin});
    };
    pool ? pool->parallel_for(rows, work_grain(k_), round) : round(isize{0}, rows, 0);
    return made;
  }

 private:
  const convert::Table* table_ = nullptr;
  isize m_ = 0, k_ = 0, values_bytes_ = 0;
  u64 grids_bytes_ = 0;
};

/// Of the k weights of each column, modulo 2^32 as products are summed: what the zero points of rows take off.
inline std::vector<s32> column_sums(const s8* weights, isize columns, isize k) {
  std::vector<s32> sums(static_cast<std::size_t>(columns));
  for (s32& of_column : sums) {
    u32 sum = 0;
    for (isize i = 0; i < k; ++i) sum += static_cast<u32>(s32{*weights++});
    of_column = static_cast<s32>(sum);
  }
  return sums;
}

}  // namespace whit::ops
