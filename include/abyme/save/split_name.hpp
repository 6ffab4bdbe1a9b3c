#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace abyme {

/// The name of a tensor in a snapshot as that of what it belongs to, and its own: the longest of the names
/// that stands before a dot, so that `model.head.weight` is `weight` of `model.head`, not `head.weight` of
/// `model`. Nothing where none does. \param names a range of texts, or of things that have them as `name_of`
template <class Names, class NameOf = std::identity>
std::optional<std::pair<std::string_view, std::string_view>>
split_name(std::string_view tensor, const Names& names, NameOf name_of = {}) {
  std::optional<std::pair<std::string_view, std::string_view>> found;
  for (const auto& each : names) {
    const std::string_view name = std::invoke(name_of, each);
    if (tensor.size() > name.size() && tensor.starts_with(name) && tensor[name.size()] == '.' &&
        (!found || found->first.size() < name.size()))
      found.emplace(tensor.substr(0, name.size()), tensor.substr(name.size() + 1));
  }
  return found;
}

}  // namespace abyme
