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
/// csr: `counts` says how many entries each group of rows has, `values` what is in them.
Status place_entries(const StoredValues& stored, Bytes counts, Bytes values, MutableBytes out);
/// bitmap: bits of `masks` that are 1 are where `values` stand; the base fills the rest.
Status place_by_mask(const StoredValues& stored, Bytes masks, Bytes values, MutableBytes out);

/// csr: bits of the low part of each gap between `count` entries in a row of `places`; count >= 1.
int gap_bits(u64 places, u64 count);

}  // namespace whit::codec
