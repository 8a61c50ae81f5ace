#pragma once

#include <string_view>

namespace whit::capi {

/// The text of the value that a JSON Pointer (RFC 6901) names in `json`, without space around it; no data if there is
/// none. `json` must have passed check_json_object(); an empty one has no values. Does not allocate.
std::string_view find_json_value(std::string_view json, std::string_view pointer);

}  // namespace whit::capi
