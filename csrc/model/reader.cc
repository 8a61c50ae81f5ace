#include "model/reader.h"

#include <cstring>

#include "base/buffer.h"
#include "base/mapped_file.h"
#include "model/file_format.h"
#include "model/text.h"

namespace whit {
namespace {

Status read_metadata(const reader::Section& section, Model* model) {
  if (section.bytes.size() > file_format::kMaxMetadataBytes)
    return at_offset(section.offset,
                     error(Code::format, "section META has %zu bytes; at most %llu are allowed", section.bytes.size(),
                           static_cast<unsigned long long>(file_format::kMaxMetadataBytes)));
  model->metadata.assign(reinterpret_cast<const char*>(section.bytes.data()), section.bytes.size());
  const Status status = check_json_object(model->metadata, file_format::kMaxJsonDepth);
  return status.ok() ? status : at_offset(section.offset, status.in("section META"));
}

/// `file` stays alive in `storage` and is 64-byte aligned.
Result<std::shared_ptr<const Model>> read_model(std::span<const std::byte> file, std::shared_ptr<const void> storage,
                                                bool is_mapped = false) {
  const Result<reader::Layout> layout = reader::read_layout(file);
  if (!layout.ok()) return layout.status();
  auto model = std::make_shared<Model>();
  model->storage = std::move(storage);
  if (is_mapped) model->mapping = file;
  model->file_bytes = file.size();
  model->version_major = layout->version_major;
  model->version_minor = layout->version_minor;
  reader::Positions positions;
  WHIT_RETURN_IF_ERROR(reader::read_graph(layout->graph, model.get(), &positions));
  WHIT_RETURN_IF_ERROR(reader::read_tensors(layout->tensors, layout->data, model.get()));
  WHIT_RETURN_IF_ERROR(reader::check_graph(*model, positions));
  WHIT_RETURN_IF_ERROR(read_metadata(layout->metadata, model.get()));
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace

Result<std::shared_ptr<const Model>> read_model_file(const std::string& path) {
  Result<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  Result<std::shared_ptr<const Model>> model = read_model((*file)->bytes(), *file, (*file)->is_mapped());
  return model.ok() ? model : model.status().in(path);
}

Result<std::shared_ptr<const Model>> read_model_bytes(const void* data, std::size_t bytes) {
  auto copy = std::make_shared<AlignedBuffer>(bytes);
  if (bytes > 0 && !copy->data()) return error(Code::out_of_memory, "no memory for %zu bytes", bytes);
  if (bytes > 0) std::memcpy(copy->data(), data, bytes);
  const std::span<const std::byte> file(copy->data(), bytes);
  return read_model(file, std::move(copy));
}

Result<std::shared_ptr<const Model>> read_model_borrowed(const void* data, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(data) % kAlignment != 0)
    return error(Code::invalid_argument, "the model's memory must be on a %zu-byte boundary", kAlignment);
  return read_model({static_cast<const std::byte*>(data), bytes}, nullptr);
}

}  // namespace whit
