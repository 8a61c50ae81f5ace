#pragma once
// What an operator is to the engine: it infers shapes, prepares once per plan, and runs without allocating.
//
// One file per operator (or per group that shares its code); the list is model/op_list.inc: each WHIT_OP(name, ...)
// there needs   std::unique_ptr<Operator> make_name(const Node&);   in namespace whit::ops.

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/isa.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "model/op_schema.h"

namespace whit::ops {

/// A tensor as an operator sees it while a plan is made. Shapes are complete (no -1).
struct TensorInfo {
  const Tensor* tensor = nullptr;  ///< dtype, quantisation, name; null for an absent optional tensor
  Shape shape;
  isize row_stride = 0;      ///< of an output of an operator that can_stride_rows; else 0, as where rows are adjacent
  bool is_in_place = false;  ///< an input of concat lies where it would be copied to
  bool present() const { return tensor != nullptr; }
  DType dtype() const { return tensor->dtype; }
  const Quantization& quantization() const { return tensor->quantization; }
  bool is_constant() const { return tensor && tensor->is_constant(); }
  template <class T>
  const T* constant() const {
    return reinterpret_cast<const T*>(tensor->data);
  }
};

/// Null if the input is absent or the node has fewer.
inline const TensorInfo* optional_input(std::span<const TensorInfo> inputs, std::size_t index) {
  return index < inputs.size() && inputs[index].present() ? &inputs[index] : nullptr;
}

/// Packed weights, made once per model and shared by all its plans and sessions.
class WeightCache {
 public:
  virtual ~WeightCache() = default;
  /// The buffer under `key` (unique within the node: kernel name and what else the layout depends on), made by `fill`
  /// on first use. Null when memory is short; fill says so by returning false.
  virtual const std::byte* get(const Node& node, const std::string& key, std::size_t bytes,
                               const std::function<bool(std::byte*)>& fill) = 0;
};

struct PrepareContext {
  const Node& node;
  std::span<const TensorInfo> inputs;  ///< as many as the node has; absent ones are not present()
  std::span<const TensorInfo> outputs;
  IsaSet isa;
  int threads;
  WeightCache& weights;
};

/// *packed becomes what context.weights has under `key`, or the error says that there is no memory for it.
Status pack_weights(const PrepareContext& context, const std::string& key, std::size_t bytes,
                    const std::function<bool(std::byte*)>& fill, const std::byte** packed);

struct RunContext {
  std::span<const std::byte* const> inputs;  ///< null for absent; constants point into the model
  std::span<std::byte* const> outputs;       ///< null for absent
  std::byte* scratch;                        ///< scratch_bytes() of prepare, 64-byte aligned
  ThreadPool& pool;

  /// Null too if the node has fewer inputs.
  const std::byte* optional_input(std::size_t index) const { return index < inputs.size() ? inputs[index] : nullptr; }
};

/// Rows [begin, end) of an image.
struct RowRange {
  isize begin = 0, end = 0;
};

/// How the rows of an operator's output depend on those of its input 0, in each of some images.
struct RowGeometry {
  isize images, in_rows, out_rows;
  isize in_row_bytes, out_row_bytes, residual_row_bytes;
  isize stride, reach, pad;  ///< output row i needs input rows [i * stride - pad, i * stride - pad + reach)
  s64 macs;                  ///< of an image
  isize weight_bytes;
  isize scratch_bytes;  ///< that a thread needs

  /// Those that exist.
  RowRange input_rows(RowRange out) const {
    return {std::max<isize>(0, out.begin * stride - pad), std::min(in_rows, (out.end - 1) * stride - pad + reach)};
  }
};

/// What an operator is to Bands: it computes some rows from some rows.
class RowKernel {
 public:
  virtual ~RowKernel() = default;
  virtual RowGeometry row_geometry() const = 0;
  /// Computes output rows `rows` of an image to `out`. `in` holds the input's rows `held`, among them all that exist of
  /// those needed. `residual` is that of rows.begin, or null.
  virtual void run_rows(const std::byte* in, RowRange held, RowRange rows, const std::byte* residual, std::byte* out,
                        std::byte* scratch) const = 0;
};

class Operator {
 public:
  virtual ~Operator() = default;

  /// Fills the shapes of the outputs from the inputs' shapes and the attributes. Checks every attribute value and
  /// every relation of shapes: nothing after this may go out of bounds, whatever the file says.
  virtual Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) = 0;

  /// After infer: true if output 0 may have other bytes between its rows (all axes but the last): row_stride elements
  /// from one to the next, if that is not 0.
  virtual bool can_stride_rows() const { return false; }

  /// Checks dtypes and quantisation (an unsupported combination is Code::unsupported), chooses a kernel, packs weights.
  virtual Status prepare(const PrepareContext& context) = 0;

  /// Computes the outputs. Does not allocate, does not fail. Same bytes for every number of threads.
  virtual void run(const RunContext& context) const = 0;

  /// After prepare: null unless it can run by rows (with constants for all inputs but 0 and the residual).
  virtual const RowKernel* row_kernel() const { return nullptr; }

  /// After prepare: the kernel's name for profiles ("gemm_s8s8s32_6x64k4_avx512vnni", "transpose_4d").
  const char* kernel() const { return kernel_; }
  /// After prepare: why that kernel, where it had a choice that depends on the weights' values; else empty.
  const std::string& reason() const { return reason_; }
  /// After prepare: bytes of scratch that run needs.
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  /// After prepare: the input whose memory output 0 may reuse (same bytes, element i read before it is written, by the
  /// same thread), or -1.
  int in_place_input() const { return in_place_input_; }
  /// After prepare: true if output 0 is input 0 under another shape; the engine aliases them and never calls run.
  bool is_view() const { return is_view_; }

 protected:
  const char* kernel_ = "";
  std::string reason_;
  std::size_t scratch_bytes_ = 0;
  int in_place_input_ = -1;
  bool is_view_ = false;
};

/// Multiply-accumulates below which another thread is not worth its waking: 10 to 20 us of a Cortex-A53 or A72 core.
inline constexpr isize kMacsPerThread = 1 << 17;
/// Items of `macs` multiply-accumulates each that one thread should have at least, as a multiple of `multiple`.
inline isize mac_grain(isize multiple, s64 macs) {
  const isize bounded = static_cast<isize>(std::clamp<s64>(macs, 1, kMacsPerThread));
  return round_up(ceil_div(kMacsPerThread, bounded), multiple);
}

/// Ok, or Code::unsupported: a build that was trimmed to some operators (WHIT_OPS) lacks this node's.
Status check_compiled(const Node& node);
/// Never null for an operator that is compiled.
std::unique_ptr<Operator> make_operator(const Node& node);

/// Error texts of operators: "node 'conv_3' (conv): <message>".
[[gnu::format(printf, 3, 4)]] Status node_error(const Node& node, Code code, const char* format, ...);
/// Adds an axis count to a possibly negative axis; an axis outside [-rank, rank) is a Code::shape error.
Result<int> normalize_axis(const Node& node, s64 axis, int rank);

}  // namespace whit::ops
