#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace abyme {

/// Another run writes to the folder.
class FolderTaken : public Error {
public:
  using Error::Error;
};

/// Keeps a folder to one writer, of all processes and objects, for as long as it lives. The system drops the
/// lock of a process that dies. It is held on a file `.lock` in the folder, which stays.
///
/// Such a lock belongs to the process: it is not handed to its forks, tells the process that has it, works on
/// network file systems, and would be lost if the file were opened and closed once more; so a process
/// remembers the folders that it has.
class FolderLock {
public:
  /// \throws FolderTaken where another has it, with its process; Error where the folder is not there or
  /// writable.
  explicit FolderLock(std::filesystem::path folder)
      : folder_(std::move(folder)), file_(folder_ / ".lock"), process_(::getpid()) {
    const std::lock_guard guard(mutex());
    if (const auto holder = taken().find(identity(file_));
        holder != taken().end() && holder->second == process_)  // a fork has the list, but not the locks
      fail_beside(fmt::format("another one of this process, {}", process_));
    descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail("be writable", "name another one");
    struct flock lock;
    do {
      lock = {};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      if (::fcntl(descriptor_, F_SETLK, &lock) == 0) {
        struct stat status {};
        ::fstat(descriptor_, &status);
        identity_ = {status.st_dev, status.st_ino};
        taken()[identity_] = process_;
        return;
      }
    } while ((errno == EACCES || errno == EAGAIN) && ::fcntl(descriptor_, F_GETLK, &lock) == 0 &&
             lock.l_type == F_UNLCK);  // free again meanwhile
    const int reason = errno;
    ::close(descriptor_);
    if (reason == EACCES || reason == EAGAIN) fail_beside(fmt::format("that of process {}", lock.l_pid));
    errno = reason;
    fail("lie on a file system with locks", "name another one");
  }
  ~FolderLock() {
    const std::lock_guard guard(mutex());
    if (process_ == ::getpid()) taken().erase(identity_);
    ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// Whether the folder is still the one that was locked. \throws Error in a fork of the process that has the
  /// lock.
  bool holds() const {
    if (process_ != ::getpid())
      fail_beside(fmt::format("that of process {}, which forked this one", process_));
    return identity(file_) == identity_;
  }

private:
  using Identity = std::pair<dev_t, ino_t>;

  [[noreturn]] void fail(const char* rule, const char* remedy) const {
    throw Error(fmt::format("the folder {} must {}, got \"{}\"; {}", folder_.string(), rule,
                            std::strerror(errno), remedy));
  }
  [[noreturn]] void fail_beside(const std::string& first) const {
    throw FolderTaken(
        fmt::format("the folder {} must have one writer, got a second beside {}; end that one or name "
                    "another folder",
                    folder_.string(), first));
  }
  static Identity identity(const std::filesystem::path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino};
  }
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::map<Identity, pid_t>& taken() {
    static std::map<Identity, pid_t> all;
    return all;
  }

  std::filesystem::path folder_, file_;
  pid_t process_;
  int descriptor_ = -1;
  Identity identity_{};
};

}  // namespace abyme
