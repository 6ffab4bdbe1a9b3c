#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/strides.h>
#include <torch/nn/module.h>

#include <abyme/optim/memory_order.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace abyme {

/// A parameter that can lie in memory in two orders: a matrix in that of its rows or of its columns, one with
/// more dimensions, the second of which is a convolution's channels, contiguous or with the channels last.
struct LayerWeight {
  at::Tensor parameter;
  std::string name;
  bool convolution;
  std::vector<std::int64_t> plain, other;  ///< strides

  LayerWeight(const at::Tensor& parameter, std::string name)
      : parameter(parameter), name(std::move(name)), convolution(parameter.dim() > 2) {
    std::vector<std::size_t> fastest{std::size_t(convolution)};  // of `other`, the dimensions
    for (auto dimension = std::size_t(parameter.dim()) - 1; dimension > fastest.front(); --dimension)
      fastest.push_back(dimension);
    if (convolution) fastest.push_back(0);
    plain = at::IntArrayRef(c10::contiguous_strides(parameter.sizes())).vec();
    other = dense_strides(parameter.sizes(), fastest);
  }

  /// The name of the order that memory has.
  std::string order(const at::Tensor& memory) const {
    if (memory.strides() == plain) return convolution ? "contiguous" : "row-major";
    return convolution ? "channels-last" : "column-major";
  }
};

/// The weights of a model whose order can be chosen: each once, under its first name, and only where no other
/// parameter or buffer lies in the same memory.
inline std::vector<LayerWeight> layer_weights(const torch::nn::Module& model) {
  std::unordered_map<const c10::StorageImpl*, std::unordered_set<const c10::TensorImpl*>> owners;
  const auto note_owner = [&](const at::Tensor& tensor) {
    if (tensor.defined() && tensor.has_storage())
      owners[tensor.storage().unsafeGetStorageImpl()].insert(tensor.unsafeGetTensorImpl());
  };
  for (const at::Tensor& parameter : model.parameters()) note_owner(parameter);
  for (const at::Tensor& buffer : model.buffers()) note_owner(buffer);
  std::vector<LayerWeight> weights;
  std::unordered_set<const c10::TensorImpl*> known;
  for (const auto& each : model.named_parameters()) {
    const at::Tensor& parameter = each.value();
    if (!has_memory_order(parameter) || parameter.dim() < 2 || !parameter.is_floating_point()) continue;
    if (!known.insert(parameter.unsafeGetTensorImpl()).second) continue;
    const at::Storage& storage = parameter.storage();
    if (storage.nbytes() != parameter.nbytes() || owners[storage.unsafeGetStorageImpl()].size() > 1) continue;
    LayerWeight weight(parameter, each.key());
    const bool in_one = parameter.strides() == weight.plain || parameter.strides() == weight.other;
    const bool has_two =
        weight.convolution ? weight.plain != weight.other : parameter.size(0) > 1 && parameter.size(1) > 1;
    if (in_one && has_two) weights.push_back(std::move(weight));
  }
  return weights;
}

}  // namespace abyme
