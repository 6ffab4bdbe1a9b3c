#pragma once

#include <abyme/dialect/task.hpp>

#include <algorithm>
#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme::tasks {

namespace reflect {

template <bool Has>
inline constexpr std::bool_constant<Has> has{};

// Calls `visit(name, whether Object has a method of that name, a caller of it)` for each place.
template <class Object, class Visit>
void each_place(const Visit& visit) {
  // clang-format off
  visit("on_train_begin", has<requires { &Object::on_train_begin; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_train_begin(a...); } { return o.on_train_begin(a...); });
  visit("on_train_batch_begin", has<requires { &Object::on_train_batch_begin; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_train_batch_begin(a...); } { return o.on_train_batch_begin(a...); });
  visit("train_step", has<requires { &Object::train_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.train_step(a...); } { return o.train_step(a...); });
  visit("on_train_step", has<requires { &Object::on_train_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_train_step(a...); } { return o.on_train_step(a...); });
  visit("reset_step", has<requires { &Object::reset_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.reset_step(a...); } { return o.reset_step(a...); });
  visit("on_reset_step", has<requires { &Object::on_reset_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_reset_step(a...); } { return o.on_reset_step(a...); });
  visit("on_epoch_end", has<requires { &Object::on_epoch_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_epoch_end(a...); } { return o.on_epoch_end(a...); });
  visit("on_train_batch_end", has<requires { &Object::on_train_batch_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_train_batch_end(a...); } { return o.on_train_batch_end(a...); });
  visit("on_train_end", has<requires { &Object::on_train_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_train_end(a...); } { return o.on_train_end(a...); });
  visit("on_test_begin", has<requires { &Object::on_test_begin; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_test_begin(a...); } { return o.on_test_begin(a...); });
  visit("on_test_batch_begin", has<requires { &Object::on_test_batch_begin; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_test_batch_begin(a...); } { return o.on_test_batch_begin(a...); });
  visit("test_step", has<requires { &Object::test_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.test_step(a...); } { return o.test_step(a...); });
  visit("on_test_step", has<requires { &Object::on_test_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_test_step(a...); } { return o.on_test_step(a...); });
  visit("on_test_batch_end", has<requires { &Object::on_test_batch_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_test_batch_end(a...); } { return o.on_test_batch_end(a...); });
  visit("on_test_end", has<requires { &Object::on_test_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_test_end(a...); } { return o.on_test_end(a...); });
  visit("on_predict_begin", has<requires { &Object::on_predict_begin; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_predict_begin(a...); } { return o.on_predict_begin(a...); });
  visit("on_predict_batch_begin", has<requires { &Object::on_predict_batch_begin; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_predict_batch_begin(a...); } { return o.on_predict_batch_begin(a...); });
  visit("predict_step", has<requires { &Object::predict_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.predict_step(a...); } { return o.predict_step(a...); });
  visit("on_predict_step", has<requires { &Object::on_predict_step; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_predict_step(a...); } { return o.on_predict_step(a...); });
  visit("on_predict_batch_end", has<requires { &Object::on_predict_batch_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_predict_batch_end(a...); } { return o.on_predict_batch_end(a...); });
  visit("on_predict_end", has<requires { &Object::on_predict_end; }>, [](auto& o, auto&&... a) -> decltype(auto) requires requires { o.on_predict_end(a...); } { return o.on_predict_end(a...); });
  // clang-format on
}

// Such a caller as a step function. Classes, since clang 16 crashes at lambdas of this kind.
template <class State, class Method>
struct MethodOfState {
  Method method;
  template <class... Arguments>
    requires std::invocable<const Method&, State&, Arguments&...>
  decltype(auto) operator()(State& state, Arguments&&... arguments) const {
    return method(state, arguments...);
  }
};
template <class Object, class Method>
struct MethodOfObject {
  Method method;
  std::shared_ptr<Object> object;
  template <class... Arguments>
    requires std::invocable<const Method&, Object&, Arguments&...>
  decltype(auto) operator()(Arguments&&... arguments) const {
    return method(*object, arguments...);
  }
};

}  // namespace reflect

/// Callbacks by the places of the ready-made loops in which they run.
template <class State, class Batch>
class Places {
public:
  void add(std::string_view place, const Callbacks<State, Batch>& callbacks) {
    for (auto& [name, all] : places_) {
      if (name == place) return all.add(callbacks);
    }
    places_.emplace_back(std::string(place), callbacks);
  }
  void add(const Places& others) {
    for (const auto& [name, callbacks] : others.places_) add(name, callbacks);
  }
  Callbacks<State, Batch> at(std::string_view place) const {
    for (const auto& [name, all] : places_) {
      if (name == place) return all;
    }
    return {};
  }
  auto begin() const { return places_.begin(); }
  auto end() const { return places_.end(); }

  /// The methods of the state that are named as places: `ab::Logs train_step(const Batch&)`. They take what a
  /// step function takes behind the state.
  static Places of_state() {
    Places all;
    if constexpr (std::is_class_v<State>) {
      reflect::each_place<State>(
          [&all]<bool Has, class Method>(std::string_view place, std::bool_constant<Has>, Method method) {
            all.add_method<Has>(place, reflect::MethodOfState<State, Method>{method});
          });
    }
    return all;
  }
  /// The methods of any object that are named as places; they take what a step function takes.
  template <class Object>
  static Places of(std::shared_ptr<Object> object) {
    Places all;
    reflect::each_place<Object>([&all, &object]<bool Has, class Method>(
                                    std::string_view place, std::bool_constant<Has>, Method method) {
      all.add_method<Has>(place, reflect::MethodOfObject<Object, Method>{method, object});
    });
    return all;
  }

private:
  template <bool Has, class Call>
  void add_method(std::string_view place, const Call& call) {
    if constexpr (reflect::arguments_of<Call, State, Batch>() >= 0) {
      add(place, Callbacks<State, Batch>(call));
    } else {
      static_assert(!Has,
                    "a method named as a place of a loop takes the first of (State&, const Batch&, const "
                    "ab::Elapsed&, LoopState&), a method of the state those behind it");
    }
  }

  std::vector<std::pair<std::string, Callbacks<State, Batch>>> places_;
};

/// One of the `callbacks` of a ready-made loop: an object whose methods are named as places, or a task that
/// knows its own, as `ab::tasks::checkpoint` does.
template <class State, class Batch>
class CallbackObject {
public:
  template <class Object>
    requires(!std::derived_from<std::remove_cvref_t<Object>, NodeTask> &&
             !std::same_as<std::remove_cvref_t<Object>, CallbackObject>)
  CallbackObject(Object&& object)
      : places(Places<State, Batch>::of(own_or_borrow(std::forward<Object>(object)))) {
    if (places.begin() == places.end())
      throw Error(fmt::format(
          "tasks: a callback has methods named as the places of a loop, such as on_epoch_end, got {} "
          "without any; give it one",
          type_name<std::remove_cvref_t<Object>>));
  }
  CallbackObject(NodeTask task) : is_node(true) {
    if (task.place.empty())
      throw Error(
          "tasks: a callback knows its place in a ready-made loop, got a task that has none; put it into the "
          "list of tasks, with a schedule or a place");
    places.add(task.place, Callbacks<State, Batch>(task));
  }

  Places<State, Batch> places;
  bool is_node = false;  ///< a task with one place
};

}  // namespace abyme::tasks
