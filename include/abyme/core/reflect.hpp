#pragma once

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>

/// Names of types and of the members of an aggregate, without macros.
///
/// A compiler writes the template arguments of a function into `__PRETTY_FUNCTION__`; for a pointer to a
/// member of an object that text ends with the member's name. The object is the inactive half of a union,
/// so it is never made, and its type needs no constructor. This works for local types too.

namespace abyme {

namespace reflect {

template <class T>
union Unmade {
  char nothing;
  T value;
  constexpr Unmade() : nothing() {}
  constexpr ~Unmade() {}
};

#if defined(__clang__)  // which has no constant of a union with a member that can't be one, but needs no
                        // definition
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-internal"
#pragma clang diagnostic ignored "-Wundefined-var-template"
template <class T>
extern const Unmade<T> unmade;
#else  // and GCC has no undefined variable of a local type
template <class T>
inline constexpr Unmade<T> unmade{};
#endif

struct Anything {
  template <class T>
  operator T() const;  // never defined: it is only asked for, to count the members of an aggregate
};

template <class T>
struct Address {  // a class, because clang 16 takes no pointer into an object as a plain template argument
  const T* pointer;
};
template <class T>
Address(const T*) -> Address<T>;

template <class T, class... Members>
consteval std::size_t count_members() {
  if constexpr (requires { T{Members{}..., Anything{}}; }) {
    return count_members<T, Members..., Anything>();
  } else if constexpr (requires { T{Members{}...}; } || sizeof...(Members) > 12) {
    return sizeof...(Members);
  } else {  // a member further behind has no default
    return count_members<T, Members..., Anything>();
  }
}

template <auto Member>
consteval std::string_view name_in_signature() {
  std::string_view text = __PRETTY_FUNCTION__;
#if !defined(__clang__)
  text =
      text.substr(0, text.find(")}"));  // "... P = Address<int>{(& unmade<S>.Unmade<S>::value.S::name)}; ..."
#else
  text = text.substr(0, text.rfind('}'));  // "... P = Address<int>{&unmade.value.name}]"
#endif
  return text.substr(text.find_last_of(".:") + 1);
}

template <class T>
consteval std::string_view type_in_signature() {
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find("T = ") + 4);
  const auto alias = text.rfind("; std::string_view = ");  // GCC tells what the function returns
  return text.substr(0, alias != text.npos ? alias : text.rfind(']'));
}

}  // namespace reflect

/// The name of T as the compiler writes it: `torch::nn::LinearImpl`.
template <class T>
inline constexpr std::string_view type_name = reflect::type_in_signature<T>();

/// How many members the aggregate T has; at most 12, no base classes, no arrays.
template <class T>
inline constexpr std::size_t member_count = reflect::count_members<T>();

/// References to all members of an aggregate, in order, as a tuple.
template <class T>
constexpr auto members(T& object) {
  constexpr std::size_t count = member_count<std::remove_const_t<T>>;
  static_assert(count <= 12, "abyme reads aggregates of at most 12 members: group some in a struct");
  if constexpr (count == 0) {
    return std::tuple<>{};
  } else if constexpr (count == 1) {
    auto& [a] = object;
    return std::tie(a);
  } else if constexpr (count == 2) {
    auto& [a, b] = object;
    return std::tie(a, b);
  } else if constexpr (count == 3) {
    auto& [a, b, c] = object;
    return std::tie(a, b, c);
  } else if constexpr (count == 4) {
    auto& [a, b, c, d] = object;
    return std::tie(a, b, c, d);
  } else if constexpr (count == 5) {
    auto& [a, b, c, d, e] = object;
    return std::tie(a, b, c, d, e);
  } else if constexpr (count == 6) {
    auto& [a, b, c, d, e, f] = object;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (count == 7) {
    auto& [a, b, c, d, e, f, g] = object;
    return std::tie(a, b, c, d, e, f, g);
  } else if constexpr (count == 8) {
    auto& [a, b, c, d, e, f, g, h] = object;
    return std::tie(a, b, c, d, e, f, g, h);
  } else if constexpr (count == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = object;
    return std::tie(a, b, c, d, e, f, g, h, i);
  } else if constexpr (count == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (count == 11) {
    auto& [a, b, c, d, e, f, g, h, i, j, k] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k);
  } else {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l);
  }
}

/// The name of member number Index of the aggregate T: `window`.
template <class T, std::size_t Index>
inline constexpr std::string_view member_name =
    reflect::name_in_signature<reflect::Address{&std::get<Index>(members(reflect::unmade<T>.value))}>();

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

}  // namespace abyme
