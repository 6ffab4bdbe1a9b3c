#pragma once

#include <abyme/core/error.hpp>

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace abyme {

/// A `shared_ptr` or a `unique_ptr`.
template <class T>
concept SmartPointer = requires {
  typename std::remove_cvref_t<T>::element_type;
} && std::constructible_from<std::shared_ptr<typename std::remove_cvref_t<T>::element_type>, T>;

/// How abyme keeps what a user hands over: an rvalue is moved in and owned, a `shared_ptr` is shared, a
/// `unique_ptr` is taken, an lvalue is borrowed and must outlive the tree. \throws Error where a pointer is
/// null.
template <class T>
auto own_or_borrow(T&& object) {
  using Plain = std::remove_cvref_t<T>;
  if constexpr (SmartPointer<T>) {
    if (!object) throw Error("a pointer handed to a node must point to an object, got null; make one first");
    return std::shared_ptr<typename Plain::element_type>(std::forward<T>(object));
  } else if constexpr (std::is_lvalue_reference_v<T>) {
    return std::shared_ptr<std::remove_reference_t<T>>(std::shared_ptr<void>(), std::addressof(object));
  } else {
    return std::make_shared<Plain>(std::move(object));
  }
}

}  // namespace abyme
