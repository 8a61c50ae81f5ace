#pragma once
// How a .whit file stores the values of a constant tensor (docs/FORMAT.md, Encodings). One file here per encoding.

#include <span>

#include "base/status.h"
#include "base/types.h"

namespace whit {

/// Numbers are those of the file format.
enum class Encoding : u16 {
  dense = 0,       ///< the values one after another, little-endian; nothing to decode
  bit_packed = 1,  ///< 1 to 5 are reserved: no file may use them yet
  palette = 2,
  csr = 3,
  bitmap = 4,
  entropy_coded = 5,
};

/// "dense", "bit_packed", ...; "unknown" for a number that this library has never heard of.
const char* encoding_name(Encoding encoding);

/// Bytes of `elements` dense values of `element_bits` bits each, the last byte filled with zero bits.
/// Precondition: the product fits into 2^62.
constexpr s64 dense_bytes(s64 elements, int element_bits) { return (elements * element_bits + 7) / 8; }

/// Ok if decode() knows the encoding, these parameters fit it, and a payload of `payload_bytes` can hold `elements`
/// values; called before any memory for the values exists. An encoding that this library does not have is
/// Code::unsupported, anything else wrong is Code::format.
Status check_encoding(Encoding encoding, std::span<const std::byte> parameters, u64 payload_bytes, s64 elements,
                      int element_bits);

/// Writes the dense form of a stored tensor to out (dense_bytes() long). Readers use a dense payload where it is and
/// call this for the other encodings. Precondition: check_encoding() was ok.
Status decode(Encoding encoding, std::span<const std::byte> parameters, std::span<const std::byte> payload,
              s64 elements, int element_bits, std::span<std::byte> out);

}  // namespace whit
