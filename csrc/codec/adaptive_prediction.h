#pragma once
// Linear prediction of weights. The rows of a matrix are taken for samples of one Gaussian vector: from the covariance
// of the rows before, what is known of a row says what its next value should be.

#include <vector>

#include "codec/bits.h"

namespace whit::codec {

class LinearPrediction {
 public:
  static constexpr std::size_t kColumns = 384;  ///< in longer rows nothing is predicted

  /// Nor is anything predicted in rows of one value, or if there are fewer rows than columns.
  LinearPrediction(std::size_t rows, std::size_t columns);

  bool is_active() const { return columns_ > 0; }
  /// The next value, in 1/256, within +-2^15.
  s32 predict() const;
  /// It is `value`, within +-128, and predict() said `predicted`.
  void update(s32 value, s32 predicted);

 private:
  void end_row();
  /// The Cholesky factor of the covariance: row i times the news before it is what value i should be.
  void factor();

  std::size_t columns_ = 0;  // 0: no prediction
  std::size_t column_ = 0, rows_ = 0, next_ = 4;
  std::vector<s32> row_;      // this row
  std::vector<s32> news_;     // what of it was not predicted, over the diagonal of the factor
  std::vector<u64> moments_;  // sums of products of two columns, the lower triangle, in two's complement
  std::vector<s32> factor_;   // lower triangle
};

}  // namespace whit::codec
