#include "model/text.h"

#include <string>

#include <doctest/doctest.h>

using whit::check_json_object;
using whit::is_plain_text;
using whit::is_utf8;
using namespace std::string_literals;

TEST_CASE("well-formed UTF-8") {
  for (const std::string& text :
       {""s, "a"s, "\xc2\x80"s, "\xdf\xbf"s, "\xe0\xa0\x80"s, "\xed\x9f\xbf"s, "\xee\x80\x80"s, "\xf0\x90\x80\x80"s,
        "\xf4\x8f\xbf\xbf"s, "gr\xc3\xb6\xc3\x9f"s, "\0"s})
    CHECK_MESSAGE(is_utf8(text), text);
  for (const std::string& text :
       {"\x80"s, "\xc0\x80"s, "\xc1\xbf"s, "\xc2"s, "\xc2\x41"s, "\xe0\x9f\xbf"s, "\xed\xa0\x80"s, "\xe1\x80"s,
        "\xf0\x8f\xbf\xbf"s, "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xf8\x88\x80\x80\x80"s, "\xff"s, "a\xe2\x82"s})
    CHECK_MESSAGE(!is_utf8(text), text);
}

TEST_CASE("plain text has no control characters") {
  CHECK(is_plain_text("layer/1:0 \xc2\xa0\xe6\x97\xa5"));
  for (const std::string& text : {"\0"s, "a\n"s, "\x1b[31m"s, "\x7f"s, "\xc2\x80"s, "\xc2\x9b"s, "\xff"s})
    CHECK_MESSAGE(!is_plain_text(text), text);
}

TEST_CASE("JSON objects") {
  for (const char* text :
       {"{}", " {\"a\": [1, -0.5e+3, true, false, null, \"\\u00e4\\n\", {}]} ", "{\"\":\"\\ud83d\\ude00\"}"})
    CHECK_MESSAGE(check_json_object(text, 3).ok(), text);
  for (const char* text : {"", "[]", "1", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1.}",
                           "{\"a\":tru}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\t\"}", "{}{}", "{\"a\":[[[]]]}"})
    CHECK_MESSAGE(check_json_object(text, 3).code() == whit::Code::format, text);
  CHECK(check_json_object("{\"a\":[1 2]}", 3).message() ==
        "a ',' or the end of a JSON list or object is missing, at byte 8 of the JSON text");
}
