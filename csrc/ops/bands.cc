#include "ops/bands.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace whit::ops {
namespace {

// Tensors from this size on are not found in L2 any more when they are read: half of the 2 MB of a server's core; and
// half of what four small cores share.
s64 far_bytes(IsaSet isa) { return isa.has(Isa::avx2) ? 1 << 20 : 256 << 10; }
// What the buffers of a band may take, beside weights.
s64 near_bytes(IsaSet isa) { return isa.has(Isa::avx2) ? 384 << 10 : 96 << 10; }

}  // namespace

bool Bands::join(const RowKernel* first, const RowKernel* second, IsaSet isa) {
  if (!first || !second) return false;
  const RowGeometry a = first->row_geometry(), b = second->row_geometry();
  // Weights are read once a band.
  const s64 weights = near_bytes(isa) / 2;
  return a.images == b.images && a.out_rows == b.in_rows && a.out_row_bytes == b.in_row_bytes &&
         a.weight_bytes <= weights && b.weight_bytes <= weights && s64{a.out_rows} * a.out_row_bytes >= far_bytes(isa);
}

Bands::Bands(std::vector<std::unique_ptr<Operator>> chain, IsaSet isa, int threads) : chain_(std::move(chain)) {
  name_ = "bands:";
  for (const auto& op : chain_) {
    stages_.push_back({op->row_kernel(), op->row_kernel()->row_geometry()});
    name_ += std::string(" ") + op->kernel();
    if (!op->reason().empty()) reason_ += (reason_.empty() ? "" : "; ") + op->reason();
  }
  kernel_ = name_.c_str();
  const RowGeometry& last = stages_.back().geometry;
  for (const Stage& stage : stages_) row_macs_ += stage.geometry.macs / last.out_rows;
  while (band_ < last.out_rows && place_buffers(band_ + 1) <= near_bytes(isa)) ++band_;
  buffer_bytes_ = place_buffers(band_);
  isize own = 0;
  for (const Stage& stage : stages_) own = std::max(own, stage.geometry.scratch_bytes);
  scratch_per_thread_ = buffer_bytes_ + round_up(own, isize{kAlignment});
  scratch_bytes_ = static_cast<std::size_t>(scratch_per_thread_) * static_cast<std::size_t>(threads);
}

isize Bands::place_buffers(isize rows) {
  isize bytes = 0;
  for (std::size_t i = stages_.size() - 1; i > 0; --i) {
    const RowGeometry& reader = stages_[i].geometry;
    rows = std::min(reader.in_rows, (rows - 1) * reader.stride + reader.reach);
    stages_[i - 1].buffer = bytes;
    bytes += round_up(rows * reader.in_row_bytes, isize{kAlignment});
  }
  return bytes;
}

/// One thread's way down an image.
class Bands::Walk {
 public:
  Walk(const Bands& bands, const std::byte* in, std::byte* buffers)
      : stages_(bands.stages_), in_(in), buffers_(buffers), scratch_(buffers + bands.buffer_bytes_) {}

  /// Rows of the output of operator i. Those of one operator are asked for from top to bottom.
  void compute(std::size_t i, RowRange rows, const std::byte* residual, std::byte* out) {
    if (rows.begin >= rows.end) return;
    const RowGeometry& g = stages_[i].geometry;
    const RowRange wanted = g.input_rows(rows);
    if (i == 0) {
      stages_[0].kernel->run_rows(in_ + wanted.begin * g.in_row_bytes, wanted, rows, residual, out, scratch_);
      return;
    }
    std::byte* const buffer = buffers_ + stages_[i - 1].buffer;
    RowRange& held = held_[i - 1];
    if (held.end <= wanted.begin) held = {wanted.begin, wanted.begin};
    std::memmove(buffer, buffer + (wanted.begin - held.begin) * g.in_row_bytes,
                 static_cast<std::size_t>((held.end - wanted.begin) * g.in_row_bytes));
    held.begin = wanted.begin;
    compute(i - 1, {held.end, wanted.end}, nullptr, buffer + (held.end - held.begin) * g.in_row_bytes);
    held.end = std::max(held.end, wanted.end);
    stages_[i].kernel->run_rows(buffer, held, rows, residual, out, scratch_);
  }

 private:
  const std::vector<Stage>& stages_;
  const std::byte* const in_;
  std::byte* const buffers_;
  std::byte* const scratch_;                     // of the operators, one at a time
  std::array<RowRange, kMostOperators> held_{};  // rows of the output of each operator that are in its buffer
};

void Bands::run(const RunContext& context) const {
  const RowGeometry &first = stages_.front().geometry, &last = stages_.back().geometry;
  for (isize image = 0; image < last.images; ++image) {
    const std::byte* in = context.inputs[0] + image * first.in_rows * first.in_row_bytes;
    const std::byte* residual = context.inputs[1];
    if (residual) residual += image * last.out_rows * last.residual_row_bytes;
    std::byte* out = context.outputs[0] + image * last.out_rows * last.out_row_bytes;
    context.pool.parallel_for(last.out_rows, mac_grain(1, row_macs_), [&](isize begin, isize end, int thread) {
      Walk walk(*this, in, context.scratch + thread * scratch_per_thread_);
      for (isize row = begin; row < end; row += band_) {
        walk.compute(stages_.size() - 1, {row, std::min(end, row + band_)},
                     residual ? residual + row * last.residual_row_bytes : nullptr, out + row * last.out_row_bytes);
      }
    });
  }
}

}  // namespace whit::ops
