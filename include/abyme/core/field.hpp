#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/core/slots.hpp>
#include <abyme/core/value.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

class Node;
class InputBase;
template <class T>
class Input;

/// Options of a node that has none: there is no way to make them.
struct NoOptions {
  NoOptions() = delete;
};

/// A named value that a node shows: one row of its table, type erased.
struct Field {
  std::string_view name;
  Kind kind;    ///< what it holds where it holds something
  bool state;   ///< set back when a ground digs, and kept by snapshots
  bool option;  ///< a member of the node's options
  bool input;   ///< holds inputs, which the walk binds
  Value (*read)(const Node&);
  bool (*number)(const Node&, double&);  ///< the number in it, quicker; false where it can't: ask `read`
  Opaque (*object)(const Node&);         ///< the object, quicker; null where it holds none
  std::string (*text)(const Node&);      ///< for people: inputs by their source
  void (*inputs)(Node&, const std::function<void(InputBase&)>&);
  void (*save)(const Node&, Kept&);  ///< of a state: for a snapshot, under its name; null where it can't
  void (*load)(Node&, const Kept&);
  bool (*at_default)(const Node&);  ///< of an option: whether it is as its struct has it; otherwise null
};

/// A row of a field table as the author of a node writes it.
template <class Member>
struct FieldEntry {
  std::string_view name;
  Member member;
  bool state = false;
  bool option = false;
};

/// A field that the node shows: a data member, or a const member function that computes it.
template <class Member>
consteval auto field(std::string_view name, Member member) {
  return FieldEntry<Member>{name, member};
}

/// A field that is shown, set back when a ground digs, and kept by snapshots: a data member that can be
/// copied.
template <class Member>
consteval auto state(std::string_view name, Member member) {
  static_assert(std::is_member_object_pointer_v<Member>, "a state is a data member");
  return FieldEntry<Member>{name, member, true, false};
}

/// A field that is shown and printed by `describe`: what the node was made with, beside its options and
/// inputs.
template <class Member>
consteval auto option(std::string_view name, Member member) {
  return FieldEntry<Member>{name, member, false, true};
}

/// The rows of a node's table, in order.
template <class... Members>
struct FieldTable : reflect::Slots<FieldEntry<Members>...> {
  static constexpr std::size_t size = sizeof...(Members);
};

/// The table of a node: `static constexpr auto fields = ab::fields(ab::field("factor",
/// &WarmUpNode::factor));` The table of a base class may stand first in it: `ab::fields(Base::fields, ...)`.
template <class... Members>
consteval auto fields(FieldEntry<Members>... entries) {
  return FieldTable<Members...>{{{entries}...}};
}
template <class... BaseMembers, class... Members>
consteval auto fields(FieldTable<BaseMembers...> base, FieldEntry<Members>... entries) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return FieldTable<BaseMembers..., Members...>{{{reflect::slot<I>(base)}..., {entries}...}};
  }(std::index_sequence_for<BaseMembers...>{});
}

namespace reflect {

template <class T>
inline constexpr bool is_input = false;
template <class T>
inline constexpr bool is_input<Input<T>> = true;
template <class T>
inline constexpr bool holds_inputs = is_input<T>;
template <class T>
inline constexpr bool holds_inputs<std::optional<T>> = is_input<T>;
template <class T>
inline constexpr bool holds_inputs<std::vector<T>> = is_input<T>;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

template <class T>
struct Plain {
  using type = T;
};
template <class T>
struct Plain<Input<T>> {
  using type = T;
};
template <class T>
struct Plain<std::optional<Input<T>>> {
  using type = T;
};

// The text of a member for people: what `describe` prints.
template <class T>
std::string member_text(const T& member) {
  if constexpr (is_optional<T>) {
    return member ? member_text(*member) : "none";
  } else if constexpr (is_input<T>) {
    return member.text();
  } else if constexpr (is_vector<T>) {
    std::string text = "[";
    for (const auto& item : member) text += (text.size() > 1 ? ", " : "") + member_text(item);
    return text + "]";
  } else if constexpr (requires { &T::operator(); }) {
    return "callable";
  } else if constexpr (kind_of<T>() == Kind::text) {
    return fmt::format("{:?}", to_text(to_value(member)));
  } else {
    return to_text(to_value(member));
  }
}

template <class T>
void visit_inputs(T& member, const std::function<void(InputBase&)>& visit) {
  if constexpr (is_input<T>) {
    visit(member);
  } else if constexpr (is_optional<T>) {
    if (member) visit(*member);
  } else {
    for (auto& item : member) visit(item);
  }
}

// The number in a member, without a Value: null for members that hold none.
template <class T>
inline constexpr bool has_quick_number =
    std::is_arithmetic_v<T> || std::same_as<T, std::optional<double>> ||
    std::same_as<T, std::optional<std::int64_t>> || std::same_as<T, at::Tensor>;
template <class T>
bool quick_number(const T& member, double& number) {
  if constexpr (is_optional<T>) {
    if (!member) return false;
    number = static_cast<double>(*member);
  } else if constexpr (std::same_as<T, at::Tensor>) {
    const float* held = only_float(member);
    if (!held) return false;
    number = double(*held);
  } else {
    number = static_cast<double>(member);
  }
  return true;
}

// One row: Get takes the node and returns a reference to the member, or the computed value.
template <class NodeClass, class Get>
constexpr Field make_field(std::string_view name, bool state, bool option, Get) {
  using Member = std::remove_cvref_t<decltype(Get{}(std::declval<NodeClass&>()))>;
  Field row{};
  row.name = name;
  row.kind = kind_of<typename Plain<Member>::type>();
  row.state = state;
  row.option = option;
  row.input = holds_inputs<Member>;
  row.read = [](const Node& node) -> Value {
    decltype(auto) member = Get{}(static_cast<const NodeClass&>(node));
    static_assert(holds_inputs<Member> || outlives_reading<decltype(member)>,
                  "an object that a field computes must outlive the call: return a reference to it");
    if constexpr (is_input<Member>) return member.show(node);
    else if constexpr (holds_inputs<Member> && is_optional<Member>)
      return member ? member->show(node) : Value{};
    else return to_value(member);
  };
  if constexpr (has_quick_number<Member>) {
    row.number = [](const Node& node, double& number) {
      return quick_number(Get{}(static_cast<const NodeClass&>(node)), number);
    };
  }
  if constexpr (std::same_as<Member, Opaque>) {
    row.object = [](const Node& node) -> Opaque { return Get{}(static_cast<const NodeClass&>(node)); };
  }
  row.text = [](const Node& node) { return member_text(Get{}(static_cast<const NodeClass&>(node))); };
  if constexpr (holds_inputs<Member>) {
    row.inputs = [](Node& node, const std::function<void(InputBase&)>& visit) {
      visit_inputs(Get{}(static_cast<NodeClass&>(node)), visit);
    };
  }
  return row;
}

template <class NodeClass, std::size_t Index>
struct GetField {
  template <class Self>
  constexpr decltype(auto) operator()(Self& self) const {
    constexpr auto member = slot<Index>(NodeClass::fields).member;
    if constexpr (std::is_member_object_pointer_v<decltype(member)>) return (self.*member);
    else return (self.*member)();
  }
};

template <class NodeClass, std::size_t Index>
struct GetOption {
  template <class Self>
  constexpr auto& operator()(Self& self) const {
    return std::get<Index>(members(self.options));
  }
};

template <class NodeClass, std::size_t Index>
constexpr Field make_row() {
  constexpr auto entry = slot<Index>(NodeClass::fields);
  using Get = GetField<NodeClass, Index>;
  Field row = make_field<NodeClass>(entry.name, entry.state, entry.option, Get{});
  using Member = std::remove_cvref_t<decltype(Get{}(std::declval<NodeClass&>()))>;
  if constexpr (entry.state) {
    if constexpr (Keepable<Member>) {
      row.save = [](const Node& node, Kept& kept) {
        keep<Member>(kept, slot<Index>(NodeClass::fields).name, Get{}(static_cast<const NodeClass&>(node)));
      };
      row.load = [](Node& node, const Kept& kept) {
        put_back<Member>(kept, slot<Index>(NodeClass::fields).name, Get{}(static_cast<NodeClass&>(node)));
      };
    }
  }
  return row;
}

template <class NodeClass, std::size_t Index>
constexpr Field make_option() {
  using Options = typename NodeClass::Options;
  Field row = make_field<NodeClass>(member_name<Options, Index>, false, true, GetOption<NodeClass, Index>{});
  row.at_default = [](const Node& node) {
    Options fresh{};
    return member_text(std::get<Index>(members(static_cast<const NodeClass&>(node).options))) ==
           member_text(std::get<Index>(members(fresh)));
  };
  return row;
}

}  // namespace reflect

}  // namespace abyme
