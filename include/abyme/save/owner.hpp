#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#ifdef __linux__
#include <sys/xattr.h>
#endif

namespace abyme {

// A run that goes on from before it began a file may replace what it wrote there, but nobody else's. The text
// of a table has no place for a name, so its file system remembers it, where it can: an extended attribute. A
// copy may lack it, and counts as somebody else's then.

/// Notes that the run of this id wrote the file. Nothing is done without an id.
inline void set_owner([[maybe_unused]] const std::filesystem::path& file,
                      [[maybe_unused]] const std::string& run) {
#ifdef __linux__
  if (!run.empty()) static_cast<void>(::setxattr(file.c_str(), "user.abyme.run", run.data(), run.size(), 0));
#endif
}

/// The id of the run that wrote the file; empty where nothing tells.
inline std::string owner_of([[maybe_unused]] const std::filesystem::path& file) {
#ifdef __linux__
  char run[256];
  const auto length = ::getxattr(file.c_str(), "user.abyme.run", run, sizeof(run));
  if (length > 0) return {run, static_cast<std::size_t>(length)};
#endif
  return {};
}

}  // namespace abyme
