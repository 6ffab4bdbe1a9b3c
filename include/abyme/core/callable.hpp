#pragma once

#include <abyme/core/error.hpp>
#include <abyme/core/value.hpp>

#include <concepts>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace abyme {

class Node;
class Run;

namespace reflect {

template <class F>
struct Signature;  // of a callable that is neither generic nor overloaded
template <class R, class... A>
struct Signature<R (*)(A...)> {
  using Arguments = std::tuple<A...>;
};
template <class R, class... A>
struct Signature<R (*)(A...) noexcept> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...)> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) const> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) noexcept> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) const noexcept> : Signature<R (*)(A...)> {};

/// The first parameter of F without reference and const, or void where there is none or F is generic.
template <class F>
struct FirstArgument {
  using type = void;
};
template <class F>
  requires requires { typename Signature<decltype(&std::decay_t<F>::operator())>::Arguments; }
struct FirstArgument<F>
    : FirstArgument<typename Signature<decltype(&std::decay_t<F>::operator())>::Arguments> {};
template <class F>
  requires requires { typename Signature<std::decay_t<F>>::Arguments; }
struct FirstArgument<F> : FirstArgument<typename Signature<std::decay_t<F>>::Arguments> {};
template <class First, class... Rest>
struct FirstArgument<std::tuple<First, Rest...>> {
  using type = std::remove_cvref_t<First>;
};
template <class F>
using FirstArgumentOf = typename FirstArgument<F>::type;

/// The caller that F asks for, where its caller's class is not known: the class its first parameter names.
template <class F>
using AskedCaller = std::conditional_t<std::derived_from<FirstArgumentOf<F>, Node>, FirstArgumentOf<F>, Node>;

}  // namespace reflect

/// What abyme calls with the caller's node: F takes nothing, the node, the run, or both.
template <class F, class Shown>
concept CallableWith = std::invocable<F&> || std::invocable<F&, Shown&> || std::invocable<F&, Run&> ||
                       std::invocable<F&, Shown&, Run&>;

namespace reflect {
// What F returns, in the order in which `Callable` prefers its forms; never called.
template <class F, class Shown>
auto result_of() {
  if constexpr (std::invocable<F&>) return std::type_identity<std::invoke_result_t<F&>>{};
  else if constexpr (std::invocable<F&, Shown&>)
    return std::type_identity<std::invoke_result_t<F&, Shown&>>{};
  else if constexpr (std::invocable<F&, Run&>) return std::type_identity<std::invoke_result_t<F&, Run&>>{};
  else return std::type_identity<std::invoke_result_t<F&, Shown&, Run&>>{};
}
template <class F, class Shown>
using ResultOf = typename decltype(result_of<F, Shown>())::type;
}  // namespace reflect

/// A callable of the user's, its type erased, with the class of caller that it asks for.
template <class Result>
class Callable {
public:
  /// \tparam Shown the class of the caller, where it is known; otherwise what F asks for, checked by the
  /// walk.
  template <class Shown, class F>
  static Callable make(F function) {
    Callable made;
    if constexpr (std::invocable<F&>) {
      made.call_ = [f = std::move(function)](Node*, Run*) mutable { return call(f); };
    } else if constexpr (std::invocable<F&, Shown&>) {
      made.asks<Shown>();
      made.call_ = [f = std::move(function)](Node* caller, Run*) mutable {
        return call(f, static_cast<Shown&>(*caller));
      };
    } else if constexpr (std::invocable<F&, Run&>) {
      made.asks_run_ = true;
      made.call_ = [f = std::move(function)](Node*, Run* run) mutable { return call(f, *run); };
    } else {
      made.asks<Shown>();
      made.asks_run_ = true;
      made.call_ = [f = std::move(function)](Node* caller, Run* run) mutable {
        return call(f, static_cast<Shown&>(*caller), *run);
      };
    }
    return made;
  }

  Result operator()(Node* caller, Run* run) const { return call_(caller, run); }

  /// Whether it can be called now.
  bool ready(const Node* caller, const Run* run) const {
    return (run || !asks_run_) && (!accepts_ || (caller && accepts_(*caller)));
  }
  bool accepts(const Node& caller) const { return !accepts_ || accepts_(caller); }
  const TypeId* wanted() const { return wanted_; }

private:
  template <class Shown>
  void asks() {
    if constexpr (!std::same_as<Shown, Node>) {  // any node will do
      wanted_ = &type_id<Shown>;
      accepts_ = [](const Node& caller) { return dynamic_cast<const Shown*>(&caller) != nullptr; };
    } else {
      accepts_ = [](const Node&) { return true; };
    }
  }
  template <class F, class... Arguments>
  static Result call(F& f, Arguments&... arguments) {
    if constexpr (std::is_void_v<Result>) {
      static_cast<void>(f(arguments...));
    } else {
      using Given = std::invoke_result_t<F&, Arguments&...>;
      static_assert(outlives_reading<Given>,
                    "an object that a callable gives must outlive the call: return a "
                    "reference to it");
      return to_value(f(arguments...));
    }
  }

  std::function<Result(Node*, Run*)> call_;
  const TypeId* wanted_ = nullptr;
  bool (*accepts_)(const Node&) = nullptr;
  bool asks_run_ = false;
};

}  // namespace abyme
