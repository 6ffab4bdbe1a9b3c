#pragma once

#include <ATen/core/Tensor.h>

#include <abyme/core/record.hpp>
#include <abyme/save/read_safetensors.hpp>
#include <abyme/save/safetensors.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abyme {

/// Whether two tensors are tied, one under two names: the same bytes, shown in the same way.
inline bool are_tied(const at::Tensor& a, const at::Tensor& b) {
  return a.storage().unsafeGetStorageImpl() == b.storage().unsafeGetStorageImpl() &&
         a.storage_offset() == b.storage_offset() && a.dtype() == b.dtype() && a.sizes() == b.sizes() &&
         a.strides() == b.strides() && a.is_conj() == b.is_conj() && a.is_neg() == b.is_neg();
}

/// The places of tensors that are tied to others, a list for each.
inline std::vector<std::vector<std::size_t>> tied_places(const std::vector<NamedTensor>& tensors) {
  std::vector<std::vector<std::size_t>> groups;
  std::unordered_map<const void*, std::vector<std::size_t>> by_storage;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& tensor = tensors[i].tensor;
    if (!tensor.defined() || !tensor.has_storage()) continue;
    auto& sharing = by_storage[tensor.storage().unsafeGetStorageImpl()];
    const auto group = std::find_if(sharing.begin(), sharing.end(), [&](std::size_t each) {
      return are_tied(tensors[groups[each].front()].tensor, tensor);
    });
    if (group != sharing.end()) {
      groups[*group].push_back(i);
    } else {
      sharing.push_back(groups.size());
      groups.push_back({i});
    }
  }
  std::erase_if(groups, [](const auto& group) { return group.size() < 2; });
  return groups;
}

/// The names of tied tensors as JSON, `[["decoder.weight","encoder.weight"],...]`, or an empty text where
/// none are. Files have it in their metadata, as `ties`.
inline std::string ties_text(const std::vector<NamedTensor>& tensors) {
  Record::List ties;
  for (const auto& group : tied_places(tensors)) {
    Record::List names;
    for (const std::size_t i : group) names.push_back(tensors[i].name);
    ties.push_back(std::move(names));
  }
  return ties.empty() ? "" : Record(std::move(ties)).json();
}

/// Whether two tensors have one dtype, one shape and equal bytes, NaN included.
inline bool have_equal_bytes(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor left = a.cpu().contiguous(), right = b.cpu().contiguous();
  return left.data_ptr() == right.data_ptr() || left.numel() == 0 ||
         std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()) == 0;
}

/// Makes tensors one again that were tied when the file was written, unless their values say otherwise now,
/// and takes `ties` out of the metadata. \throws Error where these are no lists of names.
inline void tie_again(Safetensors& content) {
  const auto ties = content.metadata.extract("ties");
  if (ties.empty()) return;
  std::unordered_map<std::string_view, at::Tensor*> by_name;
  for (NamedTensor& each : content.tensors) by_name[each.name] = &each.tensor;
  const Record groups = Record::parse(ties.mapped());
  for (const Record& names : groups.as<Record::List>()) {
    const at::Tensor* first = nullptr;
    for (const Record& name : names.as<Record::List>()) {
      const auto found = by_name.find(name.as<std::string>());
      if (found == by_name.end()) continue;
      if (!first) first = found->second;
      else if (have_equal_bytes(*first, *found->second)) *found->second = *first;
    }
  }
}

}  // namespace abyme
