// conv_transpose without a scattered sum: output pixels fall into stride_h * stride_w residues, and those of one
// residue are an ordinary convolution with the taps that reach it. Each is an indirect GEMM whose rows are written
// interleaved. Where one tap reaches a residue and all its pixels lie inside (2x2, stride 2), the input is read in
// place.

#include <limits>

#include "base/checked.h"
#include "ops/conv_geometry.h"
#include "ops/movement.h"
#include "ops/product.h"

namespace whit::ops {
namespace {

/// One axis: out[o] = sum over k, i with i * stride + k * dilation == o + pad.
struct AxisGeometry {
  s64 in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, pad = 0;
};

struct Geometry {
  s64 images = 0, in_channels = 0, out_channels = 0, group = 1;
  AxisGeometry y, x;
  isize n() const { return static_cast<isize>(out_channels / group); }
  isize k() const { return static_cast<isize>(in_channels / group); }
};

/// The kernel indices that meet at one residue of o + pad modulo stride.
struct TapList {
  s64 residue;
  std::vector<isize> taps;
};

/// Every residue that has taps, ordered by its first tap. Depends on the weights' shape and the attributes alone.
std::vector<TapList> tap_lists(const AxisGeometry& axis) {
  std::vector<TapList> lists;
  for (s64 tap = 0; tap < axis.kernel; ++tap) {
    const s64 residue = tap * axis.dilation % axis.stride;
    auto list = std::find_if(lists.begin(), lists.end(), [&](const TapList& l) { return l.residue == residue; });
    if (list == lists.end()) list = lists.insert(lists.end(), TapList{residue, {}});
    list->taps.push_back(static_cast<isize>(tap));
  }
  return lists;
}

/// Output indices first, first + stride, ... (count of them) and the list that reaches them, -1 for none.
struct Phase {
  isize first, count;
  int list;
};

std::vector<Phase> phases(const AxisGeometry& axis, const std::vector<TapList>& lists) {
  std::vector<Phase> out;
  for (s64 first = 0; first < std::min(axis.stride, axis.out); ++first) {
    Phase phase{static_cast<isize>(first), static_cast<isize>((axis.out - 1 - first) / axis.stride + 1), -1};
    for (std::size_t i = 0; i < lists.size(); ++i)
      if (lists[i].residue == (first + axis.pad) % axis.stride) phase.list = static_cast<int>(i);
    out.push_back(phase);
  }
  return out;
}

/// The input index that tap k brings to output index o of its residue, or -1 outside.
isize source(const AxisGeometry& axis, isize o, isize k) {
  const s64 at = o + axis.pad - k * axis.dilation;
  return at >= 0 && at / axis.stride < axis.in ? static_cast<isize>(at / axis.stride) : -1;
}

bool all_inside(const AxisGeometry& axis, const Phase& phase, isize k) {
  return source(axis, phase.first, k) >= 0 && source(axis, phase.first + (phase.count - 1) * axis.stride, k) >= 0;
}

void pack_values(const gemm_s8::Kernel& kernel, const TensorInfo& x, const s8* values, const s32* bias, isize n,
                 isize taps, isize k, std::byte* out) {
  gemm_s8::pack(kernel, {values, bias, n, taps, k, x.quantization().zero_point[0]}, out, 0, n);
}
void pack_values(const gemm_f32::Kernel& kernel, const TensorInfo&, const f32* values, const f32* bias, isize n,
                 isize taps, isize k, std::byte* out) {
  gemm_f32::pack(kernel, {values, bias, n, taps, k}, out, 0, n);
}

class Body {
 public:
  virtual ~Body() = default;
  virtual Status prepare(const PrepareContext& context, const Geometry& geometry) = 0;
  virtual const char* kernel_name() const = 0;
  virtual std::size_t scratch_bytes() const = 0;
  virtual void run(const RunContext& context) const = 0;
};

template <class Product>
class TypedBody final : public Body {
 public:
  using Element = typename Product::Element;

  Status prepare(const PrepareContext& context, const Geometry& geometry) override {
    g_ = geometry;
    out_element_bytes_ = element_bytes(context.outputs[0]);
    WHIT_RETURN_IF_ERROR(fill_epilogue(context.node, context.inputs, context.outputs[0], &epilogue_));
    y_lists_ = tap_lists(g_.y);
    x_lists_ = tap_lists(g_.x);
    y_phases_ = phases(g_.y, y_lists_);
    x_phases_ = phases(g_.x, x_lists_);
    const isize most_taps = static_cast<isize>(y_lists_[0].taps.size() * x_lists_[0].taps.size());
    kernel_ = &Product::select(typename Product::Weights(context.inputs[1]), x_phases_[0].count, g_.n(), most_taps,
                               g_.k(), context.isa);
    pad_.assign(static_cast<std::size_t>(g_.k()), Product::padding(context.inputs[0]));
    WHIT_RETURN_IF_ERROR(pack(context));
    WHIT_RETURN_IF_ERROR(build_offsets(context.node));
    split_columns(context.threads);
    threads_ = context.threads;
    return {};
  }

  const char* kernel_name() const override { return name(*kernel_); }
  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(scratch_per_thread_ * threads_); }

  void run(const RunContext& context) const override {
    const isize rows = g_.images * g_.y.out;
    const isize pixel = ceil_div(g_.y.kernel, g_.y.stride) * ceil_div(g_.x.kernel, g_.x.stride) * g_.k() *
                        std::min(columns_, g_.n());  // multiplications
    const isize grain = std::max<isize>(1, 65536 / pixel / g_.x.out);
    context.pool.parallel_for(blocks_ * g_.group * rows, grain, [&](isize begin, isize end, int thread) {
      for (isize unit = begin; unit < end; ++unit) {  // rows run fastest, so a block of weights stays in cache
        const isize block = unit / rows, row = unit % rows;
        run_row(context, block / blocks_, block % blocks_ * columns_, row / g_.y.out, row % g_.y.out,
                context.scratch + thread * scratch_per_thread_);
      }
    });
  }

 private:
  isize taps_of(int y_list, int x_list) const {
    if (y_list < 0 || x_list < 0) return 1;  // bias only: one tap of zeros
    return static_cast<isize>(y_lists_[static_cast<std::size_t>(y_list)].taps.size() *
                              x_lists_[static_cast<std::size_t>(x_list)].taps.size());
  }
  std::size_t pack_index(int y_list, int x_list) const {
    if (y_list < 0 || x_list < 0) return y_lists_.size() * x_lists_.size();
    return static_cast<std::size_t>(y_list) * x_lists_.size() + static_cast<std::size_t>(x_list);
  }

  /// One buffer: per group, the taps of every pair of lists, then the bias alone.
  Status pack(const PrepareContext& context) {
    u64 sum = 0;  // which size_t may not hold on a 32-bit system; no such buffer is made
    starts_.clear();
    scratch_per_thread_ = 0;
    const auto reserve = [&](isize taps) {
      const std::size_t scratch = Product::scratch_bytes(*kernel_, 0, taps, g_.k(), true);
      scratch_per_thread_ = std::max(scratch_per_thread_, round_up(static_cast<isize>(scratch), isize{kAlignment}));
      starts_.push_back(static_cast<std::size_t>(sum));
      sum = (sum + Product::packed_bytes(*kernel_, g_.n(), taps, g_.k()) + kAlignment - 1) / kAlignment * kAlignment;
    };
    for (std::size_t y = 0; y < y_lists_.size(); ++y)
      for (std::size_t x = 0; x < x_lists_.size(); ++x) reserve(taps_of(static_cast<int>(y), static_cast<int>(x)));
    reserve(1);
    group_bytes_ = static_cast<std::size_t>(sum);
    const std::size_t bytes = allocation_bytes(sum, g_.group);
    return pack_weights(
        context, std::string(kernel_name()) + "/taps", bytes, [&](std::byte* out) { return fill(context, out); },
        &packed_);
  }

  bool fill(const PrepareContext& context, std::byte* out) const {
    using Bias = std::conditional_t<std::is_same_v<Element, s8>, s32, f32>;
    typename Product::Weights w(context.inputs[1]);
    const Element* weights = w.values();
    const Bias* bias = constant_bias<Bias>(context.inputs);
    const isize n = g_.n(), k = g_.k(), all_taps = g_.y.kernel * g_.x.kernel;
    const std::size_t most_values = y_lists_[0].taps.size() * x_lists_[0].taps.size() * static_cast<std::size_t>(n * k);
    AlignedBuffer gathered(most_values * sizeof(Element));
    if (!weights || !gathered.data()) return false;
    Element* const values = reinterpret_cast<Element*>(gathered.data());
    for (isize group = 0; group < g_.group; ++group) {
      const Element* group_weights = weights + group * n * all_taps * k;
      const Bias* group_bias = bias ? bias + group * n : nullptr;
      std::byte* group_out = out + static_cast<std::size_t>(group) * group_bytes_;
      for (std::size_t y = 0; y < y_lists_.size(); ++y)
        for (std::size_t x = 0; x < x_lists_.size(); ++x) {
          Element* next = values;
          for (isize o = 0; o < n; ++o)
            for (isize ky : y_lists_[y].taps)
              for (isize kx : x_lists_[x].taps) {
                const Element* tap = group_weights + (o * all_taps + ky * g_.x.kernel + kx) * k;
                next = std::copy_n(tap, k, next);
              }
          const int yi = static_cast<int>(y), xi = static_cast<int>(x);
          pack_values(*kernel_, context.inputs[0], values, group_bias, n, taps_of(yi, xi), k,
                      group_out + starts_[pack_index(yi, xi)]);
        }
      std::fill_n(values, n * k, Element{0});
      pack_values(*kernel_, context.inputs[0], values, group_bias, n, 1, k, group_out + starts_.back());
    }
    return true;
  }

  /// What one pair of phases reads: a table of offsets, or the input in place from `base` on.
  struct Table {
    AlignedBuffer offsets;
    isize base = -1;
  };

  Status build_offsets(const Node& node) {
    if (g_.y.in * g_.x.in * g_.in_channels > std::numeric_limits<s32>::max())
      return node_error(node, Code::unsupported, "an input image of more than 2^31 elements");
    const s64 most_taps = static_cast<s64>(y_lists_[0].taps.size() * x_lists_[0].taps.size());
    WHIT_RETURN_IF_ERROR(check_offsets(node, s64{g_.y.out} * g_.x.out, most_taps));
    tables_.clear();
    for (const Phase& y : y_phases_)
      for (const Phase& x : x_phases_) {
        tables_.emplace_back();
        if (y.list >= 0 && x.list >= 0 && !fill_table(y, x, &tables_.back()))
          return node_error(node, Code::out_of_memory, "no memory for the table of input offsets");
      }
    return {};
  }

  bool fill_table(const Phase& y, const Phase& x, Table* table) const {
    const std::vector<isize>&y_taps = y_lists_[static_cast<std::size_t>(y.list)].taps,
          &x_taps = x_lists_[static_cast<std::size_t>(x.list)].taps;
    const auto offset = [&](isize oy, isize ox, isize ky, isize kx) -> isize {
      const isize iy = source(g_.y, oy, ky), ix = source(g_.x, ox, kx);
      return iy < 0 || ix < 0 ? -1 : (iy * g_.x.in + ix) * g_.in_channels;
    };
    if (y_taps.size() * x_taps.size() == 1 && all_inside(g_.y, y, y_taps[0]) && all_inside(g_.x, x, x_taps[0])) {
      table->base = offset(y.first, x.first, y_taps[0], x_taps[0]);
      return true;
    }
    table->offsets = AlignedBuffer(allocation_bytes(y.count, x.count, y_taps.size() * x_taps.size(), sizeof(s32)));
    s32* out = reinterpret_cast<s32*>(table->offsets.data());
    if (!out) return false;
    for (isize i = 0; i < y.count; ++i)
      for (isize j = 0; j < x.count; ++j)
        for (isize ky : y_taps)
          for (isize kx : x_taps)
            *out++ = static_cast<s32>(offset(y.first + i * g_.y.stride, x.first + j * g_.x.stride, ky, kx));
    return true;
  }

  /// Blocks of output channels, so that the weights that a row needs stay in the second-level cache.
  void split_columns(int threads) {
    constexpr isize kBlockBytes = 65536;
    const isize panel = panel_columns(*kernel_);
    const isize column_bytes = g_.y.kernel * g_.x.kernel * g_.k() * static_cast<isize>(sizeof(Element));
    columns_ = std::max(panel, kBlockBytes / column_bytes / panel * panel);
    if (g_.images * g_.y.out < threads) columns_ = panel;
    blocks_ = ceil_div(g_.n(), columns_);
  }

  void run_row(const RunContext& context, isize group, isize column, isize image, isize oy, std::byte* scratch) const {
    const auto* in = reinterpret_cast<const Element*>(context.inputs[0]) + image * g_.y.in * g_.x.in * g_.in_channels +
                     group * g_.k();
    std::byte* out = context.outputs[0] +
                     ((image * g_.y.out + oy) * g_.x.out * g_.out_channels + group * g_.n()) * out_element_bytes_;
    const std::byte* packed = packed_ + static_cast<std::size_t>(group) * group_bytes_;
    const auto epilogue = Product::epilogue_at(epilogue_, nullptr, 0, group * g_.n());
    const std::size_t y_index = static_cast<std::size_t>(oy % g_.y.stride);
    const isize y_row = oy / g_.y.stride;
    for (std::size_t i = 0; i < x_phases_.size(); ++i) {
      const Phase& x = x_phases_[i];
      const int y_list = y_phases_[y_index].list;
      const Table& table = tables_[y_index * x_phases_.size() + i];
      const isize taps = taps_of(y_list, x.list);
      typename Product::Lhs lhs{in, static_cast<isize>(g_.in_channels), nullptr, pad_.data()};
      if (y_list < 0 || x.list < 0)
        lhs.base = pad_.data(), lhs.row_stride = 0;
      else if (table.base >= 0)
        lhs.base = in + table.base + y_row * g_.x.in * g_.in_channels;
      else
        lhs.offsets = reinterpret_cast<const s32*>(table.offsets.data()) + y_row * x.count * taps;
      Product::run(*kernel_, lhs, packed + starts_[pack_index(y_list, x.list)], g_.n(), taps, g_.k(), epilogue,
                   out + x.first * g_.out_channels * out_element_bytes_, g_.x.stride * g_.out_channels, 0, x.count,
                   column, std::min(column + columns_, g_.n()), scratch);
    }
  }

  Geometry g_;
  typename Product::EpilogueParams epilogue_;
  const typename Product::Kernel* kernel_ = nullptr;
  std::vector<TapList> y_lists_, x_lists_;
  std::vector<Phase> y_phases_, x_phases_;
  std::vector<Table> tables_;  // [y phase][x phase]
  std::vector<Element> pad_;
  std::vector<std::size_t> starts_;  // of each pack within a group
  std::size_t group_bytes_ = 0;
  const std::byte* packed_ = nullptr;
  isize out_element_bytes_ = 0, columns_ = 0, blocks_ = 0, scratch_per_thread_ = 0;
  int threads_ = 1;
};

/// The output's size along one axis; a Code::shape error if the attributes make no sense.
Status infer_axis(const Node& node, std::size_t index, std::size_t spatial, AxisGeometry* axis) {
  const auto read = [&](const char* name, std::size_t i, s64 lowest, s64* value) -> Status {
    *value = node.attributes.integers(name)[i];
    if (*value >= lowest && *value <= std::numeric_limits<s32>::max()) return {};
    return node_error(node, Code::shape, "%s[%zu] is %lld", name, i, static_cast<long long>(*value));
  };
  s64 after = 0, more = 0;
  WHIT_RETURN_IF_ERROR(read("strides", index, 1, &axis->stride));
  WHIT_RETURN_IF_ERROR(read("dilations", index, 1, &axis->dilation));
  WHIT_RETURN_IF_ERROR(read("output_padding", index, 0, &more));
  WHIT_RETURN_IF_ERROR(read("pads", index, 0, &axis->pad));
  WHIT_RETURN_IF_ERROR(read("pads", spatial + index, 0, &after));
  s64 reach = 0, span = 0;
  if (!checked_mul(axis->in - 1, axis->stride, &span) || !checked_mul(axis->kernel - 1, axis->dilation, &reach) ||
      !checked_add(span, reach, &span) || !checked_add(span, more + 1 - axis->pad - after, &axis->out))
    return node_error(node, Code::shape, "the output's size along spatial axis %zu overflows", index);
  if (axis->out < 1)
    return node_error(node, Code::shape, "the pads leave nothing of the output along spatial axis %zu", index);
  return {};
}

class ConvTranspose final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape &x = inputs[0].shape, &w = inputs[1].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", x));
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the weights", w));
    if ((x.rank() != 3 && x.rank() != 4) || w.rank() != x.rank())
      return node_error(
          node, Code::shape,
          "the input has shape %s, the weights %s; [n, (h,) w, c] and [o, (kh,) kw, c / group] are needed",
          x.text().c_str(), w.text().c_str());
    const int last = x.rank() - 1;
    const s64 group = node.attributes.integer("group");
    if (group < 1 || x[last] % group != 0 || w[0] % group != 0 || w[last] != x[last] / group)
      return node_error(node, Code::shape, "%lld groups do not fit an input %s and weights %s",
                        static_cast<long long>(group), x.text().c_str(), w.text().c_str());
    const std::size_t spatial = static_cast<std::size_t>(last - 1);
    for (const char* name : {"strides", "dilations", "pads", "output_padding"}) {
      const std::size_t wanted = std::string_view(name) == "pads" ? 2 * spatial : spatial;
      if (const std::size_t have = node.attributes.integers(name).size(); have != wanted)
        return node_error(node, Code::shape, "%s has %zu values; %zu are needed", name, have, wanted);
    }
    g_ = {x[0], x[last], w[0], group, {}, {}};
    Shape out = x;
    out[last] = w[0];
    for (std::size_t i = 0; i < spatial; ++i) {
      AxisGeometry& axis = i + 1 == spatial ? g_.x : g_.y;
      const int at = static_cast<int>(i) + 1;
      axis.in = x[at];
      axis.kernel = w[at];
      WHIT_RETURN_IF_ERROR(infer_axis(node, i, spatial, &axis));
      out[at] = axis.out;
    }
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    constexpr s64 kMaxResidues = 4096;
    if (g_.y.stride > kMaxResidues / g_.x.stride)
      return node_error(node, Code::unsupported, "strides of %lld x %lld are more than this operator handles",
                        static_cast<long long>(g_.y.stride), static_cast<long long>(g_.x.stride));
    outputs[0] = out;
    return check_constant_bias(node, inputs, w[0]);
  }

  Status prepare(const PrepareContext& context) override {
    if (context.inputs[0].dtype() == DType::s8)
      body_ = std::make_unique<TypedBody<ProductS8>>();
    else
      body_ = std::make_unique<TypedBody<ProductF32>>();
    WHIT_RETURN_IF_ERROR(body_->prepare(context, g_));
    kernel_ = body_->kernel_name();
    scratch_bytes_ = body_->scratch_bytes();
    return {};
  }

  void run(const RunContext& context) const override { body_->run(context); }

 private:
  Geometry g_;
  std::unique_ptr<Body> body_;
};

}  // namespace

std::unique_ptr<Operator> make_conv_transpose(const Node&) { return std::make_unique<ConvTranspose>(); }

}  // namespace whit::ops
