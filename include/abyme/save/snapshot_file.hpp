#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/save/checksum.hpp>
#include <abyme/save/file.hpp>
#include <abyme/save/input_file.hpp>
#include <abyme/save/read_safetensors.hpp>
#include <abyme/save/safetensors.hpp>
#include <abyme/save/ties.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

// A snapshot is a safetensors file whose metadata begins with a checksum, so that its place is known without
// believing anything of what the file says. It is that of the whole file with '0' in its own place.
inline constexpr std::string_view snapshot_begin = R"({"__metadata__":{"checksum":")";
inline constexpr std::string_view no_checksum = "0000000000000000";
inline constexpr std::size_t checksum_place = sizeof(std::uint64_t) + snapshot_begin.size();

/// The checksum of a snapshot file that is read from its begin.
class SnapshotChecksum {
public:
  /// Takes the length and the header. \returns false where they tell no checksum.
  bool begin(std::string_view head) {
    constexpr std::size_t behind = checksum_place + no_checksum.size();
    if (head.size() <= behind || head.substr(sizeof(std::uint64_t), snapshot_begin.size()) != snapshot_begin)
      return false;
    told_ = head.substr(checksum_place, no_checksum.size());
    sum_.update(head.data(), checksum_place);
    sum_.update(no_checksum.data(), no_checksum.size());
    sum_.update(head.data() + behind, head.size() - behind);
    return true;
  }
  void add(const char* bytes, std::size_t count) { sum_.update(bytes, count); }
  bool holds() const { return told_ == fmt::format("{:016x}", sum_.value()); }

private:
  Checksum sum_;
  std::string told_;
};

/// Writes a snapshot: a safetensors file, whole or not at all, in place of one that is there. Its metadata
/// gets a `checksum` and, where tensors are tied and it has none, their `ties`. \throws Error where it can't
/// be written; the old file is as it was then. A template, so that only those who write compile it.
template <class Tensors = std::vector<NamedTensor>>
void write_snapshot_file(const std::filesystem::path& path, Tensors tensors,
                         std::map<std::string, std::string> metadata) {
  if (metadata.contains("checksum")) {
    throw Error(
        "the metadata of a snapshot must leave the name \"checksum\" to the file, got it; take another");
  }
  if (auto ties = ties_text(tensors); !ties.empty()) metadata.try_emplace("ties", std::move(ties));
  std::vector<std::pair<std::string, std::string>> entries{{"checksum", std::string(no_checksum)}};
  std::move(metadata.begin(), metadata.end(), std::back_inserter(entries));
  write_atomically(path, [&](File& file) {
    struct {
      File& file;
      Checksum sum{};
      void write(const void* bytes, std::size_t count) {
        const char* next = static_cast<const char*>(bytes);
        while (count > 0) {
          const std::size_t piece = std::min<std::size_t>(count, 1 << 18);  // in the cache still for the disk
          sum.update(next, piece);
          file.write(next, piece);
          next += piece;
          count -= piece;
        }
      }
    } out{file};
    write_safetensors(out, std::move(tensors), entries);
    file.overwrite(checksum_place, fmt::format("{:016x}", out.sum.value()));
  });
}

/// Reads a snapshot; its tensors are tied again. One pass over the file, and no more is allocated than it is
/// long. \throws Error where a byte differs from what was written, or the file is no snapshot.
inline Safetensors read_snapshot_file(const std::filesystem::path& path) {
  InputFile file(path);
  SnapshotChecksum sum;
  bool begun = false;
  Safetensors content = read_safetensors(file, [&](const char* bytes, std::size_t count) {
    if (std::exchange(begun, true)) sum.add(bytes, count);
    else if (!sum.begin(std::string_view(bytes, count)))
      file.fail("be a snapshot with a checksum", "none", "take another one");
  });
  if (!sum.holds())
    file.fail("be as it was written", "another checksum", "take another one, this one is damaged");
  content.metadata.erase("checksum");
  tie_again(content);
  return content;
}

}  // namespace abyme
