#include "model/text.h"

#include "base/types.h"

namespace whit {
namespace {

/// Takes one character off the front; -1 if the front is not well-formed UTF-8.
s32 take_code_point(std::string_view* text) {
  const auto first = static_cast<u8>(text->front());
  if (first < 0x80) {
    text->remove_prefix(1);
    return first;
  }
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length == 0 || text->size() < length) return -1;
  s32 value = first & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<u8>((*text)[i]);
    if ((next & 0xc0) != 0x80) return -1;
    value = (value << 6) | (next & 0x3f);
  }
  constexpr s32 kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return -1;
  text->remove_prefix(length);
  return value;
}

/// Follows the grammar of RFC 8259 without building anything.
class JsonChecker {
 public:
  JsonChecker(std::string_view text, int max_depth) : all_(text), left_(text), depth_left_(max_depth) {}

  Status check() {
    skip_space();
    if (left_.empty() || left_.front() != '{') return failure("the text is not a JSON object");
    if (!value()) return failure(problem_);
    skip_space();
    return left_.empty() ? Status() : failure("text after the end of the JSON object");
  }

 private:
  Status failure(const char* problem) const {
    return error(Code::format, "%s, at byte %zu of the JSON text", problem, all_.size() - left_.size());
  }
  bool fail(const char* problem) {
    problem_ = problem;
    return false;
  }
  void skip_space() {
    const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (!left_.empty() && is_space(left_.front())) left_.remove_prefix(1);
  }
  bool take(char wanted) {
    if (left_.empty() || left_.front() != wanted) return false;
    left_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view word) {
    if (!left_.starts_with(word)) return false;
    left_.remove_prefix(word.size());
    return true;
  }

  bool value() {
    if (left_.empty()) return fail("the JSON text ends too early");
    switch (left_.front()) {
      case '{': return group('}', /*keys=*/true);
      case '[': return group(']', /*keys=*/false);
      case '"': return string();
      default:
        if (take("true") || take("false") || take("null")) return true;
        return number();
    }
  }

  bool group(char end, bool keys) {
    if (depth_left_-- == 0) return fail("JSON is nested too deeply");
    left_.remove_prefix(1);
    skip_space();
    if (!take(end)) {
      do {
        skip_space();
        if (keys) {
          if (left_.empty() || left_.front() != '"') return fail("a JSON key is missing");
          if (!string()) return false;
          skip_space();
          if (!take(':')) return fail("a ':' is missing");
          skip_space();
        }
        if (!value()) return false;
        skip_space();
      } while (take(','));
      if (!take(end)) return fail("a ',' or the end of a JSON list or object is missing");
    }
    ++depth_left_;
    return true;
  }

  bool string() {
    left_.remove_prefix(1);
    while (!left_.empty()) {
      const char c = left_.front();
      if (static_cast<u8>(c) < 0x20) return fail("a control character in a JSON string");
      left_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\' && !escape()) return false;
    }
    return fail("a JSON string does not end");
  }

  bool escape() {
    if (left_.empty()) return fail("a JSON string does not end");
    const char c = left_.front();
    left_.remove_prefix(1);
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos || fail("a bad JSON escape");
    const s32 first = hex4();
    if (first < 0) return fail("a bad JSON escape");
    if (first < 0xd800 || first >= 0xe000) return true;
    if (first >= 0xdc00 || !take("\\u")) return fail("a lone surrogate in a JSON escape");
    const s32 second = hex4();
    return (second >= 0xdc00 && second < 0xe000) || fail("a lone surrogate in a JSON escape");
  }

  s32 hex4() {
    if (left_.size() < 4) return -1;
    s32 result = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = left_[static_cast<std::size_t>(i)];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return -1;
      result = result * 16 + digit;
    }
    left_.remove_prefix(4);
    return result;
  }

  bool digits() {
    const std::size_t before = left_.size();
    while (!left_.empty() && left_.front() >= '0' && left_.front() <= '9') left_.remove_prefix(1);
    return left_.size() < before;
  }

  bool number() {
    constexpr std::size_t kMaxNumberBytes = 64;
    const std::size_t before = left_.size();
    take('-');
    if (!take('0') && !digits()) return fail("not a JSON value");
    if (take('.') && !digits()) return fail("a digit is missing in a JSON number");
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return fail("a digit is missing in a JSON number");
    }
    return before - left_.size() <= kMaxNumberBytes || fail("a JSON number is too long");
  }

  std::string_view all_, left_;
  int depth_left_;
  const char* problem_ = "";
};

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty())
    if (take_code_point(&text) < 0) return false;
  return true;
}

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    const s32 c = take_code_point(&text);
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return false;
  }
  return true;
}

Status check_json_object(std::string_view text, int max_depth) {
  if (!is_utf8(text)) return error(Code::format, "the JSON text is not UTF-8");
  return JsonChecker(text, max_depth).check();
}

}  // namespace whit
