#pragma once

#include <abyme/core/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace abyme {

/// A plain file that is read from its begin. Its size is that of the moment when it was opened: check it
/// before you allocate. \throws Error, from all members, that names the file.
class InputFile {
public:
  explicit InputFile(std::filesystem::path path) : path_(std::move(path)) {
    // Without waiting: a pipe that nobody writes is no plain file either.
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0)
      fail("be readable", system(), "check the path");
    if (!S_ISREG(status.st_mode)) {
      ::close(std::exchange(descriptor_, -1));
      fail("be a plain file", "a folder or a device", "check the path");
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  ~InputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// The next bytes, all of them.
  void read(void* bytes, std::size_t count) {
    char* next = static_cast<char*>(bytes);
    while (count > 0) {
      const auto got = ::read(descriptor_, next, count);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("be readable", system(), "check the disk");
      if (got == 0) fail("stay as it is while it is read", "a shorter one", "read it again");
      next += got;
      count -= static_cast<std::size_t>(got);
    }
  }

  std::uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

  [[noreturn]] void fail(std::string_view rule, std::string_view got, std::string_view remedy) const {
    throw Error(std::string("the file ")
                    .append(path_.string())
                    .append(" must ")
                    .append(rule)
                    .append(", got ")
                    .append(got)
                    .append("; ")
                    .append(remedy));
  }

private:
  static std::string system() { return std::string("\"") + std::strerror(errno) + "\""; }

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace abyme
