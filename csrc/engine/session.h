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
  /// True if prepare() for these shapes would do nothing.
  bool is_planned_for(const std::vector<Shape>& input_shapes) const { return plan_ && input_shapes == input_shapes_; }
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
  /// What run() walks: addresses that lie in the arena or the model are filled in already.
  struct Program {
    struct Call {
      const ops::Operator* op;
      const std::byte* const* inputs;
      std::byte* const* outputs;
      std::size_t input_count, output_count;
      std::byte* scratch;
    };
    /// An address that is known when run() is called.
    struct Patch {
      const std::byte** input;  ///< where it goes; or
      std::byte** output;
      bool is_callers_output;  ///< buffer `index` of outputs, else of inputs
      std::size_t index;
      isize offset;  ///< bytes from the buffer's beginning
    };
    /// An output whose bytes lie elsewhere.
    struct Copy {
      const std::byte* const* source;
      std::size_t output, bytes;
    };
    std::vector<Call> calls;
    std::vector<Patch> patches;
    std::vector<Copy> copies;
    std::vector<const std::byte*> inputs;  // of all calls, then the copies' sources
    std::vector<std::byte*> outputs;       // of all calls
  };
  Status adopt(std::unique_ptr<Plan> plan);
  Program compile(const Plan& plan, std::byte* arena) const;

  std::shared_ptr<PreparedModel> model_;
  std::vector<int> observe_;
  ThreadPool pool_;
  std::vector<Shape> input_shapes_;
  std::unique_ptr<Plan> plan_;
  AlignedBuffer arena_;
  Program program_;
};

}  // namespace whit
