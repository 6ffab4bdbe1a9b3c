#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/save/file.hpp>
#include <abyme/save/folder_lock.hpp>
#include <abyme/save/inspect.hpp>
#include <abyme/save/left_overs.hpp>
#include <abyme/save/snapshot_file.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

namespace abyme {

struct SnapshotFolderOptions {
  std::int64_t keep = 3;  ///< how many snapshots stay, the newest; at least 1
};

/// A snapshot that was found, and what it holds.
struct FoundSnapshot {
  std::filesystem::path path;
  Safetensors content;
};

/// The snapshots of a run: `00000001.safetensors`, `00000002.safetensors`, ... in one folder, and
/// `best.safetensors` beside them. One writes there at a time; reading is free. Files of other names are left
/// alone, as are snapshots that are damaged. The disk is first touched when something is written or read.
class SnapshotFolder {
public:
  /// \throws Error where `path` is empty or `keep` less than 1.
  explicit SnapshotFolder(std::filesystem::path path, SnapshotFolderOptions options = {})
      : path_(std::move(path)), options_(options) {
    if (path_.empty())
      throw Error("SnapshotFolder: path must name a folder, got none; pass one, as in \"runs/mnist\"");
    if (options_.keep < 1) {
      throw Error(fmt::format("SnapshotFolder: keep must be at least 1, got {}; leave it out to keep 3",
                              options_.keep));
    }
  }

  const std::filesystem::path& path() const { return path_; }

  /// Makes the folder where it is not there, keeps others from writing to it while this object lives, and
  /// removes what runs that died while they wrote have left half done. `write` and `write_best` do it first.
  /// \throws Error where another writes there, with its process.
  void lock() {
    if (lock_ && lock_->holds()) return;
    if (lock_ && !std::filesystem::is_directory(path_)) {  // a disk that is gone gets no folder in its place
      throw Error(
          fmt::format("the folder {} must stay while a run writes to it, got none of that name; put it "
                      "back or make it again",
                      path_.string()));
    }
    lock_.reset();
    is_good_.clear();
    make_folder_of(path_ / "");
    lock_.emplace(path_);
    remove_left_overs();
  }

  /// Writes the next snapshot, its number greater than all before, and removes good ones that are older than
  /// the newest `keep`. \throws Error; what was there is there then. \returns its path. A template, as is
  /// `write_best`, so that only those who write compile it.
  template <class Tensors = std::vector<NamedTensor>>
  std::filesystem::path write(Tensors tensors, std::map<std::string, std::string> metadata) {
    lock();
    for (const auto& [number, path] : snapshots()) last_ = std::max(last_, number);
    const auto number = last_ + 1;
    const auto path = path_ / fmt::format("{:08}.safetensors", number);
    write_snapshot_file(path, std::move(tensors), std::move(metadata));
    last_ = number;
    is_good_[number] = true;
    remove_old();
    return path;
  }

  /// Writes `best.safetensors`, in place of the one before. \throws Error; that one is there then.
  template <class Tensors = std::vector<NamedTensor>>
  std::filesystem::path write_best(Tensors tensors, std::map<std::string, std::string> metadata) {
    lock();
    const auto path = path_ / "best.safetensors";
    write_snapshot_file(path, std::move(tensors), std::move(metadata));
    return path;
  }

  /// The newest snapshot that is whole, or nothing where there is none. One that is damaged is left where it
  /// is, and told as `warn(text)`.
  template <class Warn>
  std::optional<FoundSnapshot> newest_good(Warn warn) {
    std::set<std::uint64_t> bad;
    // Looks once more where a writer may have removed what was there, for newer ones.
    for (Numbered before, all = snapshots(); all != before; before = std::exchange(all, snapshots())) {
      for (auto each = all.rbegin(); each != all.rend(); ++each) {
        const auto& [number, path] = *each;
        if (bad.contains(number)) continue;
        try {
          FoundSnapshot found{path, read_snapshot_file(path)};
          is_good_[number] = true;
          return found;
        } catch (const Error& error) {
          std::error_code none;
          if (!std::filesystem::exists(path, none)) continue;
          bad.insert(number);
          is_good_[number] = false;
          warn(std::string(error.what()));
        }
      }
    }
    return std::nullopt;
  }

private:
  using Numbered = std::map<std::uint64_t, std::filesystem::path>;

  // All numbers that are taken, good or not.
  Numbered snapshots() const {
    Numbered all;
    for_each_name([&](const std::string& name) {
      if (const auto number = number_of(name)) all.emplace(*number, path_ / name);
    });
    return all;
  }

  template <class Do>
  void for_each_name(Do act) const {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator each(path_, error), end; !error && each != end;
         each.increment(error))
      names.push_back(each->path().filename().string());
    if (error && error != std::errc::no_such_file_or_directory) {
      throw Error(fmt::format("the folder {} must be readable, got \"{}\"; name another one", path_.string(),
                              error.message()));
    }
    for (const std::string& name : names) act(name);
  }

  static std::optional<std::uint64_t> number_of(std::string_view name) {
    constexpr std::string_view extension = ".safetensors";
    if (!name.ends_with(extension)) return std::nullopt;
    const auto digits = name.substr(0, name.size() - extension.size());
    std::uint64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return fmt::format("{:08}.safetensors", number) == name ? std::optional(number) : std::nullopt;
  }

  // A good one stays for certain: that which was just written counts.
  void remove_old() {
    auto all = snapshots();
    std::int64_t good = 0;
    for (auto each = all.rbegin(); each != all.rend(); ++each) {
      const auto& [number, path] = *each;
      if (!is_good(number, path) || ++good <= options_.keep) continue;
      std::error_code none;  // what can't be removed now is tried again behind the next snapshot
      if (std::filesystem::remove(path, none)) is_good_.erase(number);
    }
  }
  bool is_good(std::uint64_t number, const std::filesystem::path& path) {
    if (const auto known = is_good_.find(number); known != is_good_.end()) return known->second;
    bool good = false;
    try {
      good = inspect(path).checksum == ChecksumState::holds;
    } catch (const Error&) {  // not even a header
    }
    return is_good_[number] = good;
  }

  // The lock is held, so what has this process's number is of a process before it.
  void remove_left_overs() const {
    abyme::remove_left_overs(path_, [](const HalfWritten& found) {
      return (number_of(found.name) || found.name == "best.safetensors") &&
             (found.process == ::getpid() || found.process_is_gone());
    });
  }

  std::filesystem::path path_;
  SnapshotFolderOptions options_;
  std::optional<FolderLock> lock_;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, bool> is_good_;  // those that were looked at
};

}  // namespace abyme
