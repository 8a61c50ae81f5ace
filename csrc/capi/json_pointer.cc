#include "capi/json_pointer.h"

#include <optional>

#include "base/types.h"

namespace whit::capi {
namespace {

void skip_space(std::string_view* text) {
  while (!text->empty() && std::string_view(" \t\r\n").find(text->front()) != std::string_view::npos)
    text->remove_prefix(1);
}

char front(std::string_view text) { return text.empty() ? '\0' : text.front(); }

/// Takes a string with its quotes.
std::string_view take_string(std::string_view* text) {
  std::size_t end = 1;
  while (end < text->size() && (*text)[end] != '"') end += (*text)[end] == '\\' ? 2 : 1;
  const std::string_view taken = text->substr(0, end + 1);
  text->remove_prefix(taken.size());
  return taken;
}

/// Takes any value; there is no space before it.
std::string_view take_value(std::string_view* text) {
  const std::string_view whole = *text;
  int depth = 0;
  do {
    const char c = front(*text);
    if (c == '"') {
      take_string(text);
    } else if (c == '{' || c == '[' || c == '}' || c == ']') {
      depth += c == '{' || c == '[' ? 1 : -1;
      text->remove_prefix(1);
    } else if (depth == 0) {  // a number or a word
      text->remove_prefix(std::min(text->find_first_of(",]} \t\r\n"), text->size()));
    } else {
      text->remove_prefix(1);
    }
  } while (depth > 0 && !text->empty());
  return whole.substr(0, whole.size() - text->size());
}

/// The characters of a JSON string as UTF-8 bytes, one at a time.
class KeyBytes {
 public:
  explicit KeyBytes(std::string_view quoted) : left_(quoted.substr(1, quoted.size() - 2)) {}

  std::optional<char> next() {
    if (waiting_ > 0) return bytes_[--waiting_];
    if (left_.empty()) return std::nullopt;
    const char c = take();
    if (c != '\\') return c;
    const char escape = take();
    constexpr std::string_view kNames = "bfnrt", kValues = "\b\f\n\r\t";
    if (const std::size_t at = kNames.find(escape); at != std::string_view::npos) return kValues[at];
    if (escape != 'u') return escape;
    u32 point = hex4();
    if (point >= 0xd800 && point < 0xdc00) {
      take();
      take();
      point = 0x10000 + ((point - 0xd800) << 10) + (hex4() - 0xdc00);
    }
    return encode(point);
  }

 private:
  char take() {
    const char c = front(left_);
    left_.remove_prefix(left_.empty() ? 0 : 1);
    return c;
  }
  u32 hex4() {
    u32 value = 0;
    for (int i = 0; i < 4; ++i) {
      const u32 c = static_cast<u8>(take());
      value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
  }
  /// Returns the first byte and keeps the others, last first.
  char encode(u32 point) {
    if (point < 0x80) return static_cast<char>(point);
    const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (waiting_ = 0; waiting_ < more; point >>= 6) bytes_[waiting_++] = static_cast<char>(0x80 | (point & 0x3f));
    return static_cast<char>((0xff00 >> (more + 1)) | point);
  }

  std::string_view left_;
  char bytes_[3] = {};
  int waiting_ = 0;
};

/// Does `token` of a pointer (~1 is '/', ~0 is '~') name this key?
bool names(std::string_view token, std::string_view quoted_key) {
  KeyBytes key(quoted_key);
  for (std::size_t i = 0; i < token.size(); ++i) {
    char c = token[i];
    if (c == '~') c = front(token.substr(++i)) == '1' ? '/' : '~';
    if (key.next() != c) return false;
  }
  return !key.next();
}

/// The member `token` of the object or array `value`.
std::string_view member(std::string_view value, std::string_view token) {
  const bool object = front(value) == '{';
  if (!object && front(value) != '[') return {};
  if (!object && (token.empty() || (token.size() > 1 && token[0] == '0') ||
                  token.find_first_not_of("0123456789") != std::string_view::npos || token.size() > 9))
    return {};
  u32 wanted = 0;
  if (!object)
    for (char c : token) wanted = wanted * 10 + static_cast<u32>(c - '0');
  value.remove_prefix(1);
  for (u32 index = 0;; ++index) {
    skip_space(&value);
    if (value.empty() || value.front() == '}' || value.front() == ']') return {};
    bool found = !object && index == wanted;
    if (object) {
      found = names(token, take_string(&value));
      skip_space(&value);
      value.remove_prefix(value.empty() ? 0 : 1);  // the colon
      skip_space(&value);
    }
    const std::string_view item = take_value(&value);
    if (found) return item;
    skip_space(&value);
    if (front(value) == ',') value.remove_prefix(1);
  }
}

}  // namespace

std::string_view find_json_value(std::string_view json, std::string_view pointer) {
  skip_space(&json);
  if (json.empty()) return {};
  std::string_view value = take_value(&json);
  while (!pointer.empty() && value.data()) {
    if (pointer.front() != '/') return {};
    pointer.remove_prefix(1);
    const std::string_view token = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(token.size());
    value = member(value, token);
  }
  return value;
}

}  // namespace whit::capi
