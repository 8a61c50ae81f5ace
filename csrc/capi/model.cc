#include <locale.h>
#include <stdlib.h>

#include "base/isa.h"
#include "capi/handles.h"
#include "capi/json_pointer.h"

namespace whit::capi {
namespace {

/// Everything but the reading itself, which `read` does.
template <class Read>
whit_status load(const whit_model_options* given, whit_model** model, whit_error* error, const Read& read) {
  if (model) *model = nullptr;
  return guarded(error, [&]() -> Status {
    WHIT_RETURN_IF_ERROR(check_not_null(model, "model"));
    whit_model_options options;
    WHIT_RETURN_IF_ERROR(read_options(given, "whit_model_options", &options));
    const Result<IsaSet> isa = options.isa ? isa_limited(options.isa, "isa") : isa_active();
    if (!isa.ok()) return isa.status();
    Result<std::shared_ptr<const Model>> loaded = read();
    if (!loaded.ok()) return loaded.status();
    for (const Node& node : (*loaded)->nodes) WHIT_RETURN_IF_ERROR(ops::check_compiled(node));
    *model = new whit_model{std::make_shared<PreparedModel>(std::move(*loaded), *isa)};
    return {};
  });
}

const Model* model_of(const whit_model* model) { return model ? &model->prepared->model() : nullptr; }

const whit_tensor* tensor_at(const whit_model* model, const std::vector<int>& tensors, std::size_t index) {
  return index < tensors.size() ? to_c(model_of(model)->tensors[static_cast<std::size_t>(tensors[index])]) : nullptr;
}

}  // namespace
}  // namespace whit::capi

using namespace whit;        // NOLINT: the functions below have C linkage and no namespace
using namespace whit::capi;  // NOLINT

extern "C" {

whit_status whit_model_load_file(const char* path, const whit_model_options* options, whit_model** model,
                                 whit_error* error) {
  return load(options, model, error, [&]() -> Result<std::shared_ptr<const Model>> {
    WHIT_RETURN_IF_ERROR(check_not_null(path, "path"));
    return read_model_file(path);
  });
}

whit_status whit_model_load_memory(const void* data, size_t bytes, const whit_model_options* options,
                                   whit_model** model, whit_error* error) {
  return load(options, model, error, [&]() -> Result<std::shared_ptr<const Model>> {
    WHIT_RETURN_IF_ERROR(check_not_null(data, "data"));
    Result<std::shared_ptr<const Model>> loaded = read_model_borrowed(data, bytes);
    if (loaded.status().code() == Code::invalid_argument)
      return loaded.status().in("data is at the wrong address (whit_model_load_copy takes any)");
    return loaded;
  });
}

whit_status whit_model_load_copy(const void* data, size_t bytes, const whit_model_options* options, whit_model** model,
                                 whit_error* error) {
  return load(options, model, error, [&]() -> Result<std::shared_ptr<const Model>> {
    WHIT_RETURN_IF_ERROR(check_not_null(data, "data"));
    return read_model_bytes(data, bytes);
  });
}

void whit_model_free(whit_model* model) { delete model; }

const char* whit_model_isa(const whit_model* model) {
  return model ? isa_name(isa_best(model->prepared->isa())) : nullptr;
}

uint64_t whit_model_file_bytes(const whit_model* model) { return model ? model_of(model)->file_bytes : 0; }

size_t whit_model_packed_bytes(const whit_model* model) { return model ? model->prepared->packed_bytes() : 0; }

size_t whit_model_input_count(const whit_model* model) { return model ? model_of(model)->inputs.size() : 0; }

size_t whit_model_output_count(const whit_model* model) { return model ? model_of(model)->outputs.size() : 0; }

const whit_tensor* whit_model_input(const whit_model* model, size_t index) {
  return model ? tensor_at(model, model_of(model)->inputs, index) : nullptr;
}

const whit_tensor* whit_model_output(const whit_model* model, size_t index) {
  return model ? tensor_at(model, model_of(model)->outputs, index) : nullptr;
}

const char* whit_tensor_name(const whit_tensor* tensor) { return tensor ? from_c(tensor)->name.c_str() : nullptr; }

whit_dtype whit_tensor_dtype(const whit_tensor* tensor) {
  return tensor ? static_cast<whit_dtype>(from_c(tensor)->dtype) : WHIT_DTYPE_NONE;
}

whit_shape whit_tensor_shape(const whit_tensor* tensor) { return tensor ? to_c(from_c(tensor)->shape) : kNoShape; }

const char* whit_tensor_size_name(const whit_tensor* tensor, int32_t axis) {
  if (!tensor || axis < 0 || static_cast<std::size_t>(axis) >= from_c(tensor)->dim_names.size()) return nullptr;
  return from_c(tensor)->dim_names[static_cast<std::size_t>(axis)].c_str();
}

size_t whit_tensor_quantization(const whit_tensor* tensor, const float** scales, const int32_t** zero_points,
                                int32_t* axis) {
  const Quantization* q = tensor ? &from_c(tensor)->quantization : nullptr;
  const bool quantized = q && !q->scale.empty();
  if (scales) *scales = quantized ? q->scale.data() : nullptr;
  if (zero_points) *zero_points = quantized ? q->zero_point.data() : nullptr;
  if (axis) *axis = quantized ? q->axis : -1;
  return quantized ? q->scale.size() : 0;
}

const char* whit_model_metadata(const whit_model* model, const char* pointer, size_t* bytes) {
  const std::string_view value =
      model && pointer ? find_json_value(model_of(model)->metadata, pointer) : std::string_view();
  if (bytes) *bytes = value.size();
  return value.data();
}

int32_t whit_model_metadata_number(const whit_model* model, const char* pointer, double* value) {
  size_t bytes = 0;
  const char* text = whit_model_metadata(model, pointer, &bytes);
  char copy[80];
  if (!value || !text || bytes >= sizeof copy || !(*text == '-' || (*text >= '0' && *text <= '9'))) return 0;
  std::memcpy(copy, text, bytes);
  copy[bytes] = '\0';
  // The program's own locale may have a decimal comma.
  const locale_t plain = newlocale(LC_ALL_MASK, "C", locale_t{});
  if (!plain) return 0;
  *value = strtod_l(copy, nullptr, plain);
  freelocale(plain);
  return 1;
}

}  // extern "C"
