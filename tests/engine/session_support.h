#pragma once
// Sessions of models whose inputs and outputs are f32.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/model_builder.h"

namespace whit::test {

inline std::unique_ptr<Session> session_of(std::shared_ptr<PreparedModel> model, int threads,
                                           std::vector<int> observe = {}) {
  REQUIRE(model);
  auto session = Session::make(std::move(model), threads, std::move(observe));
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return std::move(*session);
}

/// Runs a session on inputs of these shapes.
class Runner {
 public:
  /// Element i of every input.
  static f32 input(std::size_t i) { return static_cast<f32>(i % 251) / 128 - 1; }

  Runner(Session& session, const std::vector<Shape>& shapes) : session_(session) {
    const Status status = session.prepare(shapes);
    REQUIRE_MESSAGE(status.ok(), status.message());
    for (const Shape& shape : shapes) {
      inputs_.emplace_back(static_cast<std::size_t>(shape.elements()));
      for (std::size_t i = 0; i < inputs_.back().size(); ++i) inputs_.back()[i] = input(i);
      in_.push_back(reinterpret_cast<const std::byte*>(inputs_.back().data()));
    }
    const Model& model = session.model().model();
    for (int tensor : session.plan()->outputs) {
      outputs_.emplace_back(static_cast<std::size_t>(session.plan()->tensor_bytes(model, tensor)) / sizeof(f32));
      out_.push_back(reinterpret_cast<std::byte*>(outputs_.back().data()));
    }
  }

  /// The outputs, then what is observed. Does not allocate.
  const std::vector<std::vector<f32>>& run(std::span<u64> times = {}) {
    for (std::vector<f32>& output : outputs_) std::fill(output.begin(), output.end(), std::nanf(""));
    session_.run(in_, out_, times);
    return outputs_;
  }

 private:
  Session& session_;
  std::vector<std::vector<f32>> inputs_, outputs_;
  std::vector<const std::byte*> in_;
  std::vector<std::byte*> out_;
};

struct Run {
  std::vector<std::vector<f32>> outputs;  ///< then what is observed
  std::vector<std::string> kernels;       ///< of the plan's nodes
};

/// A model whose inputs have known sizes.
inline Run run(const std::shared_ptr<PreparedModel>& model, const std::vector<int>& observe, int threads) {
  const auto session = session_of(model, threads, observe);
  std::vector<Shape> shapes;
  for (int input : model->model().inputs)
    shapes.push_back(model->model().tensors[static_cast<std::size_t>(input)].shape);
  Runner runner(*session, shapes);
  runner.run();  // nothing of the first run may matter
  Run result{runner.run(), {}};
  for (const PlannedNode& node : session->plan()->nodes) result.kernels.push_back(node.op->kernel());
  return result;
}

}  // namespace whit::test
