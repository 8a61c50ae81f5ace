#pragma once
// How a .whit file stores the values of a constant tensor (docs/FORMAT.md, Encodings). Encodings nest: palette, linear,
// sparse, csr and bitmap leave the storage of their indices, codes, gaps, counts, masks and values to another one.

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "codec/bits.h"

namespace whit {

/// Numbers are those of the file format.
enum class Encoding : u16 {
  dense = 0,          ///< the values one after another, little-endian; nothing to decode
  bit_packed = 1,     ///< integers within a short range, few bits each
  palette = 2,        ///< few distinct values: indices into a table
  csr = 3,            ///< entries in each row, where they stand, and their values
  bitmap = 4,         ///< a bit for each value that says whether it is the most frequent one, and the others
  entropy_coded = 5,  ///< frequent bytes in fewer bits
  linear = 6,         ///< f32 = (code - zero point) * scale
  sparse = 7,         ///< how many zeros lie between the other values, and these
};

/// "dense", "bit_packed", ...; "unknown" for a number that this library has never heard of.
const char* encoding_name(Encoding encoding);

/// Bytes of `elements` dense values of `element_bits` bits each, the last byte filled with zero bits.
/// Precondition: the product fits into 2^62.
constexpr s64 dense_bytes(s64 elements, int element_bits) { return (elements * element_bits + 7) / 8; }

/// What a stored tensor decodes to.
struct Values {
  s64 elements = 0;
  int bits = 8;  ///< of an element: 1, 2, 4, 8, 16 or 32
  enum Kind : u8 { integer, real } kind = integer;
  s64 row = 1;    ///< elements of the last axis that is longer than 1
  s64 plane = 1;  ///< elements of one index of the first axis
  s64 bytes() const { return dense_bytes(elements, bits); }
};

/// How a tensor is stored: its encoding and those nested in it. parse_encoding() has checked all but what only decoding
/// can tell. Points into the file.
struct StoredValues {
  Encoding encoding = Encoding::dense;
  Values values;
  codec::Bytes payload;  ///< of dense, bit_packed and entropy_coded

  int width = 0;               ///< bit_packed: bits of a code
  codec::Bytes base;           ///< bit_packed: what code 0 stands for; sparse, csr, bitmap: what fills the gaps
  codec::Bytes table;          ///< palette
  int coder = 0;               ///< entropy_coded: codec::Coder
  int pivot = 0;               ///< entropy_coded
  s64 group = 0;               ///< linear: values that share a scale, 0 for all
  bool is_signed = false;      ///< linear: codes are s8, else u8
  bool is_half = false;        ///< linear: scales are f16
  codec::Bytes scales, zeros;  ///< linear: zeros may be empty
  int escape = 0;              ///< sparse: the longest gap
  s64 entries = 0;             ///< csr
  int rows = 1, columns = 1;   ///< csr: values of an entry
  codec::Bytes gaps;           ///< csr: between the entries of a row
  /// palette: indices; linear: codes; sparse: gaps, values; csr: counts, values; bitmap: masks, values.
  std::vector<StoredValues> nested;
};

/// Checks that the encoding is one that this library has, that its parameters fit it, and that the payload can hold the
/// values; called before any memory for them exists. An encoding that this library does not have is Code::unsupported,
/// anything else wrong is Code::format.
Result<StoredValues> parse_encoding(Encoding encoding, codec::Bytes parameters, codec::Bytes payload,
                                    const Values& values);

}  // namespace whit
