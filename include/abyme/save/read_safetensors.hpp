#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <abyme/save/input_file.hpp>
#include <abyme/save/safetensors.hpp>
#include <abyme/save/safetensors_header.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// What a safetensors file holds. The tensors are on the CPU, contiguous, own their memory, and stand in the
/// order of their bytes.
struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;

  /// The tensor of that name, or null.
  const at::Tensor* find(std::string_view name) const {
    for (const NamedTensor& each : tensors) {
      if (each.name == name) return &each.tensor;
    }
    return nullptr;
  }
};

/// Reads a file in one go, and hands on each piece that was read, the whole head first: `seen(bytes, count)`.
/// \throws Error
template <class Seen>
Safetensors read_safetensors(InputFile& file, Seen seen) {
  const std::string head = read_safetensors_head(file);
  seen(head.data(), head.size());
  SafetensorsHeader header = parse_safetensors_head(file, head);
  Safetensors content{std::move(header.metadata), {}};
  for (auto& said : header.entries) {
    const at::Tensor tensor = at::empty(said.shape, at::TensorOptions(said.dtype));
    char* next = static_cast<char*>(tensor.mutable_data_ptr());
    for (auto left = static_cast<std::size_t>(said.last - said.first); left > 0;) {
      const std::size_t count = std::min<std::size_t>(left, 1 << 18);  // in the cache still when it is seen
      file.read(next, count);
      seen(static_cast<const char*>(next), count);
      next += count;
      left -= count;
    }
    content.tensors.push_back({std::move(said.name), tensor});
  }
  return content;
}

/// Reads a safetensors file, whoever wrote it. \throws Error that says what is wrong with it; no more is
/// allocated than the file is long.
inline Safetensors read_safetensors(const std::filesystem::path& path) {
  InputFile file(path);
  return read_safetensors(file, [](const char*, std::size_t) {});
}

}  // namespace abyme
