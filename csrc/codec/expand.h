#pragma once
// Encodings without entropy coding: what turns codes, indices and gaps into values.

#include "codec/encoding.h"

namespace whit::codec {

/// bit_packed: value = base + code, modulo 2^bits.
Status unpack(const StoredValues& stored, MutableBytes out);
/// palette: value = table[index].
Status look_up(const StoredValues& stored, Bytes indices, MutableBytes out);
/// linear: value = (code - zero point) * scale, one multiplication in f32.
Status scale_codes(const StoredValues& stored, Bytes codes, MutableBytes out);
/// sparse: `gaps` says how many times the base stands before each of `values`.
Status scatter(const StoredValues& stored, Bytes gaps, Bytes values, MutableBytes out);

}  // namespace whit::codec
