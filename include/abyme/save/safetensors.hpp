#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/save/file.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace abyme {

/// A tensor and its name in a file.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// The name that the safetensors format has for a dtype, or an empty one.
inline std::string_view safetensors_dtype(at::ScalarType dtype) {
  switch (dtype) {
  case at::kBool: return "BOOL";
  case at::kByte: return "U8";
  case at::kChar: return "I8";
  case at::kShort: return "I16";
  case at::kUInt16: return "U16";
  case at::kInt: return "I32";
  case at::kUInt32: return "U32";
  case at::kLong: return "I64";
  case at::kUInt64: return "U64";
  case at::kHalf: return "F16";
  case at::kBFloat16: return "BF16";
  case at::kFloat: return "F32";
  case at::kDouble: return "F64";
  case at::kFloat8_e5m2: return "F8_E5M2";
  case at::kFloat8_e4m3fn: return "F8_E4M3";
  case at::kComplexFloat: return "C64";
  default: return {};
  }
}

/// A text as JSON, in quotes. What is no UTF-8 stays as it is.
inline std::string json_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else quoted += c;
  }
  return quoted + '"';
}

/// Writes tensors in the safetensors format (8 bytes with the length of the header in little endian, a JSON
/// header, the bytes of the tensors one behind the other), which Python's package of that name reads. Tensors
/// of any strides and on any device; each is written under its name, also where two share storage. \throws
/// Error where a dtype is none of the format's, or the file can't be written.
inline void write_safetensors(File& file, std::vector<NamedTensor> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  static_assert(std::endian::native == std::endian::little, "the format stores little-endian numbers");
  std::unordered_set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second || name == "__metadata__")
      throw Error(fmt::format("a tensor must have a name of its own, got \"{}\"{}; name it otherwise", name,
                              name == "__metadata__" ? "" : " twice"));
    const std::string_view dtype = tensor.defined() ? safetensors_dtype(tensor.scalar_type()) : "";
    if (dtype.empty()) {
      throw Error(
          fmt::format("a tensor must have a dtype of the safetensors format, got {} in \"{}\"; convert "
                      "it with .to(...)",
                      tensor.defined() ? at::toString(tensor.scalar_type()) : "none", name));
    }
  }
  // As Python's package orders them: wide elements first, so that each stays aligned.
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return std::pair(-std::int64_t(a.tensor.element_size()), std::string_view(a.name)) <
           std::pair(-std::int64_t(b.tensor.element_size()), std::string_view(b.name));
  });
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      header += fmt::format("{}:{},", json_text(key), json_text(value));
    header.back() = '}';
    header += ',';
  }
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    std::string shape;
    for (const std::int64_t size : tensor.sizes())
      shape += fmt::format("{}{}", shape.empty() ? "" : ",", size);
    const std::uint64_t end = offset + tensor.nbytes();
    header += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)", json_text(name),
                          safetensors_dtype(tensor.scalar_type()), shape, offset, end);
    offset = end;
  }
  if (header.back() == ',') header.pop_back();
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::uint64_t length = header.size();
  file.write(&length, sizeof(length));
  file.write(header);
  for (const NamedTensor& each : tensors) {
    // One at a time. A conjugate or negative view has the bytes of what it looks at until it is resolved.
    const at::Tensor plain = each.tensor.detach().resolve_conj().resolve_neg().cpu().contiguous();
    file.write(plain.const_data_ptr(), static_cast<std::size_t>(plain.nbytes()));
  }
}

}  // namespace abyme
