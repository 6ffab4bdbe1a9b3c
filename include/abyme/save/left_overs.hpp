#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <signal.h>
#include <unistd.h>

namespace abyme {

/// A file that is being written, or was when its process died: `results.csv.4711.tmp`, see
/// `write_atomically`.
struct HalfWritten {
  std::string name;  ///< that it is to get: `results.csv`
  pid_t process;

  static std::filesystem::path path_for(std::filesystem::path file) {
    return file += fmt::format(".{}.tmp", ::getpid());
  }
  static std::optional<HalfWritten> parse(std::string_view name) {
    constexpr std::string_view extension = ".tmp";
    if (!name.ends_with(extension)) return std::nullopt;
    name.remove_suffix(extension.size());
    const auto dot = name.rfind('.');
    if (dot == name.npos) return std::nullopt;
    pid_t process = 0;
    const std::string_view digits = name.substr(dot + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), process);
    if (error != std::errc() || end != digits.data() + digits.size() || process < 1) return std::nullopt;
    return HalfWritten{std::string(name.substr(0, dot)), process};
  }
  bool process_is_gone() const { return ::kill(process, 0) != 0 && errno == ESRCH; }
};

/// Removes files in a folder that are half written and that `is_left(half_written)` says nobody will finish.
/// What can't be removed stays.
template <class IsLeft>
void remove_left_overs(const std::filesystem::path& folder, IsLeft is_left) {
  std::error_code error;
  std::vector<std::filesystem::path> left;
  for (std::filesystem::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    const auto found = HalfWritten::parse(each->path().filename().native());
    if (found && is_left(*found)) left.push_back(each->path());
  }
  for (const auto& path : left) std::filesystem::remove(path, error);
}

}  // namespace abyme
