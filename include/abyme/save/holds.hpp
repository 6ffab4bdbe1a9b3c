#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/save/generators.hpp>
#include <abyme/save/model_part.hpp>
#include <abyme/save/optimizer_part.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace abyme {

/// Sets a tensor of the user's. In place where that can be: an optimizer, or a model, may have it too.
inline void put_back_tensor(const Kept& kept, at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  at::Tensor value;
  put_back(kept, "value", value);
  const bool fits = tensor.defined() && value.defined() && tensor.is_leaf() &&
                    tensor.sizes() == value.sizes() && tensor.scalar_type() == value.scalar_type() &&
                    tensor.is_non_overlapping_and_dense();
  if (fits) tensor.copy_(value);
  else tensor = value;
}

/// What a snapshot can hold of the user's: a model, an optimizer, a generator, a tensor, or a variable of a
/// type that it can keep.
template <class Thing>
concept Holdable =
    ModelLike<Thing> || OptimizerLike<Thing> || std::same_as<std::remove_cvref_t<Thing>, at::Generator> ||
    (Keepable<std::remove_cvref_t<Thing>> && std::is_lvalue_reference_v<Thing>);

/// Such a thing as a part of snapshots. What is kept by its value is borrowed.
template <class Thing>
Part part_of(Thing&& thing) {
  static_assert(
      Holdable<Thing>,
      "a snapshot holds a model, an optimizer, a generator, or a variable of a type that it can keep: "
      "numbers, texts, tensors, lists of such, and classes with save and load");
  using Plain = std::remove_cvref_t<Thing>;
  if constexpr (ModelLike<Thing>) {
    return model_part(own_or_borrow_model(std::forward<Thing>(thing)));
  } else if constexpr (OptimizerLike<Thing>) {
    return optimizer_part(own_or_borrow(std::forward<Thing>(thing)));
  } else if constexpr (std::same_as<Plain, at::Generator>) {
    return {[thing](Kept& kept) { kept.add("state", generator_state(thing)); },
            [thing](const Kept& kept) { set_generator_state(thing, kept.tensor("state")); }};
  } else if constexpr (std::same_as<Thing, at::Tensor&>) {
    return {[&thing](Kept& kept) { keep(kept, "value", thing.detach()); },
            [&thing](const Kept& kept) { put_back_tensor(kept, thing); }};
  } else {
    return {[&thing](Kept& kept) { keep<Plain>(kept, "value", thing); },
            [&thing](const Kept& kept) { put_back<Plain>(kept, "value", thing); }};
  }
}

template <class Thing>
void hold_in_ground(GroundNode& ground, std::string name, Thing&& thing) {
  ground.told.emplace_back(std::move(name), part_of(std::forward<Thing>(thing)));
}

/// What a snapshot of a tree holds, and what it can't: a line each.
struct HoldingsText {
  std::vector<std::string> holds, cannot;
};

template <class Root>  // a template, so that only who asks spends the compiler's time
HoldingsText holdings_text(Root& root) {
  const Walk walk(root);
  HoldingsText text;
  for (const Node* node : walk.nodes()) {
    std::string names;
    for (const Field& row : node->type().fields) {
      if (row.save) names.append(names.empty() ? "" : ", ").append(row.name);
      else if (row.state)
        text.cannot.push_back(
            fmt::format("{}: {}, whose type has no save and load", walk.path_of(*node), row.name));
    }
    if (!names.empty()) text.holds.push_back(fmt::format("{}: {}", walk.path_of(*node), names));
    bool calls = dynamic_cast<const CallNode*>(node) != nullptr;
    for (const Field& row : node->shown()) {
      if (!row.input) continue;
      row.inputs(const_cast<Node&>(*node), [&](InputBase& input) {
        calls = calls || std::holds_alternative<InputBase::Call>(input.source());
      });
    }
    if (calls)
      text.cannot.push_back(fmt::format(
          "{}: what its callable captures; tell of it with ground.holds(name, thing)", walk.path_of(*node)));
  }
  const Holdings holdings(walk);
  for (const auto& holding : holdings.all()) {
    Kept kept;
    holding.part.save(kept);
    std::int64_t bytes = 0;
    for (const auto& [name, tensor] : kept.tensors()) bytes += std::int64_t(tensor.nbytes());
    text.holds.push_back(fmt::format("{}: {} tensors, {} bytes", holding.name, kept.tensors().size(), bytes));
  }
  text.holds.emplace_back("generator: of the CPU and of each CUDA device");
  for (const std::string& fault : holdings.faults()) text.cannot.push_back(fault);
  return text;
}

}  // namespace abyme
