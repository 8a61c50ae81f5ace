#pragma once
// One operator by itself: a node and its tensors, inferred, prepared and run for several numbers of threads and every
// level of this machine. Every buffer ends at a guard page.

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <numeric>

#include "kernels/test_support.h"
#include "ops/operator.h"

namespace whit::test {

/// One scale for a whole tensor.
inline Quantization per_tensor(f32 scale, s32 zero_point) { return {{scale}, {zero_point}, -1}; }

class OperatorHarness {
 public:
  explicit OperatorHarness(Op op) {
    node_.op = op;
    node_.name = "node";
  }

  OperatorHarness& set(const char* name, Attribute value) {
    node_.attributes.set(name, std::move(value));
    return *this;
  }
  template <class T>
  OperatorHarness& input(const Shape& shape, const std::vector<T>& values, Quantization quantization = {}) {
    return add_input(shape, values, std::move(quantization), false);
  }
  template <class T>
  OperatorHarness& constant(const Shape& shape, const std::vector<T>& values, Quantization quantization = {}) {
    return add_input(shape, values, std::move(quantization), true);
  }
  OperatorHarness& absent_input() {
    node_.inputs.push_back(-1);
    inputs_.push_back(nullptr);
    return *this;
  }
  OperatorHarness& output(DType dtype, Quantization quantization = {}) {
    node_.outputs.push_back(100 + static_cast<int>(outputs_.size()));
    outputs_.push_back(std::make_unique<Tensor>());
    outputs_.back()->name = "output " + std::to_string(outputs_.size() - 1);
    outputs_.back()->dtype = dtype;
    outputs_.back()->quantization = std::move(quantization);
    return *this;
  }
  OperatorHarness& absent_output() {
    node_.outputs.push_back(-1);
    outputs_.push_back(nullptr);
    return *this;
  }

  /// What infer, or else prepare for `threads` threads, says.
  Status prepare(IsaSet isa = runnable_isa(), int threads = 1) {
    WHIT_RETURN_IF_ERROR(check_node(node_));
    weights_ = std::make_unique<Weights>();
    operator_ = ops::make_operator(node_);
    std::vector<ops::TensorInfo> inputs, outputs;
    for (const auto& input : inputs_)
      inputs.push_back(input ? ops::TensorInfo{&input->tensor, input->tensor.shape} : ops::TensorInfo{});
    shapes_.assign(outputs_.size(), {});
    WHIT_RETURN_IF_ERROR(operator_->infer(node_, inputs, shapes_));
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      outputs.push_back(outputs_[i] ? ops::TensorInfo{outputs_[i].get(), shapes_[i]} : ops::TensorInfo{});
    return operator_->prepare({node_, inputs, outputs, isa, threads, *weights_});
  }

  /// Prepares and runs for 1, 2 and 3 threads on every level of this machine; within a level all bytes must be equal,
  /// and between levels too unless `exact` is false. Returns what the best level computed for output `index`.
  template <class T>
  std::vector<T> run(std::size_t index = 0, bool exact = true) {
    std::vector<std::vector<std::byte>> wanted;
    for (int level = 0; level < kIsaCount; ++level) {
      if (!runnable_isa().has(static_cast<Isa>(level))) continue;
      const IsaSet isa = isa_up_to(static_cast<Isa>(level)) & runnable_isa();
      if (!exact) wanted.clear();
      for (int threads = 1; threads <= 3; ++threads) {
        const Status status = prepare(isa, threads);
        INFO("isa ", isa_list(isa), " threads ", threads, " ", status.message());
        REQUIRE(status.ok());
        std::vector<std::vector<std::byte>> got = run_once(threads);
        if (wanted.empty()) wanted = got;
        CHECK(got == wanted);
      }
    }
    const std::vector<std::byte>& bytes = wanted[index];
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  /// After prepare.
  const Shape& shape(std::size_t index = 0) const { return shapes_[index]; }
  const ops::Operator& op() const { return *operator_; }

 private:
  struct Input {
    Tensor tensor;
    Guarded<std::byte> bytes;
  };

  class Weights final : public ops::WeightCache {
   public:
    const std::byte* get(const Node&, const std::string& key, std::size_t bytes,
                         const std::function<bool(std::byte*)>& fill) override {
      auto [found, fresh] = buffers_.try_emplace(key, bytes);
      if (fresh) REQUIRE(fill(found->second.data()));
      return found->second.data();
    }

   private:
    std::map<std::string, PackedBuffer> buffers_;
  };

  template <class T>
  OperatorHarness& add_input(const Shape& shape, const std::vector<T>& values, Quantization quantization,
                             bool constant) {
    REQUIRE(static_cast<s64>(values.size()) == shape.elements());
    const isize bytes = static_cast<isize>(values.size() * sizeof(T));
    auto input = std::make_unique<Input>(Input{{}, Guarded<std::byte>(bytes)});
    if (bytes > 0) std::memcpy(input->bytes.data(), values.data(), static_cast<std::size_t>(bytes));
    input->tensor.name = "input " + std::to_string(inputs_.size());
    input->tensor.dtype = std::is_same_v<T, f32>   ? DType::f32
                          : std::is_same_v<T, s8>  ? DType::s8
                          : std::is_same_v<T, u8>  ? DType::u8
                          : std::is_same_v<T, s16> ? DType::s16
                                                   : DType::s32;
    input->tensor.shape = shape;
    input->tensor.quantization = std::move(quantization);
    if (constant) {
      input->tensor.data = input->bytes.data();
      input->tensor.bytes = bytes;
    }
    node_.inputs.push_back(static_cast<int>(inputs_.size()));
    inputs_.push_back(std::move(input));
    return *this;
  }

  std::vector<std::vector<std::byte>> run_once(int threads) {
    std::vector<const std::byte*> inputs;
    for (const auto& input : inputs_) inputs.push_back(input ? input->bytes.data() : nullptr);
    std::vector<Guarded<std::byte>> buffers;
    std::vector<std::byte*> outputs;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      buffers.emplace_back(outputs_[i] ? shapes_[i].elements() * dtype_bits(outputs_[i]->dtype) / 8 : 0);
      outputs.push_back(outputs_[i] ? buffers.back().data() : nullptr);
    }
    PackedBuffer scratch(operator_->scratch_bytes());
    ThreadPool pool(threads);
    operator_->run({inputs, outputs, scratch.data(), pool});
    note_kernel(operator_->kernel());
    std::vector<std::vector<std::byte>> values;
    for (Guarded<std::byte>& buffer : buffers) values.emplace_back(buffer.span().begin(), buffer.span().end());
    return values;
  }

  Node node_;
  std::vector<std::unique_ptr<Input>> inputs_;
  std::vector<std::unique_ptr<Tensor>> outputs_;
  std::vector<Shape> shapes_;
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<ops::Operator> operator_;
};

inline std::vector<f32> random_reals(s64 count, Random& random, f32 low = -1, f32 high = 1) {
  std::vector<f32> values(static_cast<std::size_t>(count));
  random.fill_reals(values, low, high);
  return values;
}

template <class T>
std::vector<T> random_integers(s64 count, Random& random, s64 low, s64 high) {
  std::vector<T> values(static_cast<std::size_t>(count));
  random.fill_integers(std::span(values), low, high);
  return values;
}

/// 0, 1, 2, ...
template <class T>
std::vector<T> counting(s64 count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), T{});
  return values;
}

}  // namespace whit::test
