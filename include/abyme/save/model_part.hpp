#pragma once

#include <abyme/core/holdings.hpp>
#include <abyme/optim/memory_order.hpp>
#include <abyme/save/weights.hpp>

#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

namespace reflect {

inline void save_model_part(const torch::nn::Module& model, Kept& kept) {
  for (const auto& [name, tensor] : named_tensors(model)) kept.add(name, tensor.detach());
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
  match_tensors(named_tensors(model), kept.tensors()).copy();
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
  return {
      [model](Kept& kept) { reflect::save_model_part(*model, kept); },
      [model](const Kept& kept) { reflect::load_model_part(*model, kept); },
      [model](const Kept& kept) { return match_tensors(named_tensors(*model), kept.tensors()).differences; }};
}

}  // namespace abyme
