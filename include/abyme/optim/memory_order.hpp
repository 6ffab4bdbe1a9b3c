#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_strided.h>
#include <c10/util/strides.h>
#include <fmt/ranges.h>
#include <torch/nn/module.h>

#include <abyme/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace abyme {

/// The strides, in elements, of a parameter that isn't laid out in rows.
struct MemoryOrder {
  std::string name;
  std::vector<std::int64_t> strides;
  bool operator==(const MemoryOrder&) const = default;
};

/// The strides of a dense tensor of this shape. \param fastest its dimensions, the one whose elements are
/// neighbours first
inline std::vector<std::int64_t> dense_strides(at::IntArrayRef sizes,
                                               const std::vector<std::size_t>& fastest) {
  std::vector<std::int64_t> strides(sizes.size());
  std::int64_t stride = 1;
  for (const std::size_t dimension : fastest) {
    strides[dimension] = stride;
    stride *= sizes[dimension] > 0 ? sizes[dimension] : 1;
  }
  return strides;
}

/// A copy of the tensor's values with these strides, without gradient.
inline at::Tensor laid_out(const at::Tensor& tensor, at::IntArrayRef strides) {
  const at::NoGradGuard no_grad;
  return at::empty_strided(tensor.sizes(), strides, tensor.options()).copy_(tensor);
}

/// Gives a parameter and its gradient other strides. It stays the same tensor, so that optimizers that hold
/// it go on; views of it that were taken before look at the old memory.
inline void lay_out(at::Tensor parameter, at::IntArrayRef strides) {
  if (parameter.strides() != strides) parameter.set_data(laid_out(parameter, strides));
  at::Tensor& gradient = parameter.mutable_grad();
  if (gradient.defined() && gradient.layout() == at::kStrided && gradient.strides() != strides)
    gradient.set_data(laid_out(gradient, strides));
}

/// Whether two tensors of one shape lie in memory in the same order.
inline bool same_order(const at::Tensor& one, const at::Tensor& other) {
  if (one.layout() != at::kStrided || other.layout() != at::kStrided) return one.layout() == other.layout();
  for (std::int64_t i = 0; i < one.dim(); ++i) {
    if (one.size(i) > 1 && one.stride(i) != other.stride(i)) return false;
  }
  return true;
}

/// Whether the memory order of a parameter can be chosen: it is strided, its elements are neighbours.
inline bool has_memory_order(const at::Tensor& parameter) {
  return parameter.defined() && parameter.layout() == at::kStrided &&
         parameter.is_non_overlapping_and_dense();
}

/// The parameters of a model that aren't in row-major order, as `ab::tune` leaves them: what a snapshot
/// keeps beside the values, because results differ in their last digits with the order.
inline std::vector<MemoryOrder> memory_orders(const torch::nn::Module& model) {
  std::vector<MemoryOrder> orders;
  for (const auto& each : model.named_parameters()) {
    const at::Tensor& parameter = each.value();
    if (has_memory_order(parameter) &&
        parameter.strides() != at::IntArrayRef(c10::contiguous_strides(parameter.sizes())))
      orders.push_back({each.key(), parameter.strides().vec()});
  }
  return orders;
}

/// Lays the parameters of a model out as `memory_orders` told, those it did not name in row-major order.
/// Values, names, and which tensors are the parameters stay. \throws Error where an order is none of the
/// model's; nothing is changed then.
inline void set_memory_orders(torch::nn::Module& model, const std::vector<MemoryOrder>& orders) {
  const auto parameters = model.named_parameters();
  for (const auto& [name, strides] : orders) {
    const at::Tensor* parameter = parameters.find(name);
    if (parameter == nullptr || !has_memory_order(*parameter))
      throw Error(
          fmt::format("set_memory_orders: an order must be of a dense parameter of the model, got one "
                      "of \"{}\"; use the orders of the same model",
                      name));
    const at::IntArrayRef sizes = parameter->sizes();
    bool fits = strides.size() == sizes.size();
    std::int64_t span = 1;  // elements from the first to the last
    for (std::size_t i = 0; fits && i < sizes.size(); ++i) {
      fits = strides[i] >= 0;
      span += (sizes[i] - 1) * strides[i];
    }
    fits = fits && (parameter->numel() == 0 ||
                    (span == parameter->numel() &&
                     at::empty_strided(sizes, strides, parameter->options()).is_non_overlapping_and_dense()));
    if (!fits)
      throw Error(
          fmt::format("set_memory_orders: the strides of \"{}\" must lay out shape [{}] without gaps, "
                      "got [{}]; use the orders of the same model",
                      name, fmt::join(sizes, ", "), fmt::join(strides, ", ")));
  }
  for (const auto& [name, strides] : orders) lay_out(*parameters.find(name), strides);
  for (const auto& each : parameters) {
    const at::Tensor& parameter = each.value();
    const bool is_named = std::ranges::any_of(orders, [&](const MemoryOrder& order) {
      return parameters.find(order.name)->is_same(parameter);  // tied ones have several names
    });
    if (!is_named && has_memory_order(parameter))
      lay_out(parameter, c10::contiguous_strides(parameter.sizes()));
  }
}

}  // namespace abyme
