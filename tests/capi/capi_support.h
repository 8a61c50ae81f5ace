#pragma once
// Owners of whit.h's handles, and the golden models.

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "include/whit/whit.h"

namespace whit::test {

struct Error : whit_error {
  bool says(const std::string& text) const { return std::string(message).find(text) != std::string::npos; }
};

struct FreeModel {
  void operator()(whit_model* model) const { whit_model_free(model); }
};
struct FreeSession {
  void operator()(whit_session* session) const { whit_session_free(session); }
};
using ModelPtr = std::unique_ptr<whit_model, FreeModel>;
using SessionPtr = std::unique_ptr<whit_session, FreeSession>;

inline std::string golden(const std::string& name) { return std::string(WHIT_GOLDEN "/v1/") + name; }

inline std::vector<char> read_file(const std::string& name) {
  std::ifstream file(golden(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline ModelPtr load(const std::string& name) {
  whit_model* model = nullptr;
  Error error;
  whit_model_load_file(golden(name).c_str(), nullptr, &model, &error);
  REQUIRE_MESSAGE(error.status == WHIT_OK, error.message);
  return ModelPtr(model);
}

inline SessionPtr session(whit_model* model, int threads = 1) {
  whit_session* made = nullptr;
  Error error;
  const whit_session_options options = {sizeof options, threads, 0};
  whit_session_create(model, &options, &made, &error);
  REQUIRE_MESSAGE(error.status == WHIT_OK, error.message);
  return SessionPtr(made);
}

/// For models with one f32 input and output.
inline std::vector<float> run(whit_session& session, const std::vector<float>& x) {
  std::vector<float> y(whit_session_output_bytes(&session, 0) / sizeof(float));
  const whit_input in = {x.data(), x.size() * sizeof(float)};
  const whit_output out = {y.data(), y.size() * sizeof(float)};
  Error error;
  whit_session_run(&session, &in, 1, &out, 1, &error);
  REQUIRE_MESSAGE(error.status == WHIT_OK, error.message);
  return y;
}

}  // namespace whit::test
