#pragma once
// What is decided before the first run: shapes, kernels, packed weights, and where every tensor lies.

#include <memory>
#include <vector>

#include "engine/prepared_model.h"

namespace whit {

/// Where a tensor's bytes are while a session runs.
struct Placement {
  enum class Kind : u8 {
    none,      ///< never computed (an absent or unused tensor)
    constant,  ///< the data of the model's tensor `index`
    input,     ///< the caller's input buffer `index`
    output,    ///< the caller's output buffer `index`
    arena,     ///< the session's arena
  };
  Kind kind = Kind::none;
  int index = -1;
  s64 offset = 0;  ///< bytes from the beginning of that
};

struct PlannedNode {
  const Node* node;
  std::unique_ptr<ops::Operator> op;
  std::unique_ptr<const Node> own;  ///< where node points for several nodes of the model that run as one
  s64 scratch_offset = 0;           ///< in the arena
};

/// A model planned for one set of input shapes. Immutable; a Session runs it.
struct Plan {
  std::vector<Shape> shapes;         ///< per tensor
  std::vector<Placement> placement;  ///< per tensor
  std::vector<PlannedNode> nodes;    ///< in the order of execution; without views and concats that copy nothing
  std::vector<int> outputs;          ///< tensors in the order of the caller's output buffers
  std::vector<int> copied_outputs;   ///< positions in `outputs` whose bytes are copied after the run
  s64 arena_bytes = 0;

  /// Infers shapes, prepares every operator and places every tensor.
  /// input_shapes: one per model input, complete. observe: tensors to hand out after the model's own outputs.
  static Result<std::unique_ptr<Plan>> make(PreparedModel& prepared, const std::vector<Shape>& input_shapes,
                                            const std::vector<int>& observe, int threads);

  s64 tensor_bytes(const Model& model, int tensor) const;
};

/// Offsets for blocks that live from node `first` to node `last`, none overlapping another alive at the same time.
/// Greedy by size: the largest block first, each at the lowest gap that is free for its lifetime (Pisarchyk and Lee,
/// "Efficient Memory Management for Deep Neural Net Inference", 2020). Returns the bytes needed.
struct ArenaBlock {
  s64 bytes;
  int first, last;
  s64 offset = 0;
};
s64 place_blocks(std::vector<ArenaBlock>& blocks);

}  // namespace whit
