#pragma once
// What adaptive coder and decoder share: the models of a chain, and how planes go through them.

#include <memory>

#include "codec/range_coder.h"
#include "codec/value_model.h"

namespace whit::codec {

/// A model for each kind of plane, made when it is first needed.
class AdaptiveModel {
 public:
  template <class RangeCoder>
  void run(RangeCoder* coder, const Symbols& symbols, u8* planes) {
    const auto count = static_cast<std::size_t>(symbols.values.elements);
    for (int k = 0; k < symbols.planes(); ++k) {
      const u32 pivot = k == 0 ? static_cast<u32>(symbols.pivot) : 0;
      u8* plane = planes + static_cast<std::size_t>(k) * count;
      ValueContexts contexts(plane, k > 0 ? plane - count : nullptr, pivot, symbols.values);
      model_of(symbols, k).run(coder, &contexts, plane, pivot, symbols.values);
    }
  }

 private:
  /// Bytes, four planes of f32, four of s32, two of 16 bits.
  ValueModel& model_of(const Symbols& symbols, int plane) {
    const int bits = symbols.values.bits;
    const bool is_real = symbols.values.kind == Values::real;
    auto& model = models_[static_cast<std::size_t>(bits <= 8    ? 0
                                                   : bits == 16 ? 9 + plane
                                                   : is_real    ? 1 + plane
                                                                : 5 + plane)];
    if (!model) model = std::make_unique<ValueModel>();
    return *model;
  }

  std::unique_ptr<ValueModel> models_[11];
};

}  // namespace whit::codec
