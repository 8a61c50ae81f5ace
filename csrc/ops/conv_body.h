#pragma once
// What conv does once geometry and element type are known.

#include "ops/conv_geometry.h"

namespace whit::ops {

class ConvBody {
 public:
  virtual ~ConvBody() = default;
  virtual Status prepare(const PrepareContext& context, const ConvGeometry& geometry) = 0;
  virtual const char* kernel_name() const = 0;
  /// After prepare: bytes of scratch that run needs.
  virtual std::size_t scratch_bytes() const { return 0; }
  virtual void run(const RunContext& context) const = 0;
  virtual const RowKernel* row_kernel() const { return nullptr; }
};

}  // namespace whit::ops
