// What the reader makes of the golden files, whole and damaged. The rules about hostile files with right checksums are
// tested from Python, against a second reader (tests/python/format).

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "model/cursor.h"
#include "model/model.h"
#include "model/op_schema.h"

using namespace whit;

namespace {

std::string path_of(const std::string& name) { return std::string(WHIT_GOLDEN) + "/v1/" + name + ".whit"; }

std::vector<char> bytes_of(const std::string& name) {
  std::ifstream file(path_of(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<const Model> read(const std::string& name) {
  const auto model = read_model_file(path_of(name));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return *model;
}

template <class T>
std::vector<T> values(const Tensor& tensor) {
  std::vector<T> result(static_cast<std::size_t>(tensor.bytes) / sizeof(T));
  std::memcpy(result.data(), tensor.data, static_cast<std::size_t>(tensor.bytes));
  return result;
}

const Tensor& find(const Model& model, const std::string& name) {
  for (const Tensor& tensor : model.tensors)
    if (tensor.name == name) return tensor;
  FAIL("no tensor ", name);
  return model.tensors.front();
}

}  // namespace

TEST_CASE("minimal: y = x + c") {
  const auto model = read("minimal");
  CHECK(model->name == "tiny");
  CHECK(model->version_major == 1);
  CHECK(model->version_minor == 0);
  CHECK(model->file_bytes == bytes_of("minimal").size());
  CHECK(model->metadata == "{}");
  REQUIRE(model->tensors.size() == 3);
  CHECK(model->tensors[0].shape == Shape{-1, 2});
  CHECK(model->tensors[0].dim_names == std::vector<std::string>{"n", ""});
  CHECK_FALSE(model->tensors[0].is_constant());
  CHECK(values<f32>(model->tensors[1]) == std::vector<f32>{1, -2});
  CHECK(model->tensors[1].encoding == std::string("dense"));
  CHECK(model->inputs == std::vector<int>{0});
  CHECK(model->outputs == std::vector<int>{2});
  REQUIRE(model->nodes.size() == 1);
  const Node& node = model->nodes[0];
  CHECK(node.op == Op::add);
  CHECK(node.inputs == std::vector<int>{0, 1});
  CHECK(node.attributes.number("clamp_min") == -std::numeric_limits<f32>::infinity());
}

TEST_CASE("quantized: scales, zero points and values") {
  const auto model = read("quantized");
  const Tensor& w = find(*model, "w");
  CHECK(w.dtype == DType::s8);
  CHECK(w.quantization.axis == 0);
  CHECK(w.quantization.scale == std::vector<f32>{0.5f, 0.25f, 0.125f});
  CHECK(w.quantization.zero_point == std::vector<s32>{0, 0, 0});
  CHECK(values<s8>(w).front() == -127);
  CHECK(values<s32>(find(*model, "b")) == std::vector<s32>{5, -70000, 0});
  CHECK(find(*model, "x_s8").quantization.axis == -1);
  CHECK(find(*model, "x_s8").quantization.zero_point == std::vector<s32>{-3});
  CHECK(model->nodes[1].attributes.number("clamp_max") == 6.0f);
  CHECK(model->nodes[1].attributes.string("activation").empty());
}

TEST_CASE("groups: a scale for every 32 weights of a row") {
  const auto model = read("groups");
  CHECK(model->version_minor == 5);
  const Quantization& w = find(*model, "w").quantization;
  CHECK(w.is_grouped());
  CHECK(w.axis == 1);
  CHECK(w.scale.empty());
  std::vector<u16> scales;
  for (std::size_t i = 0; i < w.group_count(); ++i) scales.push_back(w.group_scale(i));
  CHECK(scales == std::vector<u16>{0x3800, 0x2c00, 0x0001, 0x3c00, 0x7bff, 0x3554, 0x2e66, 0x3400, 0x1419});
  const Quantization& taps = find(*model, "taps").quantization;
  CHECK(taps.axis == 3);
  CHECK(taps.group_count() == 2 * 3);
  CHECK_FALSE(find(*model, "bias").quantization.is_grouped());
}

TEST_CASE("attributes: every type, absent tensors") {
  const auto model = read("attributes");
  const Attributes& conv = model->nodes[0].attributes;
  CHECK(conv.integers("pads") == std::vector<s64>{1, 1, 1, 1});
  CHECK(conv.integer("group") == 1);
  CHECK(conv.string("activation") == "hard_swish");
  CHECK(model->nodes[1].attributes.numbers("scales") == std::vector<f32>{2, 1.5});
  CHECK(model->nodes[1].attributes.integers("sizes").empty());
  CHECK(model->nodes[2].attributes.integer("axis") == -1);
  CHECK(model->nodes[3].inputs[3] == -1);
  CHECK(model->nodes[3].outputs[0] == -1);
}

TEST_CASE("constants: alignment, sharing, no elements, no axes") {
  const auto model = read("constants");
  for (const Tensor& tensor : model->tensors)
    CHECK_MESSAGE(reinterpret_cast<std::uintptr_t>(tensor.data) % kAlignment == 0, tensor.name);
  CHECK(values<s16>(find(*model, "s16")) == std::vector<s16>{-32768, 32767});
  CHECK(values<u16>(find(*model, "f16")) == std::vector<u16>{0x7bff, 0xb800, 0x7c00});
  CHECK(find(*model, "u8").quantization.zero_point == std::vector<s32>{3, 255});
  CHECK(find(*model, "shared").data == find(*model, "s8").data);
  CHECK(find(*model, "s8").stored_bytes == 3);
  CHECK(find(*model, "shared").stored_bytes == 0);
  CHECK(find(*model, "empty").is_constant());
  CHECK(find(*model, "empty").bytes == 0);
  CHECK(find(*model, "scalar").shape.rank() == 0);
  CHECK(values<f32>(find(*model, "scalar")) == std::vector<f32>{7});
}

TEST_CASE("bytes read like the file, and are copied") {
  std::vector<char> bytes = bytes_of("minimal");
  const auto model = read_model_bytes(bytes.data(), bytes.size());
  REQUIRE(model.ok());
  std::fill(bytes.begin(), bytes.end(), 0);
  CHECK(values<f32>((*model)->tensors[1]) == std::vector<f32>{1, -2});
}

TEST_CASE("a model outlives its file") {
  char path[] = "/tmp/whit_reader_XXXXXX";
  const int file = ::mkstemp(path);
  REQUIRE(file >= 0);
  const std::vector<char> bytes = bytes_of("quantized");
  REQUIRE(::write(file, bytes.data(), bytes.size()) == static_cast<isize>(bytes.size()));
  ::close(file);
  const auto model = read_model_file(path);
  ::unlink(path);
  REQUIRE(model.ok());
  CHECK(values<s32>(find(**model, "b"))[1] == -70000);
}

TEST_CASE("cut anywhere: a format error") {
  for (const char* name : {"minimal", "quantized", "attributes", "constants", "groups"}) {
    const std::vector<char> bytes = bytes_of(name);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      // Exactly as long as the input, so that a sanitizer sees any read beyond it.
      const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<isize>(length));
      const auto model = read_model_bytes(cut.data(), cut.size());
      REQUIRE_FALSE(model.ok());
      REQUIRE(model.status().code() == Code::format);
      REQUIRE(model.status().message().starts_with("offset "));
    }
  }
}

TEST_CASE("any flipped bit: a format or version error") {
  for (const char* name : {"minimal", "quantized", "attributes", "constants", "groups"}) {
    std::vector<char> bytes = bytes_of(name);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      const auto model = read_model_bytes(bytes.data(), bytes.size());
      REQUIRE_FALSE(model.ok());
      const bool in_major = bit / 8 == 8 || bit / 8 == 9;
      REQUIRE(model.status().code() == (in_major ? Code::version : Code::format));
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    }
  }
}

TEST_CASE("errors about files name the path") {
  const auto model = read_model_file(std::string(WHIT_GOLDEN) + "/make_v1.py");
  REQUIRE_FALSE(model.ok());
  CHECK(model.status().code() == Code::format);
  CHECK(model.status().message().find("make_v1.py: offset 0: not a .whit file") != std::string::npos);
  CHECK(read_model_file(WHIT_GOLDEN).status().code() == Code::io);
}
TEST_CASE("a count that size_t cannot hold is too many, not the rest modulo 2^32") {
  const std::byte bytes[8] = {};
  Cursor cursor(bytes, 0);
  CHECK(cursor.numbers<f32>((u64{1} << 32) + 1, "scales").empty());
  CHECK(cursor.status().code() == Code::format);
}
