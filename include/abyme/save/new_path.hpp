#pragma once

#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <string>

namespace abyme {

/// The local date and time as it stands in file names, sorted by age: `2026-11-21_05-30-53`.
inline std::string date_text(std::time_t time = std::time(nullptr)) {
  std::tm local{};
  ::localtime_r(&time, &local);
  char text[32];
  return std::string(text, std::strftime(text, sizeof(text), "%Y-%m-%d_%H-%M-%S", &local));
}

/// `folder/name.ext`, or, where that is taken, the first free one of `folder/name-2.ext`,
/// `folder/name-3.ext`, ... A link to nowhere takes a name too.
/// \param is_free whether a path that is taken counts as free
template <class IsFree>
std::filesystem::path free_path(const std::filesystem::path& wanted, IsFree is_free) {
  std::filesystem::path free = wanted;
  for (int number = 2; std::filesystem::exists(std::filesystem::symlink_status(free)) && !is_free(free);
       ++number) {
    free = wanted;
    free.replace_filename(
        fmt::format("{}-{}{}", wanted.stem().string(), number, wanted.extension().string()));
  }
  return free;
}
inline std::filesystem::path free_path(const std::filesystem::path& wanted) {
  return free_path(wanted, [](const std::filesystem::path&) { return false; });
}

}  // namespace abyme
