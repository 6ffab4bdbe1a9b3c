#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <abyme/save/safetensors.hpp>
#include <abyme/save/ties.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace abyme {

/// Which tensors of a file go into which of a program's.
struct TensorMatch {
  struct Pair {
    at::Tensor into, from;
  };
  std::vector<Pair> pairs;
  /// A line for each tensor without a partner: `fc.weight: shape must be [3, 2], got [2, 3]`,
  /// `fc.bias: missing`, `old.bias: unexpected`.
  std::vector<std::string> differences;

  /// Copies the values. Device and memory order of each tensor stay as they are, and what looks at it.
  void copy() const {
    const c10::NoGradGuard no_grad;
    for (const auto& [into, from] : pairs) into.copy_(from);
  }
};

/// Compares the tensors of a program with those of a file by name, shape and dtype, and changes none. Of
/// tied ones the file may lack all but one, as Python's `safetensors.torch.save_model` writes it; where it
/// has more their values must be equal.
inline TensorMatch match_tensors(const std::vector<NamedTensor>& into, const std::vector<NamedTensor>& from) {
  std::unordered_map<std::string_view, const at::Tensor*> by_name;
  for (const auto& [name, tensor] : from) by_name.emplace(name, &tensor);
  TensorMatch match;
  std::vector<const at::Tensor*> sources;
  for (const NamedTensor& each : into) {
    const auto found = by_name.extract(each.name);  // what is left was not expected
    sources.push_back(found.empty() ? nullptr : found.mapped());
  }
  std::vector<const NamedTensor*> tied_to(into.size());
  for (const auto& places : tied_places(into)) {
    const NamedTensor* first = nullptr;
    const at::Tensor* source = nullptr;
    for (const std::size_t i : places) {
      if (!source) first = &into[i], source = sources[i];
      else if (sources[i] && !have_equal_bytes(*source, *sources[i])) tied_to[i] = first;
    }
    for (const std::size_t i : places) sources[i] = sources[i] ? sources[i] : source;
  }
  const auto shape = [](const at::Tensor& tensor) {
    std::string text;
    for (const std::int64_t size : tensor.sizes())
      text.append(text.empty() ? "" : ", ").append(std::to_string(size));
    return "[" + text + "]";
  };
  for (std::size_t i = 0; i < into.size(); ++i) {
    const auto& [name, tensor] = into[i];
    std::string wrong;
    const auto add = [&wrong](const std::string& rule, const std::string& got) {
      wrong.append(wrong.empty() ? "" : ", and ").append(rule).append(", got ").append(got);
    };
    if (!sources[i]) {
      wrong = "missing";
    } else {
      const at::Tensor& source = *sources[i];
      if (source.sizes() != tensor.sizes()) add("shape must be " + shape(tensor), shape(source));
      if (source.scalar_type() != tensor.scalar_type())
        add(std::string("dtype must be ") + at::toString(tensor.scalar_type()),
            at::toString(source.scalar_type()));
      if (wrong.empty() && tied_to[i])
        add("values must be those of " + tied_to[i]->name + ", to which it is tied", "others");
    }
    if (wrong.empty()) match.pairs.push_back({tensor, *sources[i]});
    else match.differences.push_back(name + ": " + wrong);
  }
  for (const auto& [name, tensor] : from) {
    if (by_name.contains(name)) match.differences.push_back(name + ": unexpected");
  }
  return match;
}

}  // namespace abyme
