#pragma once
// The model of weights for the adaptive coder. A symbol, taken relative to the pivot as a signed number v, is coded in
// bits: is it 0? its sign, how many bits has |v|? (three bits) |v| below its highest bit. Each of them is predicted by
// several counters, which look at it in different contexts, and by a distribution around the value expected; two
// mixtures of these are coded, on average.

#include <vector>

#include "codec/adaptive_distribution.h"
#include "codec/adaptive_prediction.h"
#include "codec/coders.h"
#include "codec/mixing.h"
#include "codec/row_prediction.h"

namespace whit::codec {

/// What is known of a symbol before it is.
class ValueContexts {
 public:
  static constexpr int kCount = 9;
  /// How many contexts of each kind there are, in the order of `at`.
  static constexpr u32 kSizes[kCount] = {1, 128, 128, 256, 256, 256, 256, 256, 256};
  static constexpr u32 kSpreads = 8, kLevels = 8;

  /// The symbols of one plane. `upper`: those of the plane before, or null.
  ValueContexts(const u8* symbols, const u8* upper, u32 pivot, const Values& values);

  /// The contexts of the next symbol.
  void prepare();
  /// That symbol is there now.
  void update();

  u32 at[kCount] = {};
  u32 spread = 0;             ///< how far values are from what is expected around here
  u32 level = 0;              ///< how far from 0 they are expected
  s32 mean = 0;               ///< the value expected, in 1/256
  u32 distances[2] = {1, 1};  ///< how far it will be from there, in 1/16: by channel and column, by the last ones

  /// A symbol as a signed number.
  s32 value_of(std::size_t i) const { return static_cast<s32>((symbols_[i] - pivot_) << shift_) >> shift_; }

 private:
  /// 0 where there is none, nor of the symbol itself.
  s32 before(std::size_t distance) const { return distance - 1 < index_ ? value_of(index_ - distance) : 0; }

  const u8* symbols_;
  const u8* upper_;
  u32 pivot_, shift_;
  std::size_t row_, plane_;
  std::size_t index_ = 0, place_ = 0, rows_ = 0;  // place: within the plane; rows: planes before
  LinearPrediction within_row_;
  RowPrediction from_rows_;  // where that does not predict
  // Sums of distances from what was expected, in 1/16: at each place of a plane, within this plane, and of all, with
  // their mean; and that of the last 16 or so.
  std::vector<u64> columns_;
  u64 channel_ = 0, all_ = 0;
  u32 typical_ = 0, last_ = 0;
  u32 largest_ = 0, peak_ = 0;  // magnitudes in this plane, in those before
};

class ValueModel {
 public:
  ValueModel();

  /// Codes a plane of symbols, from (encoder) or to (decoder) `symbols`. `contexts` is new and about these symbols.
  template <class RangeCoder>
  void run(RangeCoder* coder, ValueContexts* contexts, u8* symbols, u32 pivot, const Values& values);

 private:
  static constexpr int kCounters = ValueContexts::kCount + 2;  // one for each context, a fast one, a calibrating one
  static constexpr int kInputs = kCounters + 3;                // these, two distributions, and a constant
  static constexpr u32 kNodes = 16 + 256;                      // bits of a symbol that are told apart
  static constexpr u32 kSets = 16 + 32;                        // groups of them that share weights
  static constexpr u32 kCalibrated = 32;                       // probabilities that are told apart

  /// A new tensor: what is known counts less than what is to come.
  void begin();
  /// `parts`: what the distributions say.
  template <class RangeCoder>
  int code(RangeCoder* coder, int bit, u32 node, u32 set, const ValueContexts& contexts, const u32 (&parts)[2]);
  template <class RangeCoder>
  s32 code_value(RangeCoder* coder, s32 known, const ValueContexts& contexts);

  const MixingTables& tables_;
  std::vector<Counter> counters_;
  u32 first_[ValueContexts::kCount + 2];  // where the counters of each kind begin
  std::vector<Weights<kInputs>> by_set_, by_node_;
};

// --- The model, written once for the encoder and the decoder. ---

template <class RangeCoder>
int ValueModel::code(RangeCoder* coder, int bit, u32 node, u32 set, const ValueContexts& contexts,
                     const u32 (&parts)[2]) {
  constexpr int kFast = ValueContexts::kCount;
  Counter* counters[kCounters];
  s32 inputs[kInputs];
  counters[0] = &counters_[node];
  for (int k = 1; k < kFast; ++k) {
    counters[k] = &counters_[first_[k] + contexts.at[k] * kNodes + node];
    if (*counters[k] == 0) *counters[k] = without_count(*counters[0]);  // begins with what is known without a context
  }
  counters[kFast] = &counters_[first_[kFast] + node];
  for (int k = 0; k < 2; ++k) inputs[kCounters + k] = tables_.stretch[parts[k] >> 4];
  const u32 said = static_cast<u32>(inputs[kCounters] + 2048) / (4096 / kCalibrated);
  counters[kFast + 1] = &counters_[first_[kFast + 1] + set * kCalibrated + said];
  if (*counters[kFast + 1] == 0) *counters[kFast + 1] = parts[0] << 16;
  for (int k = 0; k < kCounters; ++k) inputs[k] = tables_.stretch[probability(*counters[k]) >> 4];
  inputs[kInputs - 1] = 256;

  auto& by_set = by_set_[set * ValueContexts::kSpreads + contexts.spread];
  auto& by_node = by_node_[node * ValueContexts::kLevels + contexts.level];
  const u32 p = by_set.mix(inputs), q = by_node.mix(inputs);
  bit = coder->code(bit, (p + q) / 2);
  by_set.learn(inputs, bit, p);
  by_node.learn(inputs, bit, q);
  for (int k = 0; k < kCounters; ++k) learn(counters[k], bit, k == kFast ? 30 : MixingTables::kLimit, tables_);
  return bit;
}

template <class RangeCoder>
s32 ValueModel::code_value(RangeCoder* coder, s32 known, const ValueContexts& contexts) {
  Distribution a(contexts.mean, contexts.distances[0]), b(contexts.mean, contexts.distances[1]);
  if (!code(coder, known != 0, 0, 0, contexts, {a.other_than_zero(), b.other_than_zero()})) return 0;
  const int is_negative = code(coder, known < 0, 8, 8, contexts, {a.negative(), b.negative()});
  if (is_negative) {
    a.negate();
    b.negate();
  }
  const auto code_upper = [&](int bit, u32 node, u32 set, u32 low, u32 middle, u32 high) {
    return static_cast<u32>(
        code(coder, bit, node, set, contexts, {a.upper_part(low, middle, high), b.upper_part(low, middle, high)}));
  };
  const u32 known_size = static_cast<u32>(std::abs(known));
  const u32 known_length = static_cast<u32>(std::bit_width(known_size)) - 1;
  u32 node = 1, length = 0;  // of the size, less one bit
  for (u32 k = 4; k > 0; k /= 2) {
    const u32 is_longer =
        code_upper((known_length & k) != 0, node, node, 1u << length, 1u << (length + k), 1u << (length + 2 * k));
    node = node * 2 + is_longer;
    length += is_longer * k;
  }
  u32 size = 1;
  for (u32 k = 0; k < length; ++k) {
    const u32 rest = length - 1 - k;
    size = size * 2 + code_upper((known_size >> rest) & 1, 16 + (1u << length) + size - 1,
                                 16 + length * 4 + std::min(k, 3u), (2 * size) << rest, (2 * size + 1) << rest,
                                 (2 * size + 2) << rest);
  }
  return is_negative ? -static_cast<s32>(size) : static_cast<s32>(size);
}

template <class RangeCoder>
void ValueModel::run(RangeCoder* coder, ValueContexts* contexts, u8* symbols, u32 pivot, const Values& values) {
  begin();
  const u32 mask = (1u << std::min(values.bits, 8)) - 1;
  const auto count = static_cast<std::size_t>(values.elements);
  for (std::size_t i = 0; i < count; ++i) {
    contexts->prepare();
    const s32 value = code_value(coder, contexts->value_of(i), *contexts);  // which the encoder knows
    symbols[i] = static_cast<u8>((static_cast<u32>(value) + pivot) & mask);
    contexts->update();
  }
}

}  // namespace whit::codec
