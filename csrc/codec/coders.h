#pragma once
// Entropy coding of values: they become planes of bytes (planes.h), and one of two coders stores these.

#include <memory>

#include "base/status.h"
#include "codec/bits.h"
#include "codec/encoding.h"

namespace whit::codec {

enum class Coder : u8 {
  blocks = 0,              ///< Huffman or rANS, fast (blocks.h)
  adaptive = 1,            ///< binary contexts, small and slow (value_model.h)
  adaptive_continued = 2,  ///< the same, with what it learned from the adaptive values before
};

/// What is coded: `planes` runs of as many symbols as there are values.
struct Symbols {
  Values values;
  int pivot = 0;  ///< adaptive: the symbol (of the first plane) that the others lie around
  int planes() const { return values.bits <= 8 ? 1 : values.bits / 8; }
  int bits() const { return values.bits <= 8 ? values.bits : 8; }
  u64 count() const { return static_cast<u64>(values.elements) * static_cast<u64>(planes()); }
};

/// Values of more than 8 bits as planes, the most significant byte first. Of f32 and f16 the sign moves to the lowest
/// bit, so that the exponent begins the first plane; integers become 0 -1 1 -2 2 ... -> 0 1 2 3 4 ...
void split_planes(Bytes values, const Symbols& symbols, MutableBytes planes);
void join_planes(Bytes planes, const Symbols& symbols, MutableBytes values);

/// Blocks: the payload is a varint for each block, its size, then the blocks of plane 0, of plane 1, ...
struct BlockTask {
  Bytes block;
  MutableBytes symbols;
};
/// Finds the blocks. What follows them must be zeros that fill up to the smallest payload allowed.
Status find_blocks(Bytes payload, const Symbols& symbols, MutableBytes planes, std::vector<BlockTask>* tasks);

class AdaptiveModel;
/// Decodes adaptive payloads. One object decodes a chain: values that are `adaptive`, then those `adaptive_continued`.
class AdaptiveDecoder {
 public:
  AdaptiveDecoder();
  ~AdaptiveDecoder();
  Status decode(Bytes payload, const Symbols& symbols, MutableBytes planes);

 private:
  std::unique_ptr<AdaptiveModel> model_;
};

/// The same for encoding; the model of each object starts fresh.
class AdaptiveEncoder {
 public:
  AdaptiveEncoder();
  ~AdaptiveEncoder();
  std::vector<std::byte> encode(Bytes planes, const Symbols& symbols);

 private:
  std::unique_ptr<AdaptiveModel> model_;
};

/// The smallest size that a payload of so many values may have; shorter ones are filled up with zeros.
constexpr u64 least_payload(s64 elements) { return elements == 0 ? 0 : static_cast<u64>((elements - 1) / 256 + 1); }

/// True if `payload` ends, after its first `used` bytes, as least_payload() demands.
bool is_filled_up(Bytes payload, u64 used, s64 elements);

std::vector<std::byte> encode_blocks(Bytes planes, const Symbols& symbols);

/// Bytes of text and tables (the sections of a file), by what stood after the same bytes before.
Status decode_bytes(Bytes payload, MutableBytes out);
std::vector<std::byte> encode_bytes(Bytes bytes);

}  // namespace whit::codec
