#include "codec/row_prediction.h"

#include <algorithm>
#include <cstdlib>

namespace whit::codec {
namespace {

// The expected coefficients count like so many columns of the row.
constexpr s64 kPrior = s64{300} << 16;

}  // namespace

RowPrediction::RowPrediction(std::size_t rows, std::size_t columns) {
  if (columns < kLeastColumns || columns > kMostColumns || rows < 16) return;
  columns_ = columns;
  kept_.resize(std::min(rows, kKept) * columns);
  row_.resize(columns);
  products_.resize(kKept);
  begin_row();
}

void RowPrediction::update(s32 value) {
  if (columns_ == 0) return;
  const s64 missed = value * 256 - next_;
  error_ += static_cast<u64>(missed * missed);
  energy_ += static_cast<u64>(value * value) << 16;
  row_[column_++] = value;
  if (column_ == columns_) {
    end_row();
  } else if (column_ % kBlock == 0) {
    if (column_ == std::max(2 * searched_, kBlock))
      search();
    else
      add_moments(column_ - kBlock, column_);
    solve();
  }
  next_ = weighted_sum();
}

void RowPrediction::begin_row() {
  column_ = searched_ = 0;
  error_ = energy_ = 0;
  std::fill(products_.begin(), products_.end(), 0);
  moments_ = {};
  with_row_ = {};
  others_ = {};
  expected_ = {};
  for (std::size_t k = 0; k < std::min(kLast, rows_); ++k) {
    others_[k] = row_before(k + 1);
    expected_[k] = usual_[k] * size_ / 256;
  }
  coefficients_ = expected_;
}

void RowPrediction::end_row() {
  if (energy_ > 0) {
    size_ = square_root(energy_ / columns_);
    for (std::size_t k = 0; k < std::min(kLast, rows_); ++k)
      usual_[k] += (coefficients_[k] * 256 / size_ - usual_[k]) / 8;
    gain_ += 65536 - static_cast<s64>(error_ / (energy_ >> 16));
  }
  s16* kept = kept_.data() + rows_ % kKept * columns_;
  for (std::size_t i = 0; i < columns_; ++i)
    kept[i] = static_cast<s16>(std::clamp<s64>(row_[i] * 65536 / size_, -4096, 4096));
  ++rows_;
  begin_row();
}

void RowPrediction::add_moments(std::size_t begin, std::size_t end) {
  for (std::size_t i = 0; i < kAll && others_[i]; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      s64 sum = 0;
      for (std::size_t c = begin; c < end; ++c) sum += others_[i][c] * others_[j][c];
      moments_[i][j] += sum;
      moments_[j][i] = moments_[i][j];
    }
    for (std::size_t c = begin; c < end; ++c) with_row_[i] += others_[i][c] * row_[c];
  }
}

void RowPrediction::search() {
  std::array<std::size_t, kAlike> found{};
  std::array<s64, kAlike> best{};  // the largest products, and how far back
  for (std::size_t distance = kLast + 1; distance <= std::min(rows_, kKept); ++distance) {
    const s16* other = row_before(distance);
    s64& product = products_[distance - 1];
    for (std::size_t c = searched_; c < column_; ++c) product += other[c] * row_[c];
    const s64 size = std::abs(product);
    if (size <= best.back()) continue;
    std::size_t k = kAlike - 1;
    for (; k > 0 && size > best[k - 1]; --k) {
      best[k] = best[k - 1];
      found[k] = found[k - 1];
    }
    best[k] = size;
    found[k] = distance;
  }
  searched_ = column_;
  for (std::size_t k = 0; k < kAlike; ++k) {
    // Three times what chance comes to: the root of 65536 times the squares of this row.
    const u64 size = static_cast<u64>(best[k]) >> 8;
    others_[kLast + k] = size * size > 9 * (energy_ >> 16) ? row_before(found[k]) : nullptr;
    coefficients_[kLast + k] = 0;
  }
  moments_ = {};
  with_row_ = {};
  add_moments(0, column_);
}

// Least squares with a prior, by Gauss and Seidel from the last solution: rows are far from being parallel.
void RowPrediction::solve() {
  for (int sweep = 0; sweep < 2; ++sweep) {
    for (std::size_t i = 0; i < kAll && others_[i]; ++i) {
      s64 rest = with_row_[i] * (1 << 24) + kPrior * (expected_[i] - coefficients_[i]);
      for (std::size_t j = 0; j < kAll && others_[j]; ++j) rest -= moments_[i][j] * coefficients_[j];
      coefficients_[i] = std::clamp<s64>(coefficients_[i] + rest / (moments_[i][i] + kPrior), -(1 << 23), 1 << 23);
    }
  }
}

s32 RowPrediction::weighted_sum() const {
  s64 sum = 0;
  for (std::size_t k = 0; k < kAll && others_[k]; ++k) sum += coefficients_[k] * others_[k][column_];
  return static_cast<s32>(std::clamp<s64>(sum >> 16, -(1 << 15), 1 << 15));
}

}  // namespace whit::codec
