// What belongs to no handle: version, names, instruction sets.

#include "base/isa.h"
#include "capi/handles.h"

namespace {

// Those that a caller may meet at inputs and outputs; encodings below 8 bits stay inside the file.
bool is_dtype(whit_dtype dtype) { return dtype >= WHIT_F32 && dtype <= WHIT_F16; }

}  // namespace

extern "C" {

int32_t whit_version(void) { return WHIT_VERSION; }

const char* whit_status_name(whit_status status) {
  switch (status) {
    case WHIT_OK: return "WHIT_OK";
    case WHIT_INVALID_ARGUMENT: return "WHIT_INVALID_ARGUMENT";
    case WHIT_FORMAT: return "WHIT_FORMAT";
    case WHIT_VERSION_TOO_NEW: return "WHIT_VERSION_TOO_NEW";
    case WHIT_UNSUPPORTED: return "WHIT_UNSUPPORTED";
    case WHIT_SHAPE: return "WHIT_SHAPE";
    case WHIT_IO: return "WHIT_IO";
    case WHIT_OUT_OF_MEMORY: return "WHIT_OUT_OF_MEMORY";
    case WHIT_BUSY: return "WHIT_BUSY";
    case WHIT_INTERNAL: return "WHIT_INTERNAL";
    default: return "unknown status";
  }
}

const char* whit_dtype_name(whit_dtype dtype) {
  return is_dtype(dtype) ? whit::dtype_name(static_cast<whit::DType>(dtype)) : "unknown dtype";
}

int32_t whit_dtype_bits(whit_dtype dtype) {
  return is_dtype(dtype) ? whit::dtype_bits(static_cast<whit::DType>(dtype)) : 0;
}

const char* whit_isa_best(void) { return whit::isa_name(whit::isa_best(whit::isa_detected() & whit::isa_compiled())); }

int32_t whit_isa_usable(const char* name) {
  if (!name) return 0;
  const std::optional<whit::Isa> isa = whit::isa_from_name(name);
  return isa && (whit::isa_detected() & whit::isa_compiled()).has(*isa);
}

}  // extern "C"
