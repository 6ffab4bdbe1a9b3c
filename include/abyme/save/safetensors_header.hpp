#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/core/json.hpp>
#include <abyme/save/input_file.hpp>
#include <abyme/save/safetensors.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

namespace abyme {

/// What the header of a safetensors file says, without the tensors.
struct SafetensorsHeader {
  struct Entry {
    std::string name;
    at::ScalarType dtype = at::kFloat;
    std::vector<std::int64_t> shape;
    std::uint64_t first = 0, last = 0;  ///< where its bytes lie, counted from the end of the header
  };
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;  ///< in the order of their bytes
};

/// Takes a header apart and believes nothing: the tensors must lie one behind the other, from the first byte
/// to the last, each as long as its shape and dtype say. Every Error names the file.
class SafetensorsHeaderReader {
public:
  /// A header in front of so many bytes of tensors.
  SafetensorsHeaderReader(std::string file, std::string_view json, std::uint64_t data_size)
      : file_(std::move(file)), json_(json, "the header of the file " + file_), data_size_(data_size) {}

  /// \throws Error
  SafetensorsHeader read() {
    each_name([this](std::string name) {
      if (name == "__metadata__") {
        if (std::exchange(has_metadata_, true)) fail("have each name once", "__metadata__ twice");
        each_name([this](std::string key) {
          if (!header_.metadata.try_emplace(key, json_.string()).second)
            fail("have each name once", "\"" + key + "\" twice in __metadata__");
        });
      } else {
        read_entry(std::move(name));
      }
    });
    json_.need_end();
    check_layout();
    return std::move(header_);
  }

private:
  using Entry = SafetensorsHeader::Entry;

  [[noreturn]] void fail(const std::string& rule, const std::string& got,
                         const std::string& remedy = "write or fetch it again") const {
    throw Error("the file " + file_ + " must " + rule + ", got " + got + "; " + remedy);
  }

  template <class Read>
  void each_name(Read read) {
    json_.need("{");
    if (json_.take("}")) return;
    do {
      std::string name = json_.string();
      json_.need(":");
      read(std::move(name));
    } while (json_.take(","));
    json_.need("}");
  }

  std::vector<std::int64_t> numbers(const Entry& tensor_entry) {
    std::vector<std::int64_t> all;
    json_.need("[");
    if (json_.take("]")) return all;
    do {
      const std::string_view text = json_.number();
      if (!json_.is_whole() || text.front() == '-')
        fail("have sizes and offsets of at least 0",
             std::string(text) + " for \"" + tensor_entry.name + "\"");
      all.push_back(json_.number_as<std::int64_t>(text));
    } while (json_.take(","));
    json_.need("]");
    return all;
  }

  void read_entry(std::string name) {
    Entry tensor_entry;
    tensor_entry.name = std::move(name);
    std::string dtype;
    std::vector<std::int64_t> offsets;
    std::vector<std::string> keys;
    each_name([&](std::string key) {
      if (key == "dtype") dtype = json_.string();
      else if (key == "shape") tensor_entry.shape = numbers(tensor_entry);
      else if (key == "data_offsets") offsets = numbers(tensor_entry);
      else fail("tell of a tensor dtype, shape and data_offsets", key + " of \"" + tensor_entry.name + "\"");
      keys.push_back(std::move(key));
    });
    std::sort(keys.begin(), keys.end());
    if (keys != std::vector<std::string>{"data_offsets", "dtype", "shape"} || offsets.size() != 2) {
      fail("tell of a tensor dtype, shape and two data_offsets, once",
           "more or less of \"" + tensor_entry.name + "\"");
    }
    const auto* known = std::find_if(std::begin(safetensors_dtypes), std::end(safetensors_dtypes),
                                     [&](const auto& each) { return each.second == dtype; });
    if (known == std::end(safetensors_dtypes)) {
      fail("have dtypes that abyme can read", dtype + " of \"" + tensor_entry.name + "\"",
           "write it with another dtype");
    }
    tensor_entry.dtype = known->first;
    tensor_entry.first = static_cast<std::uint64_t>(offsets[0]);
    tensor_entry.last = static_cast<std::uint64_t>(offsets[1]);
    const std::uint64_t bytes = bytes_of(tensor_entry);
    if (tensor_entry.last < tensor_entry.first || tensor_entry.last - tensor_entry.first != bytes) {
      fail("have as many bytes of a tensor as shape and dtype need",
           fmt::format("data_offsets {} and {} of \"{}\", which needs {}", tensor_entry.first,
                       tensor_entry.last, tensor_entry.name, bytes));
    }
    header_.entries.push_back(std::move(tensor_entry));
  }

  std::uint64_t bytes_of(const Entry& tensor_entry) const {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::uint64_t bytes = c10::elementSize(tensor_entry.dtype);
    std::uint64_t stride = bytes;  // counts sizes of 0 as 1, as strides do
    for (const std::int64_t each : tensor_entry.shape) {
      const auto size = static_cast<std::uint64_t>(each);
      if (size > 0 && stride > most / size)
        fail("have tensors of less than 2^63 bytes", "a larger one, \"" + tensor_entry.name + "\"");
      stride *= std::max<std::uint64_t>(size, 1);
      bytes *= size;
    }
    return bytes;
  }

  void check_layout() {
    auto& entries = header_.entries;
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.first, a.last, a.name) < std::tie(b.first, b.last, b.name);
    });
    std::unordered_set<std::string_view> names;
    std::uint64_t end = 0;
    for (const Entry& tensor_entry : entries) {
      if (!names.insert(tensor_entry.name).second)
        fail("have each name once", "\"" + tensor_entry.name + "\" twice");
      if (tensor_entry.first != end) {
        fail("have its tensors one behind the other",
             (tensor_entry.first < end ? "an overlap before \"" : "a hole before \"") + tensor_entry.name +
                 "\"");
      }
      end = tensor_entry.last;
    }
    if (end != data_size_)
      fail("have as many bytes of tensors as its header says", fmt::format("{}, not {}", data_size_, end));
  }

  std::string file_;
  JsonReader json_;
  std::uint64_t data_size_;
  bool has_metadata_ = false;
  SafetensorsHeader header_;
};

/// Reads the first bytes of a file, its length and its header; what follows are tensors. \throws Error
inline std::string read_safetensors_head(InputFile& file) {
  std::uint64_t length = 0;
  std::string head(sizeof(length), '\0');
  if (file.size() < head.size()) {
    file.fail("be a safetensors file", fmt::format("{} bytes", file.size()), "write or fetch it again");
  }
  file.read(head.data(), head.size());
  std::memcpy(&length, head.data(), head.size());
  if (length > std::min(file.size() - head.size(), most_safetensors_header)) {
    file.fail("be a safetensors file", fmt::format("a header of {} bytes", length),
              "write or fetch it again");
  }
  head.resize(sizeof(length) + static_cast<std::size_t>(length));
  file.read(head.data() + sizeof(length), static_cast<std::size_t>(length));
  return head;
}

/// \throws Error
inline SafetensorsHeader parse_safetensors_head(const InputFile& file, std::string_view head) {
  return SafetensorsHeaderReader(file.path().string(), head.substr(sizeof(std::uint64_t)),
                                 file.size() - head.size())
      .read();
}

}  // namespace abyme
