#pragma once
// Prediction of a long row of weights from rows before it: the last ones, since neighbours may resemble each other
// (classes are often listed by kind), and those further back that the row turns out to resemble.

#include <array>
#include <vector>

#include "codec/bits.h"

namespace whit::codec {

class RowPrediction {
 public:
  /// Nothing is predicted in rows that are shorter or longer, or if there are fewer than 16.
  static constexpr std::size_t kLeastColumns = 256, kMostColumns = 8192;

  RowPrediction(std::size_t rows, std::size_t columns);

  /// The next value, in 1/256, within +-2^15; 0 as long as predictions would not have helped.
  s32 predict() const { return gain_ > 0 ? next_ : 0; }
  /// It is `value`, within +-128.
  void update(s32 value);

 private:
  static constexpr std::size_t kLast = 4, kAlike = 12, kAll = kLast + kAlike;  // rows that predict
  static constexpr std::size_t kKept = 1024;                                   // rows that are remembered
  static constexpr std::size_t kBlock = 64;  // columns after which the coefficients are found anew

  const s16* row_before(std::size_t distance) const { return kept_.data() + (rows_ - distance) % kKept * columns_; }
  void begin_row();
  void end_row();
  /// What columns [begin, end) of this row, now known, add to the sums of products.
  void add_moments(std::size_t begin, std::size_t end);
  /// Chooses the rows alike by the columns known so far.
  void search();
  void solve();
  s32 weighted_sum() const;

  std::size_t columns_ = 0;  // 0: no prediction
  std::size_t column_ = 0, rows_ = 0, searched_ = 0;
  std::vector<s16> kept_;                              // the last rows, each with a root mean square of 256
  std::vector<s32> row_;                               // this row
  std::vector<s64> products_;                          // of this row with each of those kept, up to the last search
  std::array<const s16*, kAll> others_{};              // those that predict, null at the end if there are fewer
  std::array<std::array<s64, kAll>, kAll> moments_{};  // sums of their products
  std::array<s64, kAll> with_row_{};                   // and of those with this row
  std::array<s64, kAll> coefficients_{}, expected_{};  // in 2^-16; those that the row began with
  std::array<s64, kLast> usual_{};                     // of rows with a root mean square of 1
  s64 size_ = 256;                                     // root mean square of the last row, in 1/256
  s32 next_ = 0;
  u64 error_ = 0, energy_ = 0;  // sums of squares in 1/65536: of what was not predicted of this row, of all of it
  s64 gain_ = 0;                // what predictions were good for so far
};

}  // namespace whit::codec
