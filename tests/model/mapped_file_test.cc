#include "base/mapped_file.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

using whit::Code;
using whit::MappedFile;

namespace {
bool mapping_fails = false;
}

// Stands before libc's, as on a file system that cannot map.
extern "C" void* mmap(void* address, size_t length, int protection, int flags, int file, off_t offset) noexcept {
  if (mapping_fails) {
    errno = ENODEV;
    return MAP_FAILED;
  }
#ifdef SYS_mmap2
  return reinterpret_cast<void*>(::syscall(SYS_mmap2, address, length, protection, flags, file, offset / 4096));
#else
  return reinterpret_cast<void*>(::syscall(SYS_mmap, address, length, protection, flags, file, offset));
#endif
}

namespace {

/// A new folder, removed with its contents.
class Folder {
 public:
  Folder() {
    char pattern[] = "/tmp/whit_mapped_file_XXXXXX";
    const char* made = ::mkdtemp(pattern);
    REQUIRE(made != nullptr);
    path_ = made;
  }
  ~Folder() {
    for (const std::string& file : files_) ::unlink(file.c_str());
    ::rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) {
    files_.push_back(path_ + "/" + name);
    return files_.back();
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

void check_refused(const std::string& path, Code code, const char* text) {
  const auto opened = MappedFile::open(path);
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.status().code() == code);
  CHECK_MESSAGE(opened.status().message().find(text) != std::string::npos, opened.status().message());
  CHECK_MESSAGE(opened.status().message().find(path.c_str()) != std::string::npos, opened.status().message());
}

}  // namespace

TEST_CASE("a file's bytes, aligned, also after it is removed") {
  Folder folder;
  const std::string path = folder.file("data");
  std::ofstream(path) << "some bytes";
  const auto file = MappedFile::open(path);
  REQUIRE(file.ok());
  ::unlink(path.c_str());
  REQUIRE((*file)->bytes().size() == 10);
  CHECK(std::memcmp((*file)->bytes().data(), "some bytes", 10) == 0);
  CHECK(reinterpret_cast<std::uintptr_t>((*file)->bytes().data()) % whit::kAlignment == 0);
}

TEST_CASE("a file that cannot be mapped is read") {
  Folder folder;
  const std::string path = folder.file("data");
  std::ofstream(path) << "some bytes";
  mapping_fails = true;
  const auto file = MappedFile::open(path);
  mapping_fails = false;
  REQUIRE(file.ok());
  std::ofstream(path) << "other data";
  REQUIRE((*file)->bytes().size() == 10);
  CHECK(std::memcmp((*file)->bytes().data(), "some bytes", 10) == 0);
  CHECK(reinterpret_cast<std::uintptr_t>((*file)->bytes().data()) % whit::kAlignment == 0);
}

TEST_CASE("an empty file has no bytes") {
  Folder folder;
  const std::string path = folder.file("empty");
  std::ofstream{path};
  const auto file = MappedFile::open(path);
  REQUIRE(file.ok());
  CHECK((*file)->bytes().empty());
}

TEST_CASE("what cannot be read is refused with its path") {
  Folder folder;
  check_refused(folder.path(), Code::io, "is a directory");
  check_refused(folder.path() + "/missing", Code::io, "No such file");
  check_refused("", Code::invalid_argument, "empty");
  check_refused("/dev/zero", Code::io, "not a regular file");
  const std::string fifo = folder.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  check_refused(fifo, Code::io, "not a regular file");
  CHECK(MappedFile::open(std::string("a\0b", 3)).status().code() == Code::invalid_argument);
  if (::geteuid() != 0) {
    const std::string path = folder.file("secret");
    std::ofstream(path) << "x";
    REQUIRE(::chmod(path.c_str(), 0) == 0);
    check_refused(path, Code::io, "Permission denied");
  }
}
