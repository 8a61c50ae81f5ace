#pragma once
// Runs a plan: one arena, one thread pool, one inference at a time.

#include <memory>
#include <mutex>
#include <vector>

#include "engine/plan.h"

namespace whit {

struct NodeTime {
  const PlannedNode* node;
  u64 nanoseconds;
};

/// Not for use from two threads at once; several sessions of one PreparedModel may run in parallel.
class Session {
 public:
  /// `observe`: tensors to hand out behind the model's outputs. Plans at once if all input sizes are fixed or if the
  /// unknown ones may be 1 (a dynamic batch); else the first `prepare` does.
  static Result<std::unique_ptr<Session>> make(std::shared_ptr<PreparedModel> model, int threads,
                                               std::vector<int> observe);

  /// Makes the plan for these input shapes unless it is the one at hand. Checks them against the model's inputs.
  Status prepare(const std::vector<Shape>& input_shapes);
  /// The current plan, or null.
  const Plan* plan() const { return plan_.get(); }

  /// Runs the plan at hand. inputs and outputs: one buffer each, of exactly the planned sizes, not overlapping.
  /// Does not allocate. If `times` is given (as long as plan()->nodes), each node's time is added to it.
  void run(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs, std::span<u64> times = {});

  PreparedModel& model() const { return *model_; }
  int threads() const { return pool_.threads(); }

 private:
  Session(std::shared_ptr<PreparedModel> model, int threads, std::vector<int> observe)
      : model_(std::move(model)), observe_(std::move(observe)), pool_(threads) {}
  Status adopt(std::unique_ptr<Plan> plan);
  std::byte* address(int tensor, std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs) const;

  std::shared_ptr<PreparedModel> model_;
  std::vector<int> observe_;
  ThreadPool pool_;
  std::vector<Shape> input_shapes_;
  std::unique_ptr<Plan> plan_;
  AlignedBuffer arena_;
  // Arguments of all nodes, one after the other; filled on every run without allocating.
  std::vector<const std::byte*> input_pointers_;
  std::vector<std::byte*> output_pointers_;
};

}  // namespace whit
