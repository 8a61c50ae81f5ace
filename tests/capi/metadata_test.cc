// JSON Pointers into a model's metadata.

#include <doctest/doctest.h>

#include <clocale>
#include <string>

#include "capi/json_pointer.h"
#include "capi_support.h"
#include "model/text.h"

namespace whit::test {
namespace {

std::string find(const std::string& json, const std::string& pointer) {
  REQUIRE(check_json_object(json, 32).ok());
  const std::string_view found = capi::find_json_value(json, pointer);
  return found.data() ? std::string(found) : "nothing";
}

TEST_CASE("values of every kind") {
  const std::string json =
      R"( {"a": 1.5e-3 , "b":[ true, {"c" : "x,]}\"\\"}, [] ,null] , "": {"":7}, "d" : {} ,"~/":-2, "a":"second"} )";
  CHECK(find(json, "") == json.substr(1, json.size() - 2));
  CHECK(find(json, "/a") == "1.5e-3");
  CHECK(find(json, "/b/0") == "true");
  CHECK(find(json, "/b/1/c") == R"("x,]}\"\\")");
  CHECK(find(json, "/b/2") == "[]");
  CHECK(find(json, "/b/3") == "null");
  CHECK(find(json, "/") == R"({"":7})");
  CHECK(find(json, "//") == "7");
  CHECK(find(json, "/d") == "{}");
  CHECK(find(json, "/~0~1") == "-2");
  for (const char* pointer : {"a", "/c", "/b/4", "/b/01", "/b/-", "/b/", "/b/99999999999999999999", "/a/0", "/d/x",
                              "/b/1/c/0", "/b/2/0", "/A", "/~01", "/aa"})
    CHECK(find(json, pointer) == "nothing");
  CHECK(find("{}", "/a") == "nothing");
  CHECK(capi::find_json_value("", "").data() == nullptr);
}

TEST_CASE("keys with escapes") {
  const std::string json = R"({"\u00e4":1,"\ud83d\ude00":2,"a\n\t\"\\\/":3,"\u65e5x":4,"\u0041":5})";
  CHECK(find(json, "/\xc3\xa4") == "1");
  CHECK(find(json, "/\xf0\x9f\x98\x80") == "2");
  CHECK(find(json, "/a\n\t\"\\~1") == "3");
  CHECK(find(json, "/\xe6\x97\xa5x") == "4");
  CHECK(find(json, "/A") == "5");
  CHECK(find(json, "/\xc3") == "nothing");
}

TEST_CASE("of a model") {
  const ModelPtr model = load("quantized.whit");
  std::size_t bytes = 0;
  const char* text = whit_model_metadata(model.get(), "/recipe/name", &bytes);
  REQUIRE(text);
  CHECK(std::string(text, bytes) == "\"int8\"");
  CHECK(whit_model_metadata(model.get(), "/recipe/none", &bytes) == nullptr);
  CHECK(bytes == 0);
  CHECK(whit_model_metadata(model.get(), nullptr, nullptr) == nullptr);
  double number = 3;
  CHECK(whit_model_metadata_number(model.get(), "/recipe/name", &number) == 0);
  CHECK(whit_model_metadata_number(model.get(), "/labels", &number) == 0);
  CHECK(whit_model_metadata_number(model.get(), "/none", &number) == 0);
  CHECK(number == 3);
}

}  // namespace
}  // namespace whit::test
