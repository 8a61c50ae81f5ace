// The encoders of csrc/codec: what the writer of .whit files needs and a device does not.

#include <bit>
#include <span>

#include "bindings/bindings.h"
#include "codec/coders.h"

namespace whit::bindings {
namespace {

using namespace codec;

py::bytes to_bytes(const std::vector<std::byte>& bytes) {
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// Dense values as planes of symbols.
struct Source {
  Symbols symbols;
  std::vector<std::byte> planes;

  Source(const py::bytes& data, int bits, bool is_real, s64 row, s64 plane, int pivot) {
    const std::string_view view = data;
    if (bits < 1 || bits > 32 || !std::has_single_bit(static_cast<u32>(bits)) ||
        8 * view.size() % static_cast<std::size_t>(bits) != 0)
      raise_error(Code::invalid_argument, "bits must be 1, 2, 4, 8, 16 or 32, and divide the data");
    if (row < 1 || plane < 1 || pivot < 0 || pivot > 255)
      raise_error(Code::invalid_argument, "row and plane must be at least 1, pivot from 0 to 255");
    symbols.values = {static_cast<s64>(8 * view.size()) / bits, bits, is_real ? Values::real : Values::integer, row,
                      plane};
    symbols.pivot = pivot;
    planes.resize(static_cast<std::size_t>(symbols.count()));
    const auto bytes = std::as_bytes(std::span(view));
    if (bits == 8)
      std::copy(bytes.begin(), bytes.end(), planes.begin());
    else
      split_planes(bytes, symbols, planes);
  }
};

py::bytes encode_values(const py::bytes& data, int bits, bool is_real) {
  const Source source(data, bits, is_real, 1, 1, 0);
  std::vector<std::byte> out;
  {
    const GilRelease release;
    out = encode_blocks(source.planes, source.symbols);
  }
  return to_bytes(out);
}

py::bytes encode_adaptive(AdaptiveEncoder& self, const py::bytes& data, int bits, bool is_real, s64 row, s64 plane,
                          int pivot) {
  const Source source(data, bits, is_real, row, plane, pivot);
  std::vector<std::byte> out;
  {
    const GilRelease release;
    out = self.encode(source.planes, source.symbols);
  }
  return to_bytes(out);
}

py::bytes encode_text(const py::bytes& data) {
  const std::string_view view = data;
  std::vector<std::byte> out;
  {
    const GilRelease release;
    out = encode_bytes(std::as_bytes(std::span(view)));
  }
  return to_bytes(out);
}

}  // namespace

void bind_codec(py::module_& module) {
  module.def("encode_values", &encode_values, py::arg("data"), py::arg("bits"), py::arg("is_real"));
  module.def("encode_bytes", &encode_text, py::arg("data"));
  py::class_<AdaptiveEncoder>(module, "AdaptiveEncoder")
      .def(py::init<>())
      .def("encode", &encode_adaptive, py::arg("data"), py::arg("bits"), py::arg("is_real"), py::arg("row"),
           py::arg("plane"), py::arg("pivot"));
}

}  // namespace whit::bindings
