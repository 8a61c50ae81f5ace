#pragma once
// Several convolutions in a row, run band by band: some rows of each, then the next rows of each, so that what lies
// between them stays in L2 and is never written to memory as a whole.

#include <memory>
#include <string>
#include <vector>

#include "ops/operator.h"

namespace whit::ops {

class Bands final : public Operator {
 public:
  static constexpr int kMostOperators = 8;

  /// True if what the first writes and the second reads is better kept in a buffer of some rows: they fit together and
  /// it is too large for L2. Both may be null.
  static bool join(const RowKernel* first, const RowKernel* second, IsaSet isa);

  /// A chain of operators with row kernels, two or more, each pair of which joins.
  Bands(std::vector<std::unique_ptr<Operator>> chain, IsaSet isa, int threads);

  Status infer(const Node&, std::span<const TensorInfo>, std::span<Shape>) override { return {}; }
  Status prepare(const PrepareContext&) override { return {}; }

  /// inputs: that of the first operator, and the last one's residual or null; outputs: that of the last.
  void run(const RunContext& context) const override;

 private:
  class Walk;

  struct Stage {
    const RowKernel* kernel;
    RowGeometry geometry;
    isize buffer = 0;  // of its output: bytes into a thread's scratch
  };

  /// Bytes of all buffers if the last operator computes `rows` rows at a time; sets where they begin.
  isize place_buffers(isize rows);

  std::vector<std::unique_ptr<Operator>> chain_;
  std::vector<Stage> stages_;
  isize band_ = 1, buffer_bytes_ = 0, scratch_per_thread_ = 0;
  s64 row_macs_ = 0;
  std::string name_;
};

}  // namespace whit::ops
