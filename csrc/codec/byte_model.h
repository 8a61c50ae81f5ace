#pragma once
// The model of text and tables for the adaptive coder: each bit of a byte is predicted from the bytes before it, one to
// six of them, from those one record before, and from what followed the same bytes the last time.

#include <vector>

#include "codec/mixing.h"

namespace whit::codec {

class ByteModel {
 public:
  explicit ByteModel(std::size_t count);

  /// Codes `count` bytes, from (encoder) or to (decoder) `bytes`.
  template <class RangeCoder>
  void run(RangeCoder* coder, u8* bytes, std::size_t count);

 private:
  static constexpr int kHashed = 9;              // contexts of bytes before
  static constexpr int kInputs = kHashed + 2;    // and the match, and a constant
  static constexpr std::size_t kLeastMatch = 5;  // bytes

  /// Before bytes[i], of which nothing is known.
  void prepare(const u8* bytes, std::size_t i);
  /// bytes[i] is known.
  void update(const u8* bytes, std::size_t i);

  const MixingTables& tables_;
  std::vector<Counter> counters_;
  std::vector<u32> last_;  // one after where a hash of the last bytes was seen
  Counter by_length_[32];  // that a match goes on
  std::vector<Weights<kInputs>> weights_;
  u32 hashes_[kHashed] = {};
  u32 surprise_[8] = {};                // of the last eight bytes: what each bit's probability lacked, in 1/65536
  std::size_t match_ = 0, length_ = 0;  // the byte that should come next; how many before it agree
};

template <class RangeCoder>
void ByteModel::run(RangeCoder* coder, u8* bytes, std::size_t count) {
  const std::size_t mask = counters_.size() - 1;
  for (std::size_t i = 0; i < count; ++i) {
    prepare(bytes, i);
    const u32 known = bytes[i];  // to the encoder
    const u32 expected = length_ > 0 ? bytes[match_] | 256u : 0;
    // How badly the bytes one record before were predicted: numbers are not like text.
    const u32 level = std::min(7u, (surprise_[i & 7] + surprise_[(i + 4) & 7]) >> 16);
    u32 node = 1, surprise = 0;
    for (int k = 7; k >= 0; --k) {
      Counter* counters[kHashed];
      s32 inputs[kInputs];
      for (int c = 0; c < kHashed; ++c) {
        counters[c] = &counters_[((hashes_[c] ^ node * 0x9e3779b1u) * 0x85ebca6bu >> 8) & mask];
        // What few bits say counts little.
        inputs[c] = tables_.stretch[probability(*counters[c]) >> 4] *
                    static_cast<s32>(std::min<u32>(seen(*counters[c]) + 1, 4)) / 4;
      }
      const bool is_match = expected >> (k + 1) == node;
      const int next = (expected >> k) & 1;
      Counter& goes_on = by_length_[std::min<std::size_t>(length_, 31)];
      const s32 trust = is_match ? tables_.stretch[probability(goes_on) >> 4] : 0;
      inputs[kHashed] = next ? trust : -trust;
      inputs[kHashed + 1] = 256;
      auto& weights = weights_[is_match ? 8 + std::min<std::size_t>(length_, 15) : level];
      const u32 p = weights.mix(inputs);
      const int bit = coder->code((known >> k) & 1, p);
      weights.learn(inputs, bit, p);
      surprise += bit ? 65536 - p : p;
      for (Counter* counter : counters) learn(counter, bit, 250, tables_);
      if (is_match) learn(&goes_on, bit == next, 250, tables_);
      node = node << 1 | static_cast<u32>(bit);
    }
    surprise_[i & 7] = surprise;
    bytes[i] = static_cast<u8>(node);
    update(bytes, i);
  }
}

}  // namespace whit::codec
