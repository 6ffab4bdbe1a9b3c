#pragma once

#include <abyme/core/walk.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

// How the walk ties an input to the field that it reads; walk.hpp includes it.
namespace abyme {

inline void InputBase::check_type(Place& place, std::string_view input_name, std::string_view source,
                                  const TypeId& type) const {
  std::string all;
  for (const TypeId* wanted : wanted_types_) {
    if (*wanted == type) return;
    all += fmt::format("{}{}", all.empty() ? "" : " or ", wanted->name);
  }
  if (all.empty()) return;
  place.fault(
      fmt::format("{} must be of type {}, got {}, which is {}; take that type, or map the source to yours",
                  input_name, all, source, type.name));
}

inline void InputBase::bind(Place& place, std::string_view input_name) {
  if (std::holds_alternative<Value>(source_)) return;
  Node* from = place.caller();
  if (const Call* call = std::get_if<Call>(&source_)) {
    if (from && !call->call.accepts(*from)) {
      place.fault(fmt::format("the callable for {} is given the caller, it takes {}, got {}; change its "
                              "parameter, or hang the node elsewhere",
                              input_name, reflect::node_name(call->call.wanted()->name), from->type().name));
    }
    if (!fits(call->kind)) {
      place.fault(fmt::format("{} must be {}, got a callable that returns {}", input_name, kind_name(wanted_),
                              kind_name(call->kind)));
    }
    if (call->type) check_type(place, input_name, "a callable", *call->type);
    return;
  }
  std::string_view field_name;
  std::shared_ptr<Node> looked_at;
  if (const Look* look = std::get_if<Look>(&source_)) {
    field_name = look->field();
    looked_at = look->node();
    if (!looked_at) {
      return place.fault(fmt::format("{} reads \"{}\" of a node that must be alive, but it is gone; keep a "
                                     "handle of it while the tree is used",
                                     input_name, field_name));
    }
    from = looked_at.get();
    place.hold(std::move(looked_at));
  } else {
    field_name = std::get<CallerField>(source_).field;
    if (!from) {
      return place.fault(
          fmt::format("{} reads \"{}\" of its caller, but at the root there is none; hang the node below one",
                      input_name, field_name));
    }
  }
  const Field* field = from->find_field(field_name);
  if (!field) {
    return place.fault(fmt::format("{} must be a field of {}, got \"{}\"; it shows {}", input_name,
                                   from->name(), field_name, field_names(*from)));
  }
  if (!fits(field->kind)) {
    return place.fault(fmt::format("{} must be {}, got {}.{}, which holds {}", input_name, kind_name(wanted_),
                                   from->name(), field_name, kind_name(field->kind)));
  }
  if (!wanted_types_.empty()) {
    const Value held = field->read(*from);
    const Opaque* object = std::get_if<Opaque>(&held);
    if (object && object->type)
      check_type(place, input_name, fmt::format("{}.{}", from->name(), field_name), *object->type);
  }
  if (slots_.empty() || !std::holds_alternative<Look>(source_)) slots_.push_back({from, field});
}

}  // namespace abyme
