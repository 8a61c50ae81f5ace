#include "capi/handles.h"

#include <algorithm>
#include <string_view>

namespace whit::capi {
namespace {

whit_status to_c(Code code) {
  switch (code) {
    case Code::ok: return WHIT_OK;
    case Code::invalid_argument: return WHIT_INVALID_ARGUMENT;
    case Code::format: return WHIT_FORMAT;
    case Code::version: return WHIT_VERSION_TOO_NEW;
    case Code::unsupported: return WHIT_UNSUPPORTED;
    case Code::shape: return WHIT_SHAPE;
    case Code::io: return WHIT_IO;
    case Code::out_of_memory: return WHIT_OUT_OF_MEMORY;
  }
  return WHIT_INTERNAL;
}

bool continues_character(char c) { return (static_cast<u8>(c) & 0xc0) == 0x80; }

}  // namespace

whit_status report(whit_error* error, whit_status status, const char* message) {
  if (!error) return status;
  const std::string_view text = message;
  std::size_t length = std::min(text.size(), sizeof error->message - 1);
  while (length < text.size() && length > 0 && continues_character(text[length])) --length;
  error->status = status;
  std::memcpy(error->message, text.data(), length);
  std::memset(error->message + length, 0, sizeof error->message - length);
  return status;
}

whit_status report(whit_error* error, const Status& status) {
  return report(error, to_c(status.code()), status.message().c_str());
}

Status read_options(const void* given, std::size_t known_bytes, const char* name, void* options) {
  constexpr std::size_t kMostBytes = 4096;  // of any later version; what is larger was never set
  std::size_t bytes;
  std::memcpy(&bytes, given, sizeof bytes);
  if (bytes < sizeof bytes || bytes > kMostBytes)
    return error(Code::invalid_argument, "%s.struct_bytes is %zu; set it to sizeof(%s)", name, bytes, name);
  const auto* all = static_cast<const std::byte*>(given);
  for (std::size_t i = known_bytes; i < bytes; ++i)
    if (all[i] != std::byte{0})
      return error(Code::invalid_argument, "%s has fields that this library (version %d.%d.%d) does not know", name,
                   WHIT_VERSION_MAJOR, WHIT_VERSION_MINOR, WHIT_VERSION_PATCH);
  std::memcpy(options, given, std::min(bytes, known_bytes));
  return {};
}

Status check_not_null(const void* argument, const char* name) {
  return argument ? Status() : error(Code::invalid_argument, "%s is NULL", name);
}

whit_shape to_c(const Shape& shape) {
  whit_shape result = {};
  result.rank = shape.rank();
  std::copy(shape.begin(), shape.end(), result.sizes);
  return result;
}

}  // namespace whit::capi
