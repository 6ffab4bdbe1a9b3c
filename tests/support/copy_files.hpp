#pragma once

#include <abyme/save/owner.hpp>

#include <filesystem>
#include <fstream>

namespace tests {

/// Copies the files of a run, which know whose they are.
inline void copy_files(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  if (std::filesystem::is_regular_file(from)) abyme::set_owner(to, abyme::owner_of(from));
  if (!std::filesystem::is_directory(from)) return;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(from)) {
    if (entry.is_regular_file())
      abyme::set_owner(to / entry.path().lexically_relative(from), abyme::owner_of(entry.path()));
  }
}

/// Whether the file system of a folder remembers that; old ones in memory don't.
inline bool remembers_owners(const std::filesystem::path& folder) {
  const auto file = folder / "whose";
  std::ofstream(file).close();
  abyme::set_owner(file, "mine");
  const bool remembers = abyme::owner_of(file) == "mine";
  std::filesystem::remove(file);
  return remembers;
}

}  // namespace tests
