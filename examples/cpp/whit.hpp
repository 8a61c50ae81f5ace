// whit.h for C++17: handles that free themselves, errors as exceptions. Copy it and change what you like.
#pragma once

#include <whit/whit.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace whit {

struct Error : std::runtime_error {
  explicit Error(const whit_error& error) : std::runtime_error(error.message), status(error.status) {}
  whit_status status;
};

class Model {
 public:
  explicit Model(const std::string& path) {
    whit_model* model = nullptr;
    whit_error error;
    if (whit_model_load_file(path.c_str(), nullptr, &model, &error) != WHIT_OK) throw Error(error);
    model_.reset(model);
  }
  whit_model* get() const { return model_.get(); }
  std::size_t packed_bytes() const { return whit_model_packed_bytes(get()); }

 private:
  struct Free {
    void operator()(whit_model* model) const { whit_model_free(model); }
  };
  std::unique_ptr<whit_model, Free> model_;
};

// One inference at a time; make one for each thread. Keeps what it needs of its model.
class Session {
 public:
  using Arrays = std::vector<std::vector<unsigned char>>;  // dense bytes, one array for each input or output

  Session(const Model& model, int threads) {
    whit_session* session = nullptr;
    whit_session_options options = {sizeof options, threads, 0};
    whit_error error;
    if (whit_session_create(model.get(), &options, &session, &error) != WHIT_OK) throw Error(error);
    session_.reset(session);
    for (std::size_t i = 0; i < whit_model_input_count(model.get()); ++i)
      inputs.emplace_back(whit_session_input_bytes(session, i));
    for (std::size_t i = 0; i < whit_model_output_count(model.get()); ++i)
      outputs.emplace_back(whit_session_output_bytes(session, i));
    for (const auto& array : inputs) in_.push_back({array.data(), array.size()});
    for (auto& array : outputs) out_.push_back({array.data(), array.size()});
  }

  // Reads `inputs`, writes `outputs`; allocates nothing.
  void run() {
    whit_error error;
    if (whit_session_run(get(), in_.data(), in_.size(), out_.data(), out_.size(), &error) != WHIT_OK)
      throw Error(error);
  }

  // As run(); adds each node's nanoseconds to `times`, which has whit_session_node_count() entries.
  void profile(std::vector<std::uint64_t>& times) {
    whit_error error;
    if (whit_session_profile(get(), in_.data(), in_.size(), out_.data(), out_.size(), times.data(), times.size(),
                             &error) != WHIT_OK)
      throw Error(error);
  }
  whit_session* get() const { return session_.get(); }

  Arrays inputs, outputs;  // fill and read them in place; do not resize them

 private:
  struct Free {
    void operator()(whit_session* session) const { whit_session_free(session); }
  };
  std::unique_ptr<whit_session, Free> session_;
  std::vector<whit_input> in_;
  std::vector<whit_output> out_;
};

}  // namespace whit
