#pragma once
// The two fast coders. A stream of symbols (bytes) is cut into blocks of 64 Ki symbols, each of which stands for
// itself: it has its own table and picks its own coder, so that blocks can be decoded at the same time.
//
// block = u8 mode, then
//   0 raw       the symbols, `bits` bits each
//   1 huffman   table, u16 bytes of streams 0 to 2, four streams (huffman_decode.cc)
//   2 rans      table, u32[8] states, u16 words (rans_decode.cc)

#include <vector>

#include "base/status.h"
#include "codec/bits.h"

namespace whit::codec {

inline constexpr std::size_t kBlockSymbols = 1 << 16;

enum class Block : u8 { raw = 0, huffman = 1, rans = 2 };

/// Decodes a block to `out`, at most kBlockSymbols symbols of `bits` bits (1 to 8). Reads within `block` and writes
/// within `out` whatever the bytes are. Code::format unless the block is one that an encoder could have written: every
/// byte used, every coder back in its first state.
Status decode_block(Bytes block, int bits, MutableBytes out);

/// What decode_block() calls, after the mode.
Status decode_huffman(Bytes block, int bits, MutableBytes out);
Status decode_rans(Bytes block, int bits, MutableBytes out);

/// Appends a block. huffman: symbols of at least two kinds; rans: any, at least one.
void encode_huffman(Bytes symbols, std::vector<std::byte>* out);
void encode_rans(Bytes symbols, std::vector<std::byte>* out);

/// Appends a block in the mode that is smallest of raw and `mode`.
void encode_block(Bytes symbols, int bits, Block mode, std::vector<std::byte>* out);

// Tables.

inline constexpr int kHuffmanBits = 11;  ///< the longest code
inline constexpr int kHuffmanStreams = 4;
inline constexpr int kRansBits = 12;  ///< frequencies add up to 1 << kRansBits
inline constexpr int kRansStates = 8;
inline constexpr u32 kRansLow = 1 << 16;  ///< states are from here to 2^32 - 1, and begin here

/// Symbols of a stream of Huffman codes: the block is divided into four runs of this many, the last ones shorter.
constexpr std::size_t huffman_run(std::size_t symbols) { return (symbols + kHuffmanStreams - 1) / kHuffmanStreams; }

}  // namespace whit::codec
