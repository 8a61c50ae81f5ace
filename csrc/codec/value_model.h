#pragma once
// The model of weights for the adaptive coder. A symbol, taken relative to the pivot as a signed number v, is coded in
// bits: is it 0? how many bits has |v|? (three bits) its sign, |v| below its highest bit. Each of them is predicted by
// several counters, which look at it in different contexts, and their mixture is coded.

#include <array>
#include <vector>

#include "codec/coders.h"
#include "codec/mixing.h"

namespace whit::codec {

/// What is known of a symbol before it is.
class ValueContexts {
 public:
  static constexpr int kCount = 8;
  /// How many contexts of each kind there are, in the order of `at`.
  static constexpr u32 kSizes[kCount] = {1, 128, 128, 256, 256, 256, 256, 256};
  static constexpr u32 kSpreads = 8, kUrgencies = 8;

  /// The symbols of one plane. `upper`: those of the plane before, or null.
  ValueContexts(const u8* symbols, const u8* upper, u32 pivot, const Values& values);

  /// The contexts of the next symbol.
  void prepare();
  /// That symbol is there now.
  void update();

  u32 at[kCount] = {};
  u32 spread = 0;   ///< how large values are around here
  u32 urgency = 0;  ///< how few chances are left to reach the largest magnitude, if every channel does

  /// A symbol as a signed number.
  s32 value_of(std::size_t i) const { return static_cast<s32>((symbols_[i] - pivot_) << shift_) >> shift_; }
  std::size_t index() const { return index_; }

 private:
  /// 0 where there is none, nor of the symbol itself.
  s32 before(std::size_t distance) const { return distance - 1 < index_ ? value_of(index_ - distance) : 0; }

  const u8* symbols_;
  const u8* upper_;
  u32 pivot_, shift_;
  std::size_t row_, plane_;
  std::size_t index_ = 0, place_ = 0, rows_ = 0;  // place: within the plane; rows: planes before
  // Sums of magnitudes: at each place of a plane, within this plane, and of all with their mean in 1/16.
  std::vector<u32> columns_;
  u32 channel_ = 0;
  u64 all_ = 0;
  u32 mean_ = 0;
  u32 largest_ = 0, peak_ = 0;  // magnitudes in this plane, in those before
};

class ValueModel {
 public:
  ValueModel();

  /// Codes a plane of symbols, from (encoder) or to (decoder) `symbols`. `contexts` is new and about these symbols.
  template <class RangeCoder>
  void run(RangeCoder* coder, ValueContexts* contexts, u8* symbols, u32 pivot, const Values& values);

 private:
  static constexpr int kInputs = ValueContexts::kCount + 2;  // one for each context, a fast one, and a constant
  static constexpr u32 kNodes = 16 + 256;                    // bits of a symbol that are told apart
  static constexpr u32 kSets = 16 + 32;                      // groups of them that share weights
  static constexpr u32 kMixed = 3;                           // bits below the highest that are worth a mixture

  /// A new tensor: what is known counts less than what is to come.
  void begin();
  template <class RangeCoder>
  int code(RangeCoder* coder, int bit, u32 node, u32 set, const ValueContexts& contexts);
  template <class RangeCoder>
  int code_plainly(RangeCoder* coder, int bit, u32 node, u32 urgency);

  const MixingTables& tables_;
  std::vector<Counter> counters_;
  u32 first_[ValueContexts::kCount + 1];  // where the counters of each kind begin, then the fast and the plain ones
  std::vector<Weights<kInputs>> weights_;
};

// --- The model, written once for the encoder and the decoder. ---

template <class RangeCoder>
int ValueModel::code(RangeCoder* coder, int bit, u32 node, u32 set, const ValueContexts& contexts) {
  constexpr int kFast = ValueContexts::kCount;
  Counter* counters[kFast + 1];
  s32 inputs[kInputs];
  counters[0] = &counters_[node];
  for (int k = 1; k < kFast; ++k) {
    counters[k] = &counters_[first_[k] + contexts.at[k] * kNodes + node];
    if (*counters[k] == 0) *counters[k] = without_count(*counters[0]);  // begins with what is known without a context
  }
  counters[kFast] = &counters_[first_[kFast] + node];
  for (int k = 0; k <= kFast; ++k) inputs[k] = tables_.stretch[probability(*counters[k]) >> 4];
  inputs[kFast + 1] = 256;
  auto& weights = weights_[set * ValueContexts::kSpreads + contexts.spread];
  const u32 p = weights.mix(inputs);
  bit = coder->code(bit, p);
  weights.learn(inputs, bit, p);
  for (int k = 0; k < kFast; ++k) learn(counters[k], bit, MixingTables::kLimit, tables_);
  learn(counters[kFast], bit, 30, tables_);
  return bit;
}

template <class RangeCoder>
int ValueModel::code_plainly(RangeCoder* coder, int bit, u32 node, u32 urgency) {
  Counter& counter = counters_[first_[ValueContexts::kCount] + (1 + urgency) * kNodes + node];
  bit = coder->code(bit, std::clamp<u32>(probability(counter), 32, 65536 - 32));
  learn(&counter, bit, MixingTables::kLimit, tables_);
  return bit;
}

template <class RangeCoder>
void ValueModel::run(RangeCoder* coder, ValueContexts* contexts, u8* symbols, u32 pivot, const Values& values) {
  begin();
  const u32 mask = (1u << std::min(values.bits, 8)) - 1;
  const auto count = static_cast<std::size_t>(values.elements);
  for (std::size_t i = 0; i < count; ++i) {
    contexts->prepare();
    const s32 known = contexts->value_of(i);  // to the encoder
    const u32 known_size = static_cast<u32>(std::abs(known));
    s32 value = 0;
    if (code(coder, known != 0, 0, 0, *contexts)) {
      const u32 known_length = static_cast<u32>(std::bit_width(known_size)) - 1;
      u32 length = 1;  // of the size, less one bit
      for (int k = 2; k >= 0; --k)
        length = length << 1 | static_cast<u32>(code(coder, (known_length >> k) & 1, length, length, *contexts));
      length &= 7;
      const int is_negative = code(coder, known < 0, 8 + length, 8 + length, *contexts);
      u32 size = 1;
      for (u32 k = 0; k < length; ++k) {
        const int next = (known_size >> (length - 1 - k)) & 1;
        const u32 node = 16 + (1u << length) + size - 1;
        size = size << 1 | static_cast<u32>(k < kMixed ? code(coder, next, node, 16 + length * 4 + k, *contexts)
                                                       : code_plainly(coder, next, node, contexts->urgency));
      }
      value = is_negative ? -static_cast<s32>(size) : static_cast<s32>(size);
    }
    symbols[i] = static_cast<u8>((static_cast<u32>(value) + pivot) & mask);
    contexts->update();
  }
}

}  // namespace whit::codec
