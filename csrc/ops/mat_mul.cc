// mat_mul of two computed tensors: b is transposed and packed for gemm_f32 at run time, then multiplied.

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "ops/epilogue_params.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class MatMul final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape &a = inputs[0].shape, &b = inputs[1].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "input a", a));
    WHIT_RETURN_IF_ERROR(check_sizes(node, "input b", b));
    const auto mismatch = [&] {
      return node_error(node, Code::shape, "cannot multiply %s by %s", a.text().c_str(), b.text().c_str());
    };
    if (a.rank() < 1 || b.rank() < 1) return mismatch();
    const int a_leading = std::max(a.rank() - 2, 0), b_leading = std::max(b.rank() - 2, 0);
    m_ = a.rank() > 1 ? a[a.rank() - 2] : 1;
    k_ = a[a.rank() - 1];
    n_ = b.rank() > 1 ? b[b.rank() - 1] : 1;
    if (b[b_leading] != k_) return mismatch();

    Shape out;
    copy::View a_view, b_view;  // which matrix of a and b each product takes
    const int leading = std::max(a_leading, b_leading);
    for (int i = 0; i < leading; ++i) {
      const int ai = i - (leading - a_leading), bi = i - (leading - b_leading);
      const s64 a_size = ai >= 0 ? a[ai] : 1, b_size = bi >= 0 ? b[bi] : 1;
      if (a_size != b_size && a_size != 1 && b_size != 1) return mismatch();
      out.push_back(std::max(a_size, b_size));
      a_view.push(out[i], a_size == 1 ? 0 : a.elements(ai + 1, a_leading));
      b_view.push(out[i], b_size == 1 ? 0 : b.elements(bi + 1, b_leading));
    }
    batches_ = out.elements();
    if (a.rank() > 1) out.push_back(m_);
    if (b.rank() > 1) out.push_back(n_);
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    outputs[0] = out;
    if (b.elements(0, b_leading) == 1) {  // one b for all: its rows are those of one tall a
      m_ *= batches_;
      batches_ = 1;
    }
    a_view_ = a_view;
    b_view_ = b_view;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    for (const TensorInfo* info : {&context.inputs[0], &context.inputs[1], &context.outputs[0]})
      if (info->dtype() != DType::f32)
        return node_error(context.node, Code::unsupported, "'%s' is %s; mat_mul runs in f32", tensor_name(*info),
                          dtype_name(info->dtype()));
    kernel_choice_ = &gemm_f32::select({m_, n_, 1, k_}, context.isa);
    kernel_ = gemm_f32::name(*kernel_choice_);
    copy::View view;
    view.push(n_, static_cast<isize>(sizeof(f32)));
    view.push(k_, n_ * static_cast<isize>(sizeof(f32)));
    transposed_ = copy::plan(view, sizeof(f32));
    transposed_bytes_ = round_up(n_ * k_ * static_cast<isize>(sizeof(f32)), kAlignment);
    const std::size_t packed_bytes = gemm_f32::packed_bytes(*kernel_choice_, n_, 1, k_);
    per_thread_ = batches_ >= context.threads;
    scratch_bytes_ = allocation_bytes(u64{packed_bytes} + static_cast<u64>(transposed_bytes_) + kAlignment,
                                      per_thread_ ? context.threads : 1);
    slot_bytes_ = transposed_bytes_ + static_cast<isize>(packed_bytes / kAlignment * kAlignment + kAlignment);
    return {};
  }

  void run(const RunContext& context) const override {
    const s64 work = s64{m_} * n_ * k_;
    if (per_thread_) {
      const isize grain = static_cast<isize>(std::max<s64>(1, 65536 / work));
      context.pool.parallel_for(batches_, grain, [&](isize begin, isize end, int thread) {
        std::byte* slot = context.scratch + thread * slot_bytes_;
        for (isize batch = begin; batch < end; ++batch) {
          copy::run(transposed_, b_of(context, batch), slot, 0, transposed_.units);
          pack(slot, 0, n_);
          multiply(context, batch, slot, 0, m_, 0, n_);
        }
      });
      return;
    }
    const isize rows = gemm_f32::tile_rows(*kernel_choice_), columns = gemm_f32::panel_columns(*kernel_choice_);
    for (isize batch = 0; batch < batches_; ++batch) {
      std::byte* slot = context.scratch;
      context.pool.parallel_for(
          transposed_.units, movement_grain(transposed_.unit_bytes),
          [&](isize begin, isize end, int) { copy::run(transposed_, b_of(context, batch), slot, begin, end); });
      context.pool.parallel_for(n_, round_up(movement_grain(k_ * static_cast<isize>(sizeof(f32))), columns),
                                [&](isize begin, isize end, int) { pack(slot, begin, end); });
      if (ceil_div(m_, rows) >= context.pool.threads() || n_ <= columns) {
        context.pool.parallel_for(
            m_, round_up(std::max<isize>(1, 65536 / (n_ * k_)), rows),
            [&](isize begin, isize end, int) { multiply(context, batch, slot, begin, end, 0, n_); });
      } else {
        context.pool.parallel_for(
            n_, round_up(std::max<isize>(1, 65536 / (m_ * k_)), columns),
            [&](isize begin, isize end, int) { multiply(context, batch, slot, 0, m_, begin, end); });
      }
    }
  }

 private:
  static isize matrix_of(const copy::View& view, isize batch) {
    isize index = 0;
    for (int i = view.rank - 1; i >= 0; --i) {
      index += batch % view.sizes[i] * view.strides[i];
      batch /= view.sizes[i];
    }
    return index;
  }
  const std::byte* b_of(const RunContext& context, isize batch) const {
    return context.inputs[1] + matrix_of(b_view_, batch) * k_ * n_ * static_cast<isize>(sizeof(f32));
  }
  void pack(std::byte* slot, isize begin, isize end) const {
    gemm_f32::pack(*kernel_choice_, {reinterpret_cast<const f32*>(slot), nullptr, n_, 1, k_}, slot + transposed_bytes_,
                   begin, end);
  }
  void multiply(const RunContext& context, isize batch, const std::byte* slot, isize m_begin, isize m_end,
                isize n_begin, isize n_end) const {
    constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
    const f32* a = reinterpret_cast<const f32*>(context.inputs[0]) + matrix_of(a_view_, batch) * m_ * k_;
    f32* out = reinterpret_cast<f32*>(context.outputs[0]) + batch * m_ * n_;
    const EpilogueF32 epilogue{Activation::clamp, nullptr, 0, -kInfinity, kInfinity};
    gemm_f32::run(*kernel_choice_, {{a, k_, nullptr, nullptr}, slot + transposed_bytes_, n_, 1, k_, epilogue, out, n_},
                  m_begin, m_end, n_begin, n_end);
  }

  isize m_ = 0, n_ = 0, k_ = 0, batches_ = 1;
  copy::View a_view_, b_view_;
  copy::Plan transposed_;
  const gemm_f32::Kernel* kernel_choice_ = nullptr;
  isize transposed_bytes_ = 0, slot_bytes_ = 0;
  bool per_thread_ = false;
};

}  // namespace

std::unique_ptr<Operator> make_mat_mul(const Node&) { return std::make_unique<MatMul>(); }

}  // namespace whit::ops
