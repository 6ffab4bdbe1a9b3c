#pragma once

#include <abyme/core/holdings.hpp>
#include <abyme/optim/memory_order.hpp>

#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

namespace reflect {

/// Parameters and buffers under their names, as PyTorch's `state_dict` has them.
inline std::vector<std::pair<std::string, at::Tensor>> state_of(const torch::nn::Module& model) {
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& each : model.named_parameters()) state.emplace_back(each.key(), each.value());
  for (const auto& each : model.named_buffers()) state.emplace_back(each.key(), each.value());
  return state;
}

inline std::vector<std::string> differences(const torch::nn::Module& model, const Kept& kept) {
  std::vector<std::string> told;
  const auto state = state_of(model);
  for (const auto& [name, tensor] : state) {
    const at::Tensor other = kept.tensor(name);
    if (!other.defined()) {
      if (tensor.defined()) told.push_back(fmt::format("{} is not there", name));
    } else if (!tensor.defined() || other.sizes() != tensor.sizes() || other.dtype() != tensor.dtype()) {
      told.push_back(fmt::format("{} is {} of {}, here {} of {}", name, shape_text(other),
                                 toString(other.scalar_type()),
                                 tensor.defined() ? shape_text(tensor) : "none",
                                 tensor.defined() ? toString(tensor.scalar_type()) : "none"));
    }
  }
  for (const auto& [name, tensor] : kept.tensors()) {
    bool is_known = false;
    for (const auto& [known, own] : state) is_known = is_known || known == name;
    if (!is_known) told.push_back(fmt::format("{} is not in the model", name));
  }
  return told;
}

inline void save_model_part(const torch::nn::Module& model, Kept& kept) {
  for (const auto& [name, tensor] : state_of(model)) kept.add(name, tensor.detach());
  Record::List training;
  for (const auto& module : model.modules()) training.emplace_back(module->is_training());
  kept.data["training"] = std::move(training);
  Record::List frozen;
  for (const auto& each : model.named_parameters()) {
    if (!each.value().requires_grad()) frozen.emplace_back(each.key());
  }
  kept.data["frozen"] = std::move(frozen);
  Record& orders = kept.data["memory_orders"];
  orders = Record::List();
  Record::List list;
  for (const MemoryOrder& order : memory_orders(model)) {
    Record each;
    each["name"] = order.name;
    Record::List strides;
    for (const std::int64_t stride : order.strides) strides.emplace_back(stride);
    each["strides"] = std::move(strides);
    list.push_back(std::move(each));
  }
  orders = std::move(list);
}

inline void load_model_part(torch::nn::Module& model, const Kept& kept) {
  const at::NoGradGuard no_grad;
  std::vector<MemoryOrder> orders;
  for (const Record& each : kept.data.at("memory_orders").as<Record::List>()) {
    MemoryOrder order{each.at("name").as<std::string>(), {}};
    for (const Record& stride : each.at("strides").as<Record::List>())
      order.strides.push_back(stride.as<std::int64_t>());
    orders.push_back(std::move(order));
  }
  set_memory_orders(model, orders);
  for (auto& [name, tensor] : state_of(model)) {
    if (const at::Tensor other = kept.tensor(name); other.defined()) tensor.copy_(other);
  }
  const auto modules = model.modules();
  const auto& training = kept.data.at("training").as<Record::List>();
  for (std::size_t i = 0; i < modules.size() && i < training.size();
       ++i) {  // parents first: each sets all below
    if (modules[i]->is_training() != training[i].as<bool>()) modules[i]->train(training[i].as<bool>());
  }
  for (const auto& each : model.named_parameters()) {
    bool is_frozen = false;
    for (const Record& name : kept.data.at("frozen").as<Record::List>())
      is_frozen = is_frozen || name.as<std::string>() == each.key();
    if (each.value().requires_grad() == is_frozen) each.value().set_requires_grad(!is_frozen);
  }
}

}  // namespace reflect

/// A model as a part of snapshots: parameters and buffers as tensors under the names of PyTorch's
/// `state_dict`; which modules train, which parameters are frozen, and their memory orders.
template <class Model>
Part model_part(std::shared_ptr<Model> model) {
  return {[model](Kept& kept) { reflect::save_model_part(*model, kept); },
          [model](const Kept& kept) { reflect::load_model_part(*model, kept); },
          [model](const Kept& kept) { return reflect::differences(*model, kept); }};
}

}  // namespace abyme
