#pragma once

#include <abyme/core/field.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace abyme {

struct Elapsed;  // in time/elapsed.hpp

/// What abyme knows of a class of nodes, made when the program compiles.
struct NodeType {
  std::string_view name;  ///< the class without its namespace and without "Node"
  std::span<const std::string_view> events;
  std::span<const Field> fields;
  bool transparent;                                  ///< children see the node's own caller
  std::shared_ptr<void> (*copy_state)(const Node&);  ///< null where no field is a state
  void (*put_state)(Node&, const void*);
  Elapsed (*elapsed)(const Node&);  ///< how much of a loop is done; null where the class is no looper
};

namespace reflect {

template <class T>
T copy_state(const T& state) {
  if constexpr (std::same_as<T, at::Tensor>) {
    return state.defined() ? state.clone() : state;
  } else if constexpr (is_optional<T>) {
    return state ? T(copy_state(*state)) : T();
  } else if constexpr (is_vector<T>) {
    T copy;
    for (const auto& each : state) copy.push_back(copy_state(each));
    return copy;
  } else {
    return state;
  }
}

template <class NodeClass>
struct Tables {
  using Options = typename NodeClass::Options;
  static constexpr std::size_t own = NodeClass::fields.size;
  static constexpr std::size_t options = std::same_as<Options, NoOptions> ? 0 : member_count<Options>;

  static constexpr auto fields = []<std::size_t... F, std::size_t... O>(std::index_sequence<F...>,
                                                                        std::index_sequence<O...>) {
    return std::array<Field, own + options>{make_row<NodeClass, F>()..., make_option<NodeClass, O>()...};
  }(std::make_index_sequence<own>{}, std::make_index_sequence<options>{});

  static constexpr std::size_t states =
      std::count_if(fields.begin(), fields.end(), std::mem_fn(&Field::state));
  // Where the states stand in the table.
  static constexpr auto state_at = [] {
    std::array<std::size_t, states> places{};
    for (std::size_t i = 0, place = 0; i < fields.size(); ++i) {
      if (fields[i].state) places[place++] = i;
    }
    return places;
  }();
  template <std::size_t Index>
  static auto& state(auto& node) {
    return GetField<NodeClass, state_at[Index]>{}(node);
  }
  static auto states_of(const NodeClass& node) {
    return [&]<std::size_t... S>(std::index_sequence<S...>) {
      return Slots<std::remove_cvref_t<decltype(state<S>(node))>...>{{copy_state(state<S>(node))}...};
    }(std::make_index_sequence<states>{});
  }
  static std::shared_ptr<void> copy(const Node& node) {
    using States = decltype(states_of(static_cast<const NodeClass&>(node)));
    return std::make_shared<States>(states_of(static_cast<const NodeClass&>(node)));
  }
  static void put(Node& node, const void* kept) {
    auto& self = static_cast<NodeClass&>(node);
    const auto& copies = *static_cast<const decltype(states_of(self))*>(kept);
    [&]<std::size_t... S>(std::index_sequence<S...>) {
      ((state<S>(self) = copy_state(slot<S>(copies))), ...);
    }(std::make_index_sequence<states>{});
  }
};

constexpr std::string_view node_name(std::string_view name) {
  name = name.substr(0, name.find('<'));
  if (const auto colon = name.rfind("::"); colon != name.npos) name.remove_prefix(colon + 2);
  if (name.size() > 4 && name.ends_with("Node")) name.remove_suffix(4);
  return name;
}

template <class NodeClass>
consteval NodeType make_node_type() {
  NodeType type{};
  type.name = node_name(type_name<NodeClass>);
  type.events = NodeClass::events.names;
  type.fields = Tables<NodeClass>::fields;
  type.transparent = NodeClass::transparent;
  if constexpr (Tables<NodeClass>::states > 0) {
    type.copy_state = &Tables<NodeClass>::copy;
    type.put_state = &Tables<NodeClass>::put;
  }
  if constexpr (requires(const NodeClass& node) {
                  { node.elapsed() } -> std::same_as<Elapsed>;
                })
    type.elapsed = [](const Node& node) { return static_cast<const NodeClass&>(node).elapsed(); };
  return type;
}

}  // namespace reflect

template <class NodeClass>
inline constexpr NodeType node_type = reflect::make_node_type<NodeClass>();

}  // namespace abyme
