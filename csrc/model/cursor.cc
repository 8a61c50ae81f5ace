#include "model/cursor.h"

#include "model/file_format.h"
#include "model/text.h"

namespace whit {

std::span<const std::byte> Cursor::take(std::size_t count, const char* what) {
  if (!ok()) return {};
  if (count > left()) {
    too_short(what);
    return {};
  }
  const std::span<const std::byte> taken = bytes_.subspan(at_, count);
  at_ += count;
  return taken;
}

u32 Cursor::count(u32 limit, std::size_t item_bytes, const char* what) {
  const u64 start = offset();
  const u32 count = number<u32>(what);
  if (!ok()) return 0;
  if (count > limit)
    fail(error(Code::format, "%s is %u; at most %u are allowed", what, count, limit), start);
  else if (count > left() / item_bytes)
    fail(error(Code::format, "%s is %u, but only %zu bytes follow", what, count, left()), start);
  return ok() ? count : 0;
}

std::string Cursor::text(const char* what) {
  const u64 start = offset();
  const u16 length = number<u16>(what);
  if (length > file_format::kMaxTextBytes)
    fail(error(Code::format, "%s has %u bytes; at most %u are allowed", what, length, file_format::kMaxTextBytes),
         start);
  const std::span<const std::byte> bytes = take(length, what);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_plain_text(text)) return text;
  fail(error(Code::format, "%s is not UTF-8, or has control characters", what), start);
  return {};
}

void Cursor::finish(const char* what) {
  if (ok() && left() > 0) fail(error(Code::format, "%zu bytes too many at the end of %s", left(), what));
}

void Cursor::fail(const Status& status, u64 offset) {
  if (ok()) status_ = at_offset(offset, status);
}

void Cursor::too_short(const char* what) { fail(error(Code::format, "the section ends within the %s", what)); }

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 120;
  if (text.size() <= kShown) return "'" + std::string(text) + "'";
  std::size_t cut = kShown;
  while (cut > 0 && (static_cast<u8>(text[cut]) & 0xc0) == 0x80) --cut;  // not within a UTF-8 sequence
  return "'" + std::string(text.substr(0, cut)) + "...'";
}

Status at_offset(u64 offset, const Status& status) { return status.in("offset " + std::to_string(offset)); }

}  // namespace whit
