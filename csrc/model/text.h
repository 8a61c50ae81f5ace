#pragma once
// Checks of text that comes from a file.

#include <string>
#include <string_view>

#include "base/status.h"

namespace whit {

/// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F), so that it can be printed anywhere.
bool is_plain_text(std::string_view text);

/// Ok if `text` is one JSON object (RFC 8259) nested at most `max_depth` deep, whose numbers have at most 64 characters
/// and whose \u escapes form no lone surrogates: what every JSON library reads. The message gives the position.
Status check_json_object(std::string_view text, int max_depth);

}  // namespace whit
