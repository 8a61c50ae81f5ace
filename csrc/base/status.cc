#include "base/status.h"

#include <cstdarg>
#include <cstdio>

namespace whit {

Status error(Code code, const char* format, ...) {
  char buffer[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return Status(code, buffer);
}

}  // namespace whit
