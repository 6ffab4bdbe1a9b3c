#pragma once

#include <ATen/core/Tensor.h>

#include <abyme/core/reflect.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace abyme {

namespace reflect {

// The largest first dimension of the tensors in a thing.
template <class Thing>
void largest_dimension(const Thing& thing, std::optional<std::int64_t>& largest) {
  const auto look = [&largest](const auto&... parts) { (largest_dimension(parts, largest), ...); };
  if constexpr (std::is_convertible_v<Thing, at::Tensor>) {
    const at::Tensor& tensor = thing;
    if (!tensor.defined()) return;
    const at::IntArrayRef sizes = tensor.unsafeGetTensorImpl()->sizes();  // without a call
    largest = std::max(largest.value_or(0), sizes.empty() ? std::int64_t{1} : sizes[0]);
  } else if constexpr (requires { std::get<0>(thing); }) {
    std::apply(look, thing);
  } else if constexpr (requires { typename Thing::mapped_type; }) {
    for (const auto& [name, part] : thing) look(part);
  } else if constexpr (
      requires { thing.data; } || requires { thing.inputs; }) {  // LibTorch's example has a base
    if constexpr (requires { thing.data; }) look(thing.data);
    if constexpr (requires { thing.inputs; }) look(thing.inputs);
  } else if constexpr (std::is_aggregate_v<Thing> && !std::is_array_v<Thing>) {
    if constexpr (member_count<Thing> <= 12) std::apply(look, members(thing));
  }
}

}  // namespace reflect

/// The number of samples in a batch: what its own `batch_size()` says; the largest first dimension of the
/// tensors in it (1 for a tensor without dimensions), also in pairs, tuples, maps and plain structs;
/// otherwise the size of a list; none where nothing tells.
template <class Batch>
std::optional<std::int64_t> batch_size(const Batch& batch) {
  if constexpr (requires { std::int64_t{batch.batch_size()}; }) {
    return batch.batch_size();
  } else {
    std::optional<std::int64_t> largest;
    reflect::largest_dimension(batch, largest);
    if constexpr (
        requires { std::size_t{batch.size()}; } && !std::is_convertible_v<Batch, std::string_view> &&
        !requires { typename Batch::mapped_type; } && !std::is_convertible_v<Batch, at::Tensor>) {
      if (!largest) largest = static_cast<std::int64_t>(batch.size());
    }
    return largest;
  }
}

}  // namespace abyme
