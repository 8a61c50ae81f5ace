#include "codec/encoding.h"

#include <cstring>
#include <iterator>

namespace whit {
namespace {

constexpr const char* kNames[] = {"dense", "bit_packed", "palette", "csr", "bitmap", "entropy_coded"};

Status unsupported(Encoding encoding) {
  return error(Code::unsupported, "encoding %u (%s) needs a newer version of whit", static_cast<unsigned>(encoding),
               encoding_name(encoding));
}

Status check_dense(std::span<const std::byte> parameters, u64 payload_bytes, s64 elements, int element_bits) {
  if (!parameters.empty())
    return error(Code::format, "dense encoding has no parameters, but %zu bytes of them are given", parameters.size());
  const auto wanted = static_cast<u64>(dense_bytes(elements, element_bits));
  if (payload_bytes != wanted)
    return error(Code::format, "%lld dense values of %d bits take %llu bytes, but %llu are given",
                 static_cast<long long>(elements), element_bits, static_cast<unsigned long long>(wanted),
                 static_cast<unsigned long long>(payload_bytes));
  return {};
}

}  // namespace

const char* encoding_name(Encoding encoding) {
  const auto index = static_cast<std::size_t>(encoding);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

Status check_encoding(Encoding encoding, std::span<const std::byte> parameters, u64 payload_bytes, s64 elements,
                      int element_bits) {
  switch (encoding) {
    case Encoding::dense: return check_dense(parameters, payload_bytes, elements, element_bits);
    default: return unsupported(encoding);
  }
}

Status decode(Encoding encoding, std::span<const std::byte> parameters, std::span<const std::byte> payload,
              s64 elements, int element_bits, std::span<std::byte> out) {
  WHIT_RETURN_IF_ERROR(check_encoding(encoding, parameters, payload.size(), elements, element_bits));
  if (!payload.empty()) std::memcpy(out.data(), payload.data(), payload.size());
  return {};
}

}  // namespace whit
