#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/save/left_overs.hpp>
#include <abyme/save/owner.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace abyme {

/// A file that is written, without a buffer of its own: what `write` has taken outlives the process, what
/// was there at `sync` outlives the machine. Every function throws an Error that names the file and the
/// system's reason.
class File {
public:
  enum class Open { create, append };  ///< empty, made where it is not there; or behind what it holds

  File(std::filesystem::path path, Open how) : path_(std::move(path)) {
    const int flags = how == Open::create ? O_TRUNC : O_APPEND;
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (descriptor_ < 0) fail();
  }
  File(File&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  void write(const void* bytes, std::size_t count) {
    const char* next = static_cast<const char*>(bytes);
    while (count > 0) {
      const auto written = ::write(descriptor_, next, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      next += written;
      count -= static_cast<std::size_t>(written);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Writes all of `text`, or nothing of it where the disk is full.
  void write_whole(std::string_view text) {
    const std::uint64_t before = size();
    try {
      write(text);
    } catch (...) {
      if (::ftruncate(descriptor_, static_cast<off_t>(before)) != 0) {
      }  // nothing is left to try; the error that is under way tells more
      throw;
    }
  }

  /// Replaces bytes that were written, wherever the end is.
  void overwrite(std::uint64_t place, std::string_view text) {
    while (!text.empty()) {
      const auto written = ::pwrite(descriptor_, text.data(), text.size(), static_cast<off_t>(place));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      place += static_cast<std::uint64_t>(written);
      text.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  /// Waits until all is on the disk.
  void sync() {
    if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOTSUP) fail();  // a pipe has no disk
  }

  std::uint64_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail();
    return static_cast<std::uint64_t>(status.st_size);
  }
  const std::filesystem::path& path() const { return path_; }

private:
  [[noreturn]] void fail() const {
    throw Error(fmt::format("the file {} must be writable, got \"{}\"; make room or name another file",
                            path_.string(), std::strerror(errno)));
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Makes the folder in which `path` lies, where it is not there. \throws Error
inline void make_folder_of(const std::filesystem::path& path) {
  if (!path.has_parent_path()) return;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    throw Error(fmt::format("the folder {} must be there or made, got \"{}\"; name another one",
                            path.parent_path().string(), error.message()));
  }
}

enum class Existing : std::uint8_t { replace, keep };

/// Writes a file so that whoever looks, also after a crash at any moment, finds the old one or the new one,
/// whole: `write` is given a File under another name in the same folder, which is flushed to the disk and
/// then takes the name. What processes that are no more have left of such files is removed. \throws Error;
/// the old file is as it was then.
/// \returns false where a file is there, also one that came meanwhile, and `existing` says to keep it.
template <class Write>
bool write_atomically(const std::filesystem::path& path, Write write, Existing existing = Existing::replace) {
  make_folder_of(path);
  std::error_code none;
  if (const auto there = std::filesystem::status(path, none);
      std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    throw Error(fmt::format("what is replaced must be a plain file, got {}, which is a folder or a device; "
                            "name another file",
                            path.string()));
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  remove_left_overs(folder, [name = path.filename().string()](const HalfWritten& found) {
    return found.name == name && found.process_is_gone();
  });
  const auto made = HalfWritten::path_for(path);
  try {
    File file(made, File::Open::create);
    write(file);
    file.sync();
    // A link takes no name that somebody has, a rename does; a file system may have no links.
    const bool linked = existing == Existing::keep && ::link(made.c_str(), path.c_str()) == 0;
    const bool is_taken = existing == Existing::keep && !linked && errno == EEXIST;
    if (linked || is_taken) ::unlink(made.c_str());
    if (is_taken) return false;
    if (!linked && ::rename(made.c_str(), path.c_str()) != 0) {
      throw Error(fmt::format("the file {} must be replaceable, got \"{}\"; name another file", path.string(),
                              std::strerror(errno)));
    }
  } catch (...) {
    ::unlink(made.c_str());
    throw;
  }
  if (const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); descriptor >= 0) {
    ::fsync(descriptor);  // the name is on the disk too
    ::close(descriptor);
  }
  return true;
}

/// Takes from a file what was written behind its first `size` bytes: a run goes on from where a snapshot was
/// taken. \throws Error where it has less, so that it is another file
inline void cut_file(const std::filesystem::path& path, std::uint64_t size) {
  std::error_code error;
  const std::uint64_t there = std::filesystem::file_size(path, error);
  if (error || there < size) {
    throw Error(
        fmt::format("the file {} must be that of the run which goes on, with at least {} bytes, got {}; put "
                    "it back, or start anew",
                    path.string(), size, error ? error.message() : fmt::format("{} bytes", there)));
  }
  std::filesystem::resize_file(path, size, error);
  if (error)
    throw Error(fmt::format("the file {} must be writable, got \"{}\"; change its rights", path.string(),
                            error.message()));
}

/// Makes room for a file that a run begins: one that is there already is kept as NAME.bck, in place of an
/// earlier one of that name. If this run wrote it, before it went on from a snapshot that had not seen it, it
/// is removed. \param run the id of the run, empty where it has none \throws Error
inline void keep_as_backup(const std::filesystem::path& path, const std::string& run = {}) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return;
  if (!run.empty() && owner_of(path) == run && std::filesystem::remove(path, error)) return;
  std::filesystem::path kept = path;
  kept += ".bck";
  std::filesystem::rename(path, kept, error);
  if (error) {
    throw Error(fmt::format("the file {} must be movable to {}, got \"{}\"; move it or name another file",
                            path.string(), kept.string(), error.message()));
  }
}

}  // namespace abyme
