#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/core/json.hpp>
#include <abyme/core/kept.hpp>
#include <abyme/save/file.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace abyme {

/// The dtypes that both LibTorch and the safetensors format have, with the format's names.
inline constexpr std::pair<at::ScalarType, std::string_view> safetensors_dtypes[] = {
    {at::kBool, "BOOL"},
    {at::kByte, "U8"},
    {at::kChar, "I8"},
    {at::kShort, "I16"},
    {at::kUInt16, "U16"},
    {at::kInt, "I32"},
    {at::kUInt32, "U32"},
    {at::kLong, "I64"},
    {at::kUInt64, "U64"},
    {at::kHalf, "F16"},
    {at::kBFloat16, "BF16"},
    {at::kFloat, "F32"},
    {at::kDouble, "F64"},
    {at::kComplexFloat, "C64"},
    {at::kFloat8_e5m2, "F8_E5M2"},
    {at::kFloat8_e4m3fn, "F8_E4M3"},
    {at::kFloat8_e5m2fnuz, "F8_E5M2FNUZ"},
    {at::kFloat8_e4m3fnuz, "F8_E4M3FNUZ"},
    {at::kFloat8_e8m0fnu, "F8_E8M0"},
};

/// The name that the safetensors format has for a dtype, or an empty one.
inline std::string_view safetensors_dtype(at::ScalarType wanted) {
  for (const auto& [dtype, name] : safetensors_dtypes) {
    if (dtype == wanted) return name;
  }
  return {};
}

/// The most bytes that a header may have, for Python's package too.
inline constexpr std::uint64_t most_safetensors_header = 100'000'000;

/// The first bytes of a safetensors file, its length and its header, to the multiple of 8 at which the bytes
/// of the tensors begin; puts the tensors in the order in which these follow. `metadata` is a range of pairs
/// of texts. \throws Error where a name is taken twice or a dtype is none of the format's.
template <class Metadata>
std::string safetensors_head(std::vector<NamedTensor>& tensors, const Metadata& metadata) {
  static_assert(std::endian::native == std::endian::little, "the format stores little-endian numbers");
  std::unordered_set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second || name == "__metadata__")
      throw Error(fmt::format("a tensor must have a name of its own, got \"{}\"{}; name it otherwise", name,
                              name == "__metadata__" ? "" : " twice"));
    if (!tensor.defined() || safetensors_dtype(tensor.scalar_type()).empty()) {
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
  std::string head(sizeof(std::uint64_t), '\0');  // where the length comes
  head += '{';
  if (std::begin(metadata) != std::end(metadata)) {
    head += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) head += json_text(key) + ":" + json_text(value) + ",";
    head.back() = '}';
    head += ',';
  }
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    std::string shape;
    for (const std::int64_t size : tensor.sizes())
      shape.append(shape.empty() ? "" : ",").append(std::to_string(size));
    const std::uint64_t end = offset + tensor.nbytes();
    head += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)", json_text(name),
                        safetensors_dtype(tensor.scalar_type()), shape, offset, end);
    offset = end;
  }
  if (head.back() == ',') head.pop_back();
  head += '}';
  head.append((8 - head.size() % 8) % 8, ' ');
  const std::uint64_t length = head.size() - sizeof(length);
  if (length > most_safetensors_header) {
    throw Error(fmt::format("the header of a safetensors file must have at most {} bytes, got {}; keep long "
                            "texts as tensors",
                            most_safetensors_header, length));
  }
  std::memcpy(head.data(), &length, sizeof(length));
  return head;
}

/// Writes tensors in the safetensors format (8 bytes with the length of the header in little endian, a JSON
/// header, the bytes of the tensors one behind the other), which Python's package of that name reads. Tensors
/// of any strides and on any device; each is written under its name, also where two share storage. `out` is a
/// File, or has its `write`. \throws Error where a dtype is none of the format's, or the file can't be
/// written.
template <class Out, class Metadata = std::map<std::string, std::string>>
void write_safetensors(Out& out, std::vector<NamedTensor> tensors, const Metadata& metadata = {}) {
  const std::string head = safetensors_head(tensors, metadata);
  out.write(head.data(), head.size());
  for (const NamedTensor& each : tensors) {
    // One at a time. A conjugate or negative view has the bytes of what it looks at until it is resolved.
    const at::Tensor plain = each.tensor.detach().resolve_conj().resolve_neg().cpu().contiguous();
    out.write(plain.const_data_ptr(), static_cast<std::size_t>(plain.nbytes()));
  }
}

}  // namespace abyme
