#include "base/status.h"

#include <cstdarg>
#include <cstdio>

namespace whit {

Status error(Code code, const char* format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  // Sized to fit: a message may quote long UTF-8 names, which must not be cut within a character.
  std::string message(length > 0 ? static_cast<std::size_t>(length) : 0, '\0');
  std::vsnprintf(message.data(), message.size() + 1, format, again);
  va_end(again);
  return Status(code, std::move(message));
}

}  // namespace whit
