#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/status.h"
#include "base/types.h"

namespace whit {

/// The bytes of a file, read-only and 64-byte aligned: mapped into memory, or read where the file system cannot map.
/// A mapped file must not be changed in place while it is open (replacing it by rename is fine).
class MappedFile {
 public:
  /// A directory, a device, a missing or an unreadable file is a Code::io error that names the path. An empty file is
  /// fine and has no bytes.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  /// The bytes are a mapping: their pages may be released (release_file_pages).
  bool is_mapped() const { return mapping_ != nullptr; }

 private:
  MappedFile() = default;
  Status load(const std::string& path, int file);

  std::span<const std::byte> bytes_;
  void* mapping_ = nullptr;
  AlignedBuffer copy_;
};

}  // namespace whit
