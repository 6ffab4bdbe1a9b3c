#pragma once

#include <abyme/core/field.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <tuple>
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
  static constexpr std::size_t own = std::tuple_size_v<decltype(NodeClass::fields)>;
  static constexpr std::size_t options = std::same_as<Options, NoOptions> ? 0 : member_count<Options>;

  static constexpr auto fields = []<std::size_t... F, std::size_t... O>(std::index_sequence<F...>,
                                                                        std::index_sequence<O...>) {
    return std::array<Field, own + options>{make_row<NodeClass, F>()..., make_option<NodeClass, O>()...};
  }(std::make_index_sequence<own>{}, std::make_index_sequence<options>{});

  // The states as one tuple: () for a field that is none.
  template <std::size_t Index>
  static auto state_of(const NodeClass& node) {
    if constexpr (std::get<Index>(NodeClass::fields).state)
      return std::tuple{copy_state(GetField<NodeClass, Index>{}(node))};
    else return std::tuple{};
  }
  static auto states_of(const NodeClass& node) {
    return [&]<std::size_t... F>(std::index_sequence<F...>) {
      return std::tuple_cat(state_of<F>(node)...);
    }(std::make_index_sequence<own>{});
  }
  static constexpr bool has_state = [] {
    for (const Field& row : fields) {
      if (row.state) return true;
    }
    return false;
  }();
  static std::shared_ptr<void> copy(const Node& node) {
    using States = decltype(states_of(static_cast<const NodeClass&>(node)));
    return std::make_shared<States>(states_of(static_cast<const NodeClass&>(node)));
  }
  static void put(Node& node, const void* kept) {
    auto& self = static_cast<NodeClass&>(node);
    using States = decltype(states_of(self));
    const auto& states = *static_cast<const States*>(kept);
    [&]<std::size_t... F>(std::index_sequence<F...>) {
      (put_one<F>(self, states), ...);
    }(std::make_index_sequence<own>{});
  }
  template <std::size_t Index, class States>
  static void put_one(NodeClass& self, const States& states) {
    if constexpr (std::get<Index>(NodeClass::fields).state) {
      constexpr std::size_t place = []<std::size_t... F>(std::index_sequence<F...>) {
        return (std::size_t{0} + ... + std::size_t{std::get<F>(NodeClass::fields).state});
      }(std::make_index_sequence<Index>{});
      GetField<NodeClass, Index>{}(self) = copy_state(std::get<place>(states));
    }
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
  if constexpr (Tables<NodeClass>::has_state) {
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
