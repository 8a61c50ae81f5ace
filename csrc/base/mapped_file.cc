#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

namespace whit {
namespace {

// The reader looks at every byte, so all pages are mapped at once. What might not fit into memory is not read twice.
constexpr std::size_t kMostPopulated = 64 << 20;
#if defined(MAP_POPULATE)
constexpr int kPopulate = MAP_POPULATE;
#else
constexpr int kPopulate = 0;
#endif

Status io_error(const std::string& path, const char* doing, int number) {
  return error(Code::io, "%s: cannot %s: %s", path.c_str(), doing, std::strerror(number));
}

Status read_all(const std::string& path, int file, std::byte* out, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t got = ::read(file, out + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error(path, "read", errno);
    if (got == 0) return error(Code::io, "%s: became shorter while it was read", path.c_str());
    done += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  if (path.empty()) return error(Code::invalid_argument, "the path of the file is empty");
  if (path.find('\0') != std::string::npos)
    return error(Code::invalid_argument, "%s...: the path contains a zero byte", path.c_str());
  // O_NONBLOCK: opening a FIFO must fail below, not wait for a writer.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return io_error(path, "open", errno);
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  const Status status = mapped->load(path, file);
  ::close(file);
  if (!status.ok()) return status;
  return std::shared_ptr<const MappedFile>(std::move(mapped));
}

Status MappedFile::load(const std::string& path, int file) {
  struct stat info;
  if (::fstat(file, &info) != 0) return io_error(path, "read the size", errno);
  if (S_ISDIR(info.st_mode)) return error(Code::io, "%s: is a directory, not a file", path.c_str());
  if (!S_ISREG(info.st_mode)) return error(Code::io, "%s: is not a regular file", path.c_str());
  if (info.st_size == 0) return {};
  if (static_cast<u64>(info.st_size) > static_cast<u64>(std::numeric_limits<isize>::max()))
    return error(Code::out_of_memory, "%s: %lld bytes do not fit into the address space", path.c_str(),
                 static_cast<long long>(info.st_size));
  const auto size = static_cast<std::size_t>(info.st_size);

  void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | (size <= kMostPopulated ? kPopulate : 0), file, 0);
  if (mapping != MAP_FAILED) {
    mapping_ = mapping;
    bytes_ = {static_cast<const std::byte*>(mapping), size};
    return {};
  }
  copy_ = AlignedBuffer(size);
  if (!copy_.data()) return error(Code::out_of_memory, "%s: no memory for its %zu bytes", path.c_str(), size);
  WHIT_RETURN_IF_ERROR(read_all(path, file, copy_.data(), size));
  bytes_ = {copy_.data(), size};
  return {};
}

MappedFile::~MappedFile() {
  if (mapping_) ::munmap(mapping_, bytes_.size());
}

}  // namespace whit
