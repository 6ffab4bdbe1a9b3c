#pragma once

#include <cstddef>
#include <utility>

namespace abyme::reflect {

template <std::size_t Index, class T>
struct Slot {
  T value;
};
template <class Indices, class... T>
struct SlotsOf;
template <std::size_t... Index, class... T>
struct SlotsOf<std::index_sequence<Index...>, T...> : Slot<Index, T>... {};

// Values of several types, for the tables of nodes: a std::tuple asks so much of its types that tables of
// them took a second of each file.
template <class... T>
using Slots = SlotsOf<std::index_sequence_for<T...>, T...>;

template <std::size_t Index, class T>
constexpr const T& slot(const Slot<Index, T>& slot) {
  return slot.value;
}

}  // namespace abyme::reflect
