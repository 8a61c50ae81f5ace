#include "codec/adaptive.h"
#include "codec/byte_model.h"

namespace whit::codec {

AdaptiveDecoder::AdaptiveDecoder() : model_(std::make_unique<AdaptiveModel>()) {}
AdaptiveDecoder::~AdaptiveDecoder() = default;

Status AdaptiveDecoder::decode(Bytes payload, const Symbols& symbols, MutableBytes planes) {
  RangeDecoder coder(payload);
  std::fill(planes.begin(), planes.end(), std::byte{0});  // the model looks at what it is about to write
  model_->run(&coder, symbols, reinterpret_cast<u8*>(planes.data()));
  if (is_filled_up(payload, coder.used(), symbols.values.elements)) return {};
  return error(Code::format, "the adaptive coder does not end where its payload does");
}

Status decode_bytes(Bytes payload, MutableBytes out) {
  RangeDecoder coder(payload);
  std::fill(out.begin(), out.end(), std::byte{0});
  ByteModel(out.size()).run(&coder, reinterpret_cast<u8*>(out.data()), out.size());
  if (coder.used() == payload.size()) return {};
  return error(Code::format, "the coded bytes do not end where they should");
}

}  // namespace whit::codec
