#pragma once

#include <abyme/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>

#ifdef ABYME_HAS_ZLIB  // set by the build, where it finds zlib
#include <algorithm>
#include <memory>
#include <zlib.h>
#endif

namespace abyme {

/// A file read from its begin to its end, unpacked on the way where it starts with gzip's magic number 1f 8b,
/// whatever its name is. \throws Error, from all members, in the form "who: path: rule, got value; remedy".
class ByteFile {
public:
  /// `who` is the function that the messages begin with.
  ByteFile(std::string who, const std::filesystem::path& path) : who_(std::move(who)), name_(path.string()) {
    if (!std::filesystem::exists(path)) fail("must be a file", "no such file", "check the path");
    if (!std::filesystem::is_regular_file(path))
      fail("must be a file", "a folder or device", "check the path");
    std::ifstream raw(path, std::ios::binary);
    if (!raw) fail("must be readable", "no access", "check its permissions");
    capacity_ = std::filesystem::file_size(path);
    const bool gzip = raw.get() == 0x1f && raw.get() == 0x8b;
#ifdef ABYME_HAS_ZLIB
    file_.reset(gzopen(name_.c_str(), "rb"));  // reads raw files as well
    if (!file_) fail("must be readable", "no access", "check its permissions");
    if (gzip) capacity_ *= 1032;  // deflate packs no better than this
#else
    if (gzip) fail("must be unpacked, because abyme is built without zlib", "gzip", "run gunzip on it");
    raw.clear();
    raw.seekg(0);
    file_ = std::move(raw);
#endif
  }

  /// Bytes that it holds at the most, told by its size on the disk: check it before allocating.
  std::uint64_t capacity() const { return capacity_; }

  /// Fills `to` with the next bytes; returns how many there were, fewer only at the end of the file.
  std::size_t read(std::span<unsigned char> to) {
#ifdef ABYME_HAS_ZLIB
    std::size_t count = 0;
    while (count < to.size()) {
      const auto most = static_cast<unsigned>(std::min<std::size_t>(to.size() - count, 1U << 30));
      const int got = gzread(file_.get(), to.data() + count, most);
      if (got > 0) {
        count += static_cast<std::size_t>(got);
        continue;
      }
      int code = Z_OK;
      gzerror(file_.get(), &code);
      if (code == Z_BUF_ERROR) fail("must be a whole gzip file", "a truncated one", "fetch it again");
      if (code != Z_OK) fail("must be an intact gzip file", "a broken one", "fetch it again");
      break;
    }
    return count;
#else
    file_.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size()));
    return static_cast<std::size_t>(file_.gcount());
#endif
  }

  [[noreturn]] void fail(const std::string& rule, const std::string& got, const std::string& remedy) const {
    throw Error(who_ + ": " + name_ + " " + rule + ", got " + got + "; " + remedy);
  }

private:
  std::string who_, name_;
  std::uint64_t capacity_ = 0;
#ifdef ABYME_HAS_ZLIB
  struct Close {
    void operator()(gzFile file) const { gzclose(file); }
  };
  std::unique_ptr<gzFile_s, Close> file_;
#else
  std::ifstream file_;
#endif
};

}  // namespace abyme
