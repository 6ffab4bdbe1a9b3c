#pragma once

#include <abyme/save/input_file.hpp>
#include <abyme/save/safetensors_header.hpp>
#include <abyme/save/snapshot_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

enum class ChecksumState : std::uint8_t { none, holds, broken };

/// What a safetensors file holds, a snapshot or another one, without its tensors.
struct FileSummary {
  std::uint64_t bytes = 0;
  ChecksumState checksum = ChecksumState::none;
  SafetensorsHeader header;
};

/// Reads all of a safetensors file and keeps its header. A file with a broken checksum is summed up too, as
/// long as its header makes sense. \throws Error
inline FileSummary inspect(const std::filesystem::path& path) {
  InputFile file(path);
  const std::string head = read_safetensors_head(file);
  FileSummary summary{file.size(), ChecksumState::none, parse_safetensors_head(file, head)};
  SnapshotChecksum sum;
  if (!sum.begin(head)) return summary;
  std::vector<char> piece(1 << 18);
  for (std::uint64_t left = file.size() - head.size(); left > 0;) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece.size()));
    file.read(piece.data(), count);
    sum.add(piece.data(), count);
    left -= count;
  }
  summary.checksum = sum.holds() ? ChecksumState::holds : ChecksumState::broken;
  summary.header.metadata.erase("checksum");
  return summary;
}

}  // namespace abyme
