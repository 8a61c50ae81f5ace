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
      columns_(plane_) {}

void ValueContexts::prepare() {
  const s32 left = before(1), left2 = before(2), left3 = before(3), above = before(plane_), above2 = before(2 * plane_),
            before_row = before(row_);
  if (index_ < 64 || index_ % 16 == 0) mean_ = static_cast<u32>((all_ * 16 + 16 * 8) / (index_ + 4));
  const u32 channel = static_cast<u32>((u64{channel_} * 16 + u64{kPlacePrior} * mean_) / (place_ + kPlacePrior));
  const u32 column = static_cast<u32>((u64{columns_[place_]} * 16 + u64{kRowsPrior} * mean_) / (rows_ + kRowsPrior));
  const s32 of_all = log_of(mean_), of_channel = log_of(channel), of_column = log_of(column);
  const s32 expected = of_channel + of_column - of_all;
  const s32 close = log_of(2 * size_of(left) + size_of(left2));
  const s32 over = log_of(2 * size_of(above) + size_of(above2) + size_of(before_row));
  const auto is_zero = [&](s32 value, int bit) { return static_cast<u32>(value == 0) << bit; };
  spread = within((expected >> 5) - 4, kSpreads);
  const auto chances = static_cast<u32>(
      largest_ >= peak_ ? 0 : 1 + std::min<int>(static_cast<int>(std::bit_width(u64{plane_ - place_})), 14));
  urgency = chances == 0 || chances > 7 ? 0 : 8 - chances;

  at[1] = within(of_channel >> 2, kSizes[1]);
  at[2] = within(expected >> 2, kSizes[2]);
  at[3] = within((of_column - of_all + 64) >> 3, 16) * 16 + within((of_channel - of_all + 64) >> 3, 16);
  at[4] = within(close >> 4, 16) * 16 + within(over >> 4, 16);
  at[5] = is_zero(left, 0) | is_zero(left2, 1) | is_zero(left3, 2) | is_zero(above, 3) | is_zero(above2, 4) |
          is_zero(before_row, 5) | is_zero(before(plane_ + 1), 6) | is_zero(before(plane_ - 1), 7);
  at[6] = (sign_of(left) * 9 + sign_of(above) * 3 + sign_of(before_row)) * 8 + spread;
  at[7] = upper_ ? upper_[index_] : chances * 8 + spread;
}

void ValueContexts::update() {
  const u32 size = size_of(value_of(index_++));
  all_ += size;
  largest_ = std::max(largest_, size);
  channel_ += size;
  columns_[place_] += size;
  if (++place_ < plane_) return;
  place_ = 0;
  channel_ = 0;
  peak_ = std::max(peak_, largest_);
  largest_ = 0;
  ++rows_;
}

ValueModel::ValueModel() : tables_(mixing_tables()), weights_(kSets * ValueContexts::kSpreads) {
  u32 total = 0;
  for (int k = 0; k < ValueContexts::kCount; ++k) {
    first_[k] = total;
    total += ValueContexts::kSizes[k] * kNodes;
  }
  first_[ValueContexts::kCount] = total;
  counters_.assign(total + (1 + ValueContexts::kUrgencies) * kNodes, 0);
  std::fill_n(counters_.begin(), kNodes, kEven);
  std::fill(counters_.begin() + total, counters_.end(), kEven);
}

void ValueModel::begin() {
  for (Counter& counter : counters_) counter = with_count_of_at_most(counter, 8);
}

}  // namespace whit::codec
