#include "codec/adaptive.h"
#include "codec/byte_model.h"

namespace whit::codec {

AdaptiveEncoder::AdaptiveEncoder() : model_(std::make_unique<AdaptiveModel>()) {}
AdaptiveEncoder::~AdaptiveEncoder() = default;

std::vector<std::byte> AdaptiveEncoder::encode(Bytes planes, const Symbols& symbols) {
  std::vector<std::byte> out, work(planes.begin(), planes.end());
  RangeEncoder coder(&out);
  model_->run(&coder, symbols, reinterpret_cast<u8*>(work.data()));
  coder.finish();
  out.resize(std::max<std::size_t>(out.size(), least_payload(symbols.values.elements)));
  return out;
}

std::vector<std::byte> encode_bytes(Bytes bytes) {
  std::vector<std::byte> out, work(bytes.begin(), bytes.end());
  RangeEncoder coder(&out);
  ByteModel(work.size()).run(&coder, reinterpret_cast<u8*>(work.data()), work.size());
  coder.finish();
  return out;
}

}  // namespace whit::codec
