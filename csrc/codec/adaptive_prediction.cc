#include "codec/adaptive_prediction.h"

#include <algorithm>
#include <bit>

namespace whit::codec {

LinearPrediction::LinearPrediction(std::size_t rows, std::size_t columns) {
  if (columns < 2 || columns > kColumns || rows < columns) return;
  columns_ = columns;
  row_.resize(columns);
  news_.resize(columns);
  moments_.resize(columns * columns);
  factor_.resize(columns * columns);
  factor();
}

s32 LinearPrediction::predict() const {
  const s32* factor = factor_.data() + column_ * columns_;
  s64 sum = 0;
  for (std::size_t k = 0; k < column_; ++k) sum += s64{factor[k]} * news_[k];
  return static_cast<s32>(std::clamp<s64>(sum >> 16, -(1 << 15), 1 << 15));
}

void LinearPrediction::update(s32 value, s32 predicted) {
  if (columns_ == 0) return;
  row_[column_] = value;
  const s64 news = s64{value * 256 - predicted} * 65536 / factor_[column_ * columns_ + column_];
  news_[column_] = static_cast<s32>(std::clamp<s64>(news, -(1 << 26), 1 << 26));
  if (++column_ == columns_) end_row();
}

void LinearPrediction::end_row() {
  column_ = 0;
  u64 energy = 0;
  for (s32 value : row_) energy += static_cast<u64>(value * value);
  if (energy > 0) {
    // Each row counts alike: its root mean square becomes 256.
    const s32 size = square_root((energy << 16) / columns_);
    for (s32& value : row_) value = std::clamp(value * 65536 / size, -4096, 4096);
    for (std::size_t i = 0; i < columns_; ++i)
      for (std::size_t j = 0; j <= i; ++j) moments_[i * columns_ + j] += static_cast<u64>(s64{row_[i] * row_[j]});
  }
  if (++rows_ < next_) return;
  factor();
  next_ = rows_ + std::max<std::size_t>(4, columns_ / 4);
}

void LinearPrediction::factor() {
  // Few rows say little: to them come so many of white noise.
  const u64 noise = u64{columns_ * columns_ / 64 + 3} << 16;
  u64 largest = 0;
  for (std::size_t i = 0; i < columns_; ++i) largest = std::max(largest, moments_[i * columns_ + i]);
  const int shift = static_cast<int>(std::bit_width(largest + noise)) - 40;
  const auto scaled = [shift](u64 x) {
    return shift > 0 ? static_cast<s64>(x) >> shift : static_cast<s64>(x << -shift);
  };
  for (std::size_t i = 0; i < columns_; ++i) {
    s32* row = factor_.data() + i * columns_;
    for (std::size_t j = 0; j <= i; ++j) {
      const s32* other = factor_.data() + j * columns_;
      s64 rest = scaled(moments_[i * columns_ + j] + (i == j ? noise : 0));
      for (std::size_t k = 0; k < j; ++k) rest -= s64{row[k]} * other[k];
      if (i == j)
        row[i] = std::max(1, square_root(static_cast<u64>(std::max(rest, scaled(noise)))));
      else
        row[j] = static_cast<s32>(std::clamp<s64>(rest / other[j], -(1 << 20), 1 << 20));
    }
  }
}

}  // namespace whit::codec
