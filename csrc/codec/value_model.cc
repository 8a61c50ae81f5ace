#include "codec/value_model.h"

namespace whit::codec {
namespace {

/// log2(x + 1) in 1/32: exact for powers of two, lines between them.
s32 log_of(u32 x) {
  const u32 octave = static_cast<u32>(std::bit_width(x + 1)) - 1;
  return static_cast<s32>(octave << 5 | ((u64{x + 1} << 5 >> octave) & 31));
}

u32 within(s32 x, u32 count) { return static_cast<u32>(std::clamp<s32>(x, 0, static_cast<s32>(count) - 1)); }
u32 size_of(s32 value) { return static_cast<u32>(std::abs(value)); }
u32 sign_of(s32 value) { return value == 0 ? 0 : value > 0 ? 1 : 2; }
u32 distance_of(u64 x) { return static_cast<u32>(std::clamp<u64>(x, 1, 1 << 14)); }

// Means begin as if so many values before had been as all are.
constexpr u32 kPlacePrior = 8, kRowsPrior = 4;

}  // namespace

ValueContexts::ValueContexts(const u8* symbols, const u8* upper, u32 pivot, const Values& values)
    : symbols_(symbols),
      upper_(upper),
      pivot_(pivot),
      shift_(32 - static_cast<u32>(std::min(values.bits, 8))),
      row_(static_cast<std::size_t>(std::clamp<s64>(values.row, 1, std::max<s64>(values.elements, 1)))),
      plane_(static_cast<std::size_t>(std::clamp<s64>(values.plane, 1, std::max<s64>(values.elements, 1)))),
      within_row_(static_cast<std::size_t>(values.elements) / plane_, values.bits <= 8 ? plane_ : 1),
      from_rows_(static_cast<std::size_t>(values.elements) / plane_,
                 values.bits <= 8 && !within_row_.is_active() ? plane_ : 1),
      columns_(plane_) {}

void ValueContexts::prepare() {
  const s32 left = before(1), left2 = before(2), left3 = before(3), above = before(plane_), above2 = before(2 * plane_),
            before_row = before(row_);
  mean = within_row_.predict() + from_rows_.predict();  // one of them is 0
  if (index_ < 64 || index_ % 16 == 0) typical_ = static_cast<u32>((all_ + 16 * 8) / (index_ + 4));
  const u32 channel = static_cast<u32>((channel_ + u64{kPlacePrior} * typical_) / (place_ + kPlacePrior));
  const u32 column = static_cast<u32>((columns_[place_] + u64{kRowsPrior} * typical_) / (rows_ + kRowsPrior));
  const s32 of_all = log_of(typical_), of_channel = log_of(channel), of_column = log_of(column);
  const s32 expected = of_channel + of_column - of_all;
  const s32 close = log_of(2 * size_of(left) + size_of(left2));
  const s32 over = log_of(2 * size_of(above) + size_of(above2) + size_of(before_row));
  const auto is_zero = [&](s32 value, int bit) { return static_cast<u32>(value == 0) << bit; };
  // How many chances are left to reach the largest magnitude, if every channel does.
  const auto chances = static_cast<u32>(
      largest_ >= peak_ ? 0 : 1 + std::min<int>(static_cast<int>(std::bit_width(u64{plane_ - place_})), 14));
  distances[0] = distance_of(u64{channel} * column / std::max(typical_, 1u));
  distances[1] = distance_of(u64{last_ >> 4} * column / std::max(typical_, 1u));
  const s32 aside = mean / static_cast<s32>(distances[0]);  // 16 for one distance
  spread = within((expected >> 5) - 4, kSpreads);
  level = within((aside + 14) >> 2, kLevels);

  at[1] = within(of_channel >> 2, kSizes[1]);
  at[2] = within(expected >> 2, kSizes[2]);
  at[3] = within((of_column - of_all + 64) >> 3, 16) * 16 + within((of_channel - of_all + 64) >> 3, 16);
  at[4] = within(close >> 4, 16) * 16 + within(over >> 4, 16);
  at[5] = is_zero(left, 0) | is_zero(left2, 1) | is_zero(left3, 2) | is_zero(above, 3) | is_zero(above2, 4) |
          is_zero(before_row, 5) | is_zero(before(plane_ + 1), 6) | is_zero(before(plane_ - 1), 7);
  at[6] = (sign_of(left) * 9 + sign_of(above) * 3 + sign_of(before_row)) * 8 + spread;
  at[7] = upper_ ? upper_[index_] : chances * 8 + spread;
  at[8] = within((aside >> 1) + 16, 32) * 8 + spread;
}

void ValueContexts::update() {
  const s32 value = value_of(index_++);
  const u32 distance = size_of(value * 256 - mean) >> 4;
  within_row_.update(value, mean);
  from_rows_.update(value);
  all_ += distance;
  last_ += distance - (last_ >> 4);
  channel_ += distance;
  columns_[place_] += distance;
  largest_ = std::max(largest_, size_of(value));
  if (++place_ < plane_) return;
  place_ = 0;
  channel_ = 0;
  peak_ = std::max(peak_, largest_);
  largest_ = 0;
  ++rows_;
}

ValueModel::ValueModel()
    : tables_(mixing_tables()), by_set_(kSets * ValueContexts::kSpreads), by_node_(kNodes * ValueContexts::kLevels) {
  u32 total = 0;
  for (int k = 0; k < ValueContexts::kCount; ++k) {
    first_[k] = total;
    total += ValueContexts::kSizes[k] * kNodes;
  }
  first_[ValueContexts::kCount] = total;
  first_[ValueContexts::kCount + 1] = total + kNodes;
  counters_.resize(total + kNodes + kSets * kCalibrated);
  std::fill_n(counters_.begin(), kNodes, kEven);
  std::fill_n(counters_.begin() + total, kNodes, kEven);
}

void ValueModel::begin() {
  for (Counter& counter : counters_) counter = with_count_of_at_most(counter, 8);
  for (auto& weights : by_set_) weights.quicken();
  for (auto& weights : by_node_) weights.quicken();
}

}  // namespace whit::codec
