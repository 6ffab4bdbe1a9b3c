#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace abyme {

/// Where a node stands: one of its events, `entry` before the first, `done` behind the last.
struct Step {
  std::int32_t index;
  friend constexpr bool operator==(Step, Step) = default;
};
inline constexpr Step entry{-1};
inline constexpr Step done{-2};

/// Not defined, not constexpr: a compiler that meets a wrong event name stops here and prints this name.
void this_node_has_no_event_of_that_name();

/// The events of a node type, by name. `events["start"]` is checked when the program compiles.
template <std::size_t Count>
struct Events {
  std::array<std::string_view, Count> names;

  consteval Step operator[](std::string_view name) const {
    for (std::size_t i = 0; i < Count; ++i) {
      if (names[i] == name) return Step{static_cast<std::int32_t>(i)};
    }
    this_node_has_no_event_of_that_name();
    return done;
  }
};

/// Declares the events of a node: `static constexpr auto events = ab::events("start", "end");`
template <class... Names>
consteval auto events(Names... names) {
  return Events<sizeof...(Names)>{{std::string_view(names)...}};
}

/// A parameter that takes the name of an event of `NodeClass` as a literal; a wrong one does not compile.
template <class NodeClass>
struct EventOf {
  Step step;
  template <std::size_t Length>
  consteval EventOf(const char (&name)[Length]) : step(NodeClass::events[name]) {}
};

}  // namespace abyme
