// reduce_mean, reduce_sum, reduce_max, reduce_min over any axes (reduce_mean, _max and _min also on s8).

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/reduce/reduce.h"
#include "ops/checks.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

using reduce::Fold;

// Some axes of the input, innermost first.
struct Axes {
  std::array<isize, Shape::kMaxRank> size{}, stride{};
  std::size_t count = 0;

  void add(isize axis_size, isize axis_stride) {
    if (count > 0 && stride[count - 1] * size[count - 1] == axis_stride) {  // continues the one before
      size[count - 1] *= axis_size;
    } else {
      size[count] = axis_size;
      stride[count++] = axis_stride;
    }
  }
  void drop_innermost() {
    std::copy(size.begin() + 1, size.begin() + static_cast<isize>(count), size.begin());
    std::copy(stride.begin() + 1, stride.begin() + static_cast<isize>(count), stride.begin());
    --count;
  }
  isize elements() const {
    isize product = 1;
    for (std::size_t i = 0; i < count; ++i) product *= size[i];
    return product;
  }
  isize offset(isize index) const {
    isize sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += index % size[i] * stride[i];
      index /= size[i];
    }
    return sum;
  }
};

class Reduce final : public Operator {
 public:
  Reduce(Fold fold, bool mean) : fold_(fold), mean_(mean) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& x = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", x));
    Result<std::vector<int>> axes = normalize_axes(node, node.attributes.integers("axes"), x.rank());
    if (!axes.ok()) return axes.status();
    if (axes->empty()) return node_error(node, Code::shape, "axes is empty");
    const bool keepdims = node.attributes.integer("keepdims") != 0;
    std::array<bool, Shape::kMaxRank> is_reduced{};
    for (int axis : *axes) is_reduced[static_cast<std::size_t>(axis)] = true;
    kept_ = reduced_ = Axes{};
    isize stride = 1;
    for (int i = x.rank() - 1; i >= 0; --i) {
      if (x[i] == 1) continue;
      (is_reduced[static_cast<std::size_t>(i)] ? reduced_ : kept_).add(x[i], stride);
      stride *= x[i];
    }
    for (int i = 0; i < x.rank(); ++i) {
      if (!is_reduced[static_cast<std::size_t>(i)])
        outputs[0].push_back(x[i]);
      else if (keepdims)
        outputs[0].push_back(1);
    }
    outputs_ = kept_.elements();
    count_ = reduced_.elements();
    // The innermost axis decides: if it is reduced, outputs are folds of rows; if kept, columns are folded side by
    // side.
    in_rows_ = reduced_.count > 0 && reduced_.stride[0] == 1;
    columns_ = 1;
    if (!in_rows_ && kept_.count > 0) {
      columns_ = kept_.size[0];
      kept_.drop_innermost();
    }
    inner_ = row_stride_ = 1;
    if (reduced_.count > 0) {
      inner_ = reduced_.size[0];
      row_stride_ = reduced_.stride[0];
      reduced_.drop_innermost();
    }
    outer_ = reduced_.elements();
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    table_ = &reduce::select(context.isa);
    s8_ = x.dtype() == DType::s8;
    if (s8_ && mean_) {
      WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input", x));
      WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
      if (count_ > (isize{1} << 23))
        return node_error(node, Code::unsupported,
                          "the mean of %lld s8 values may leave s32; at most 2^23 are possible",
                          static_cast<long long>(count_));
      WHIT_RETURN_IF_ERROR(round_scale(node, scale_of(x) / (scale_of(y) * static_cast<f64>(count_)), &scale_));
      offset_ = static_cast<s32>(count_) * zero_point_of(x);
      zero_point_ = zero_point_of(y);
    } else if (s8_) {
      if (fold_ == Fold::sum)
        return node_error(node, Code::unsupported, "there is no s8 kernel; dequantise '%s' first",
                          x.tensor->name.c_str());
      WHIT_RETURN_IF_ERROR(check_movement(node, x, y));
    } else {
      WHIT_RETURN_IF_ERROR(require_dtype(node, "input", x, DType::f32));
      WHIT_RETURN_IF_ERROR(require_dtype(node, "output", y, DType::f32));
    }
    name_ = kernel_name(node, dtype_name(x.dtype()), table_->isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    isize grain = work_grain(count_);
    if (columns_ > 1) grain = round_up(grain, 64);
    context.pool.parallel_for(outputs_, grain, [&](isize begin, isize end, int) {
      while (begin < end) {
        isize n = std::min(kBlock, end - begin);
        if (!in_rows_) n = std::min(n, columns_ - begin % columns_);
        run_block(context, begin, n);
        begin += n;
      }
    });
  }

 private:
  static constexpr isize kBlock = 512;

  // Outputs [begin, begin + n); with columns, of one run of them.
  void run_block(const RunContext& context, isize begin, isize n) const {
    const std::size_t fold = static_cast<std::size_t>(fold_);
    if (!s8_) {
      const f32* x = reinterpret_cast<const f32*>(context.inputs[0]);
      f32* y = reinterpret_cast<f32*>(context.outputs[0]) + begin;
      std::fill_n(y, n, reduce::identity_f32(fold_));
      if (in_rows_) {
        for (isize i = 0; i < n; ++i)
          for (isize o = 0; o < outer_; ++o)
            y[i] = combine(y[i], table_->row_f32[fold](x + kept_.offset(begin + i) + reduced_.offset(o), inner_));
      } else {
        fold_columns(table_->columns_f32[fold], x, begin, n, y);
      }
      if (mean_) table_->mean_f32(y, y, n, static_cast<f32>(count_));
      return;
    }
    const s8* x = reinterpret_cast<const s8*>(context.inputs[0]);
    s8* y = reinterpret_cast<s8*>(context.outputs[0]) + begin;
    s32 wide[kBlock];
    std::fill_n(wide, n, s32{reduce::identity_s8(fold_)});
    if (in_rows_) {
      for (isize i = 0; i < n; ++i)
        for (isize o = 0; o < outer_; ++o)
          wide[i] = combine(wide[i], table_->row_s8[fold](x + kept_.offset(begin + i) + reduced_.offset(o), inner_));
    } else if (mean_) {
      fold_columns(table_->columns_s8[fold], x, begin, n, wide);
    } else {
      std::fill_n(y, n, reduce::identity_s8(fold_));
      fold_columns(table_->columns_s8[fold], x, begin, n, y);
      return;
    }
    if (mean_)
      table_->mean_s8(wide, y, n, offset_, scale_, zero_point_);
    else
      for (isize i = 0; i < n; ++i) y[i] = static_cast<s8>(wide[i]);
  }

  template <class T>
  void fold_columns(void (*columns)(const reduce::ColumnArgs&), const T* x, isize begin, isize n, void* acc) const {
    const T* first = x + kept_.offset(begin / columns_) + begin % columns_;
    for (isize o = 0; o < outer_; ++o) columns({first + reduced_.offset(o), inner_, n, row_stride_, acc});
  }

  // Joins the folds of rows that are not neighbours, in ascending order.
  f32 combine(f32 a, f32 b) const {
    if (fold_ == Fold::sum) return a + b;
    if (b != b) return b;
    return fold_ == Fold::max ? std::max(a, b) : std::min(a, b);
  }
  s32 combine(s32 a, s32 b) const {
    if (fold_ == Fold::sum) return a + b;
    return fold_ == Fold::max ? std::max(a, b) : std::min(a, b);
  }

  Fold fold_;
  bool mean_;
  Axes kept_, reduced_;  // without those that the kernels walk
  bool in_rows_ = false, s8_ = false;
  isize outputs_ = 0, count_ = 0, columns_ = 1, inner_ = 1, row_stride_ = 1, outer_ = 1;
  const reduce::Table* table_ = nullptr;
  s32 offset_ = 0, zero_point_ = 0;
  f32 scale_ = 0;
  std::string name_;
};

}  // namespace

std::unique_ptr<Operator> make_reduce_mean(const Node&) { return std::make_unique<Reduce>(Fold::sum, true); }
std::unique_ptr<Operator> make_reduce_sum(const Node&) { return std::make_unique<Reduce>(Fold::sum, false); }
std::unique_ptr<Operator> make_reduce_max(const Node&) { return std::make_unique<Reduce>(Fold::max, false); }
std::unique_ptr<Operator> make_reduce_min(const Node&) { return std::make_unique<Reduce>(Fold::min, false); }

}  // namespace whit::ops
