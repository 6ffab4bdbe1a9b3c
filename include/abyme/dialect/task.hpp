#pragma once

#include <abyme/loop/data_looper.hpp>
#include <abyme/time/schedule.hpp>
#include <abyme/write/history.hpp>

#include <algorithm>
#include <any>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace abyme::tasks {

/// What a step function may ask for as its fourth argument: all that a loop has.
template <class State, class Batch>
class LoopState {
public:
  State& state;
  Elapsed elapsed;              ///< as the callback was called: steps and samples of what was finished before
  History history;              ///< `history.logs()`: of this step; `history.accumulated()`: the last of each
  std::any metadata;            ///< of the loop's options
  bool stop_iteration = false;  ///< set it to end the loop behind this callback

  LoopState(std::shared_ptr<State> state, History history, std::any metadata)
      : state(*state), history(std::move(history)), metadata(std::move(metadata)), owned_(std::move(state)) {}
  LoopState(const LoopState&) = delete;
  LoopState& operator=(const LoopState&) = delete;

  /// \throws Error where there is none: in `on_end` of a loop over empty data
  const Batch& batch() const {
    if (replaced_) return *replaced_;
    if (drawn_) return *drawn_;
    if (!last_)
      throw Error("a loop over empty data has no batch, and on_end asks for one; take the state alone");
    return *last_;
  }
  /// Gives those behind, in this step, another batch. (A run that goes on within the step has that of the
  /// data where snapshots can't hold such a batch.)
  void replace_batch(Batch batch) { replaced_ = std::move(batch); }
  /// Adds to the logs of this step; in `on_start` and `on_end` to `history.accumulated()` alone.
  void log(const Logs& logs) {
    if (phase_ == Phase::step) history.log(logs);
    else history.accumulate(logs);
  }

  // ---- for the loop ----

  void begin() {
    drawn_ = nullptr;
    last_.reset();
    phase_ = Phase::outside;
  }
  void begin_step(const DataLooperNode& looper, bool has_start) {
    see(looper);
    replaced_.reset();
    phase_ = has_start && looper.counter == 0 ? Phase::start : Phase::step;
  }
  void end_start() { phase_ = Phase::step; }
  void see(const DataLooperNode& looper) {
    drawn_ = looper.data().address ? &looper.template batch<Batch>() : nullptr;
    elapsed = looper.elapsed();
    if (has_left_step()) elapsed = elapsed.update(looper.samples_in_batch());
  }
  void end_step() { phase_ = Phase::outside; }
  /// Keeps this step's batch for what is done behind the last one, when the data has let go of it.
  void keep_batch() { last_ = batch(); }
  /// Behind the last batch.
  void end() { phase_ = phase_ == Phase::step ? Phase::left : Phase::outside; }
  bool is_in_step() const { return phase_ == Phase::start || phase_ == Phase::step; }
  /// Whether the last step was not gone through to its end. It counts.
  bool has_left_step() const { return phase_ == Phase::left; }

  void save(Kept& kept) const {
    keep(kept, "phase", phase_);
    if constexpr (Keepable<Batch>) {
      keep(kept, "replaced", replaced_);
      keep(kept, "last", last_);
    }
  }
  void load(const Kept& kept) {
    put_back(kept, "phase", phase_);
    if constexpr (Keepable<Batch>) {
      put_back(kept, "replaced", replaced_);
      put_back(kept, "last", last_);
    }
  }

private:
  std::shared_ptr<State> owned_;  // or borrowed
  const Batch* drawn_ = nullptr;
  std::optional<Batch> replaced_, last_;
  enum class Phase { outside, start, step, left };  // of a step; left: by a stop
  Phase phase_ = Phase::outside;
};

namespace reflect {

// Members of a state that snapshots need not hold: functions.
template <class T>
inline constexpr bool is_code = requires { &T::operator(); };
template <class T>
inline constexpr bool is_code<std::vector<T>> = is_code<T>;

template <class T>
inline constexpr bool is_pair_like = false;
template <class A, class B>
inline constexpr bool is_pair_like<std::pair<A, B>> = true;
template <class A, class B>
inline constexpr bool is_pair_like<std::tuple<A, B>> = true;

// How many of (state, batch, elapsed, loop state) a function takes: as many as it can; none where it takes
// any number; -1 where none fits.
template <class F, class State, class Batch>
consteval int arguments_of() {
  using Loop = LoopState<State, Batch>;
  if constexpr (std::invocable<F&, State&, const Batch&, const Elapsed&, Loop&, int>)
    return std::invocable<F&> ? 0 : -1;
  else if constexpr (std::invocable<F&, State&, const Batch&, const Elapsed&, Loop&>) return 4;
  else if constexpr (std::invocable<F&, State&, const Batch&, const Elapsed&>) return 3;
  else if constexpr (std::invocable<F&, State&, const Batch&>) return 2;
  else if constexpr (std::invocable<F&, State&>) return 1;
  else if constexpr (std::invocable<F&>) return 0;
  else return -1;
}

template <class F, class State, class Batch>
decltype(auto) call(F& function, LoopState<State, Batch>& loop) {
  constexpr int count = arguments_of<F, State, Batch>();
  if constexpr (count == 4) return function(loop.state, loop.batch(), std::as_const(loop.elapsed), loop);
  else if constexpr (count == 3) return function(loop.state, loop.batch(), std::as_const(loop.elapsed));
  else if constexpr (count == 2) return function(loop.state, loop.batch());
  else if constexpr (count == 1) return function(loop.state);
  else return function();
}

// What a function returned: logs, the state, both, or neither.
template <class Result, class State>
consteval bool is_accepted() {
  using Plain = std::remove_cvref_t<Result>;
  if constexpr (std::is_void_v<Result> || std::same_as<Plain, std::nullopt_t> ||
                std::same_as<Plain, std::monostate>)
    return true;
  else if constexpr (std::same_as<Plain, Logs> || std::same_as<Plain, State>) return true;
  else if constexpr (abyme::reflect::is_optional<Plain>)
    return is_accepted<typename Plain::value_type, State>();
  else if constexpr (is_pair_like<Plain>)
    return is_accepted<std::tuple_element_t<0, Plain>, State>() &&
           is_accepted<std::tuple_element_t<1, Plain>, State>();
  else return false;
}
template <class Result, class State, class Batch>
void take(Result&& result, LoopState<State, Batch>& loop) {
  using Plain = std::remove_cvref_t<Result>;
  if constexpr (std::same_as<Plain, Logs>) {
    loop.log(result);
  } else if constexpr (std::same_as<Plain, State>) {
    if (std::addressof(result) != std::addressof(loop.state)) loop.state = std::forward<Result>(result);
  } else if constexpr (abyme::reflect::is_optional<Plain>) {
    if (result) take(*std::forward<Result>(result), loop);
  } else if constexpr (is_pair_like<Plain>) {
    take(std::get<0>(std::forward<Result>(result)), loop);
    take(std::get<1>(std::forward<Result>(result)), loop);
  }
}

template <class F, class State, class Batch>
consteval bool check_step_function() {
  constexpr bool fits = arguments_of<F, State, Batch>() >= 0;
  static_assert(
      fits,
      "a task is a node, or a function of the first 0 to 4 of (State&, const Batch&, const ab::Elapsed&, "
      "ab::tasks::LoopState<State, Batch>&), in this order");
  if constexpr (fits) {
    using Result = decltype(call(std::declval<F&>(), std::declval<LoopState<State, Batch>&>()));
    static_assert(is_accepted<Result, State>(),
                  "a task returns nothing, ab::Logs, the state, or a pair of both (each may be optional)");
    return is_accepted<Result, State>();
  }
  return fits;
}

// The types of batch that a DataLooper draws from such data.
template <class Data>
struct BatchOfData {
  using Range = std::remove_reference_t<decltype(*own_or_borrow(std::declval<Data>()))>;
  using type = typename RangeSource<Range>::BatchType;
};

}  // namespace reflect

/// What a task made of nodes gets to know when the loop is built.
struct LoopParts {
  History history;    ///< in which the callbacks log
  DataLooper looper;  ///< that draws the batches
  Part state;         ///< the state, as snapshots hold it
  std::string lacks;  ///< what of it they can't hold, a sentence; empty where they hold all
  Elapsed initial;    ///< what was done before the loop
  /// Nodes of the dialect that begin anew with each dig of the loop, and what is done with each row before it
  /// ends: a task adds to them.
  std::shared_ptr<std::vector<std::shared_ptr<Node>>> begin_anew;
  std::shared_ptr<std::vector<Child>> before_commit;
};

/// A task made of nodes: `ab::tasks::early_stopping("loss", 5)`. In the `callbacks` of a ready-made loop it
/// hangs in its own place.
struct NodeTask {
  std::string place;  ///< `on_epoch_end`; empty: it has none
  std::function<Child(const LoopParts&)> make;
};

/// One thing that a task does: a step function, or any node.
///
/// A step function takes the first 0 to 4 of `(State&, const Batch&, const ab::Elapsed&, LoopState<State,
/// Batch>&)`, and returns nothing, `ab::Logs`, a state (which replaces that of the loop), or a pair of both;
/// each may be a `std::optional`. A function that takes any number of arguments gets none.
template <class State, class Batch>
class Callback {
public:
  using Loop = std::shared_ptr<LoopState<State, Batch>>;

  template <class F>
    requires(!NodeHandle<F> && !std::derived_from<F, NodeTask> && !std::same_as<F, Callback>)
  Callback(F function) {
    if constexpr (reflect::check_step_function<F, State, Batch>()) {
      takes_batch_ = reflect::arguments_of<F, State, Batch>() >= 2;
      // It hangs below the looper, or beside it, so it must not own it.
      make_ = [function = std::move(function)](const Loop& loop, const LoopParts& parts) -> Child {
        return Call([loop, function = F(function), looper = &*parts.looper](Run& run) mutable {
          loop->see(*looper);
          using Result = decltype(reflect::call(function, *loop));
          if constexpr (std::is_void_v<Result>) reflect::call(function, *loop);
          else reflect::take(reflect::call(function, *loop), *loop);
          if (std::exchange(loop->stop_iteration, false) && loop->is_in_step())
            run.break_to(*looper, "stopped by a callback");
        });
      };
    }
  }
  template <NodeHandle H>
  Callback(const H& node) : make_([child = Child(node)](const Loop&, const LoopParts&) { return child; }) {}
  Callback(NodeTask task) : make_([task](const Loop&, const LoopParts& parts) { return task.make(parts); }) {}

  /// What needs to know the loop in which it hangs.
  static Callback made_by(std::function<Child(const Loop&, const LoopParts&)> make) {
    Callback callback{Child([] {})};
    callback.make_ = std::move(make);
    return callback;
  }
  Child make(const Loop& loop, const LoopParts& parts) const { return make_(loop, parts); }
  bool takes_batch() const { return takes_batch_; }

private:
  bool takes_batch_ = false;
  std::function<Child(const Loop&, const LoopParts&)> make_;
};

/// One callback, or several in braces.
template <class State, class Batch>
class Callbacks {
public:
  Callbacks() = default;
  template <class C>
    requires(!std::same_as<C, Callbacks> && std::convertible_to<C, Callback<State, Batch>>)
  Callbacks(C callback) : all_{std::move(callback)} {}
  Callbacks(std::initializer_list<Callback<State, Batch>> callbacks) : all_(callbacks) {}
  Callbacks(std::vector<Callback<State, Batch>> callbacks) : all_(std::move(callbacks)) {}

  void add(const Callbacks& others) { all_.insert(all_.end(), others.all_.begin(), others.all_.end()); }
  bool empty() const { return all_.empty(); }
  bool take_batch() const {
    return std::any_of(all_.begin(), all_.end(), [](const auto& each) { return each.takes_batch(); });
  }

  std::vector<Child> make(const std::shared_ptr<LoopState<State, Batch>>& loop,
                          const LoopParts& parts) const {
    std::vector<Child> made;
    for (const auto& callback : all_) made.push_back(callback.make(loop, parts));
    return made;
  }

private:
  std::vector<Callback<State, Batch>> all_;
};

/// What is done when: `{ab::every(1000), {checkpoint, report}}`, in a ready-made loop also in a place of it:
/// `{"on_epoch_end", report}`; a callback alone is due in every step.
template <class State, class Batch>
struct Task {
  std::optional<Schedule> when;
  std::string place;  ///< where there is no schedule
  Callbacks<State, Batch> callbacks;

  Task(Schedule when, Callbacks<State, Batch> callbacks)
      : when(std::move(when)), callbacks(std::move(callbacks)) {}
  Task(std::string place, Callbacks<State, Batch> callbacks)
      : place(std::move(place)), callbacks(std::move(callbacks)) {}
  Task(const char* place, Callbacks<State, Batch> callbacks)
      : Task(std::string(place), std::move(callbacks)) {}
  template <class C>
    requires(!std::same_as<C, Task> && std::convertible_to<C, Callback<State, Batch>>)
  Task(C callback) : Task(always(), std::move(callback)) {}
};

}  // namespace abyme::tasks
