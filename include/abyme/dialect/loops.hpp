#pragma once

#include <abyme/dialect/aggregation.hpp>
#include <abyme/dialect/places.hpp>
#include <abyme/dialect/tasks.hpp>

#include <algorithm>
#include <any>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme::tasks {

struct InnerLoopOptions {
  bool output_state = false;     ///< what the inner loop does to its state goes on; otherwise to a copy of it
  Aggregation aggregation = {};  ///< the last value of each entry, unless said otherwise
};

namespace reflect {
// A range, or what a pointer to one points to.
auto& range_in(auto& made) {
  if constexpr (requires { std::begin(made); }) return made;
  else return *made;
}
}  // namespace reflect

/// Test data, made anew for each evaluation by a function that returns a range of batches, or a pointer to
/// one, as `torch::data::make_data_loader` does.
template <class Batch>
class TestData {
public:
  TestData() = default;
  template <class Make>
    requires requires(Make& make) {
      {
        *std::begin(reflect::range_in(std::declval<decltype(make())&>()))
      } -> std::convertible_to<const Batch&>;
    }
  TestData(Make make) : looper_([make] {
                          return DataLooper(Remade<Make>{make, {}});
                        }) {}

  explicit operator bool() const { return bool(looper_); }
  DataLooper looper() const { return looper_(); }

private:
  template <class Make>
  struct Remade {
    Make make;
    using Data = std::remove_cvref_t<decltype(std::declval<Make&>()())>;
    struct Making {
      Make& make;
      operator Data() const { return make(); }
    };
    std::optional<Data> data;
    std::int64_t begun = 0;
    bool may_draw_at_random() const { return true; }
    std::int64_t orders_drawn() const { return begun; }
    auto begin() {
      ++begun;
      data.emplace(Making{make});  // in its place: it may be one that can't be moved
      return std::begin(reflect::range_in(*data));
    }
    auto end() { return std::end(reflect::range_in(*data)); }
  };
  std::function<DataLooper()> looper_;
};

/// Of a train, a test or a predict loop.
template <class State, class Batch>
struct TrainOptions {
  std::vector<CallbackObject<State, Batch>> callbacks = {};  ///< objects whose methods are named as places
  TestData<Batch> test_data = {};             ///< a function that makes them; none: no evaluation
  std::optional<Period> epoch_duration = {};  ///< steps, samples or time; none: no end of an epoch
  std::optional<Period> test_duration = {};   ///< ends an evaluation early
  std::string test_name = "test";             ///< behind the names of its logs: `loss_test`
  InnerLoopOptions evaluation = {};
  LoopOptions<State, Batch> loop = {};
};
template <class State, class Batch>
struct TestOptions {
  std::vector<CallbackObject<State, Batch>> callbacks = {};
  LoopOptions<State, Batch> loop = {};
};

namespace reflect {

// Due with this step counted.
struct WithThisStep {
  Schedule schedule;
  std::weak_ptr<DataLooperNode> looper;
  bool operator()(const Elapsed& elapsed) {
    const auto node = looper.lock();
    return node && schedule(elapsed.update(node->samples_in_batch()));
  }
  std::string text() const { return schedule.text() + " done"; }
  void save(Kept& kept) const { schedule.save(kept); }
  void load(const Kept& kept) { schedule.load(kept); }
};

inline void check_place(std::string_view place, std::initializer_list<std::string_view> places) {
  std::string all;
  for (const std::string_view each : places) {
    if (each == place) return;
    all.append(all.empty() ? "" : ", ").append(each);
  }
  throw Error(fmt::format("tasks: a task of this loop has a schedule or one of the places {}; got \"{}\"",
                          all, place));
}

// The tasks of a user, sorted into places, and those with a schedule.
template <class State, class Batch>
struct Sorted {
  Places<State, Batch> places;
  std::vector<Task<State, Batch>> scheduled;

  Sorted(const std::vector<Task<State, Batch>>& list,
         const std::vector<CallbackObject<State, Batch>>& callbacks,
         std::initializer_list<std::string_view> allowed)
      : places(Places<State, Batch>::of_state()) {
    for (const auto& task : list) {
      if (task.when) {
        scheduled.push_back(task);
      } else {
        check_place(task.place, allowed);
        places.add(task.place, task.callbacks);
      }
    }
    for (const auto& callback : callbacks) {
      for (const auto& [place, callables] : callback.places) {
        if (callback.is_node) check_place(place, allowed);
        places.add(place, callables);
      }
    }
  }

  Callbacks<State, Batch> at(std::initializer_list<std::string_view> names) const {
    Callbacks<State, Batch> all;
    for (const std::string_view name : names) all.add(places.at(name));
    return all;
  }
};

template <class State, class Batch>
std::vector<Task<State, Batch>> test_list(const Sorted<State, Batch>& sorted) {
  std::vector<Task<State, Batch>> list;
  list.emplace_back(always(),
                    sorted.at({"on_test_batch_begin", "test_step", "on_test_step", "on_test_batch_end"}));
  return list;
}

// The evaluation inside of a train loop: a loop over test data on a copy of the state, whose rows become logs
// of the step.
template <class State, class Batch>
Callback<State, Batch> evaluation(const Sorted<State, Batch>& sorted,
                                  const TrainOptions<State, Batch>& options) {
  using Loop = std::shared_ptr<LoopState<State, Batch>>;
  return Callback<State, Batch>::made_by([sorted, options](const Loop& outer, const LoopParts&) -> Child {
    constexpr bool can_copy = std::is_copy_constructible_v<State> && std::is_copy_assignable_v<State>;
    LoopOptions<State, Batch> inner;
    inner.stop = options.test_duration;
    inner.batch_size = options.loop.batch_size;
    inner.name = options.test_name.empty() ? "test" : options.test_name;
    inner.on_start = sorted.at({"on_test_begin"});
    const auto of_state = Places<State, Batch>::of_state();  // of those given by name the train loop has run
    inner.on_start.add(of_state.at("reset_step"));
    inner.on_start.add(of_state.at("on_reset_step"));
    inner.on_end = sorted.at({"on_test_end"});
    Ground ground;
    std::shared_ptr<State> state(std::shared_ptr<void>(), &outer->state);
    if constexpr (can_copy) {
      if (!options.evaluation.output_state) {
        state = std::make_shared<State>(outer->state);
        ground("dig", [outer, state] { *state = outer->state; });
      }
    }
    auto built = build<State, Batch>(state, options.test_data.looper(), test_list(sorted), std::move(inner),
                                     state.get() != &outer->state);
    const History rows = built.loop->history;
    ground(
        "dig", [rows] { rows.clear(); }, built.ground,
        [outer, rows, loop = built.loop, way = options.evaluation.aggregation, suffix = options.test_name] {
          outer->log(aggregate(rows, loop->elapsed, way, suffix));
        });
    return ground;
  });
}

// What is done behind the n-th batch.
template <class State, class Batch>
Callback<State, Batch> end_of_epoch(const Sorted<State, Batch>& sorted,
                                    const TrainOptions<State, Batch>& options) {
  using Loop = std::shared_ptr<LoopState<State, Batch>>;
  return Callback<State, Batch>::made_by(
      [sorted, options](const Loop& loop, const LoopParts& parts) -> Child {
        Schedule end = every(*options.epoch_duration);
        end(parts.initial);  // an epoch that ends there is over
        const On on(WithThisStep{std::move(end), parts.looper.shared()});
        parts.begin_anew->push_back(on.shared());
        on("dig", sorted.at({"reset_step", "on_reset_step"}).make(loop, parts));
        if (options.test_data) on("dig", evaluation(sorted, options).make(loop, parts));
        on("dig", sorted.at({"on_epoch_end"}).make(loop, parts));
        return on;
      });
}

template <class State, class Batch, class Held, class Data>
BuiltLoop<State, Batch> build_train(Held&& state, Data&& data, const std::vector<Task<State, Batch>>& list,
                                    TrainOptions<State, Batch> options) {
  const Sorted<State, Batch> sorted(list, options.callbacks,
                                    {"on_train_begin", "on_train_batch_begin", "train_step", "on_train_step",
                                     "reset_step", "on_reset_step", "on_epoch_end", "on_train_batch_end",
                                     "on_train_end", "on_test_begin", "on_test_batch_begin", "test_step",
                                     "on_test_step", "on_test_batch_end", "on_test_end"});
  const auto waits = [](const CallbackObject<State, Batch>& callback) {
    return callback.is_node && !callback.places.at("on_epoch_end").empty();
  };
  if (!options.epoch_duration &&
      (options.test_data || std::any_of(options.callbacks.begin(), options.callbacks.end(), waits)))
    throw Error(
        "train_loop: test_data, and callbacks such as checkpoint, wait for the end of an epoch, got no "
        "epoch_duration; pass one, such as .epoch_duration = 1000");
  Callbacks<State, Batch> step = sorted.at({"on_train_batch_begin", "train_step", "on_train_step"});
  if (options.epoch_duration) step.add(end_of_epoch(sorted, options));
  step.add(sorted.at({"on_train_batch_end"}));
  std::vector<Task<State, Batch>> all{{always(), step}};
  all.insert(all.end(), sorted.scheduled.begin(), sorted.scheduled.end());
  LoopOptions<State, Batch> loop = std::move(options.loop);
  loop.on_start.add(sorted.at({"on_train_begin"}));
  loop.on_end.add(sorted.at({"on_train_end"}));
  return build<State, Batch>(std::forward<Held>(state), std::forward<Data>(data), all, std::move(loop));
}

template <class State, class Batch, class Held, class Data>
BuiltLoop<State, Batch> build_test(Held&& state, Data&& data, const std::vector<Task<State, Batch>>& list,
                                   TestOptions<State, Batch> options) {
  const Sorted<State, Batch> sorted(list, options.callbacks,
                                    {"on_test_begin", "reset_step", "on_reset_step", "on_test_batch_begin",
                                     "test_step", "on_test_step", "on_test_batch_end", "on_test_end"});
  std::vector<Task<State, Batch>> all = test_list(sorted);
  all.insert(all.end(), sorted.scheduled.begin(), sorted.scheduled.end());
  LoopOptions<State, Batch> loop = std::move(options.loop);
  loop.on_start.add(sorted.at({"on_test_begin", "reset_step", "on_reset_step"}));
  loop.on_end.add(sorted.at({"on_test_end"}));
  return build<State, Batch>(std::forward<Held>(state), std::forward<Data>(data), all, std::move(loop));
}

template <class State, class Batch, class Held, class Data>
BuiltLoop<State, Batch> build_predict(Held&& state, Data&& data, const std::vector<Task<State, Batch>>& list,
                                      TestOptions<State, Batch> options) {
  const Sorted<State, Batch> sorted(list, options.callbacks,
                                    {"on_predict_begin", "on_predict_batch_begin", "predict_step",
                                     "on_predict_step", "on_predict_batch_end", "on_predict_end"});
  std::vector<Task<State, Batch>> all{{always(), sorted.at({"on_predict_batch_begin", "predict_step",
                                                            "on_predict_step", "on_predict_batch_end"})}};
  all.insert(all.end(), sorted.scheduled.begin(), sorted.scheduled.end());
  LoopOptions<State, Batch> loop = std::move(options.loop);
  loop.on_start.add(sorted.at({"on_predict_begin"}));
  loop.on_end.add(sorted.at({"on_predict_end"}));
  return build<State, Batch>(std::forward<Held>(state), std::forward<Data>(data), all, std::move(loop));
}

}  // namespace reflect

/// The tree of `train_loop`.
template <class State, class Data, class Plain = std::remove_cvref_t<State>,
          class Batch = typename reflect::BatchOfData<Data>::type>
Ground train_tree(State&& state, Data&& data, std::type_identity_t<std::vector<Task<Plain, Batch>>> list = {},
                  std::type_identity_t<TrainOptions<Plain, Batch>> options = {}) {
  return reflect::build_train<Plain, Batch>(std::forward<State>(state), std::forward<Data>(data), list,
                                            std::move(options))
      .ground;
}

/// Trains, and evaluates behind each epoch. What is done at the named places comes, in this order, from the
/// methods of the state that have their names, from the list, and from the methods of the objects in
/// `callbacks`:
///
///     on_train_begin                 with the first batch
///     on_train_batch_begin, train_step, on_train_step
///       reset_step, on_reset_step    where `epoch_duration` is over with this batch
///       the evaluation: on_test_begin, reset_step and on_reset_step of the state, then for each batch
///         on_test_batch_begin, test_step, on_test_step, on_test_batch_end; on_test_end
///       on_epoch_end
///     on_train_batch_end
///     the tasks with a schedule, then the row of the history
///     on_train_end
///
/// The evaluation works on a copy of the state (of a model in a module holder: the same model), or on the
/// state itself where it can't be copied, as one that owns an optimizer of LibTorch; what it logs becomes
/// logs of the step, with `_test` behind their names. \throws Error where a place is none
template <class State, class Data, class Plain = std::remove_cvref_t<State>,
          class Batch = typename reflect::BatchOfData<Data>::type>
LoopResult<State> train_loop(State&& state, Data&& data,
                             std::type_identity_t<std::vector<Task<Plain, Batch>>> list = {},
                             std::type_identity_t<TrainOptions<Plain, Batch>> options = {}) {
  const bool goes_on = options.loop.history || options.loop.elapsed;
  return reflect::dig<State>(reflect::build_train<Plain, Batch>(std::forward<State>(state),
                                                                std::forward<Data>(data), list,
                                                                std::move(options)),
                             goes_on);
}

/// Evaluates: on_test_begin, reset_step, on_reset_step with the first batch; on_test_batch_begin, test_step,
/// on_test_step, on_test_batch_end and the tasks with a schedule for each; on_test_end.
template <class State, class Data, class Plain = std::remove_cvref_t<State>,
          class Batch = typename reflect::BatchOfData<Data>::type>
LoopResult<State> test_loop(State&& state, Data&& data,
                            std::type_identity_t<std::vector<Task<Plain, Batch>>> list = {},
                            std::type_identity_t<TestOptions<Plain, Batch>> options = {}) {
  const bool goes_on = options.loop.history || options.loop.elapsed;
  return reflect::dig<State>(reflect::build_test<Plain, Batch>(std::forward<State>(state),
                                                               std::forward<Data>(data), list,
                                                               std::move(options)),
                             goes_on);
}

/// Predicts: on_predict_begin with the first batch; on_predict_batch_begin, predict_step, on_predict_step,
/// on_predict_batch_end and the tasks with a schedule for each; on_predict_end. `predictions` collects the
/// outputs.
template <class State, class Data, class Plain = std::remove_cvref_t<State>,
          class Batch = typename reflect::BatchOfData<Data>::type>
LoopResult<State> predict_loop(State&& state, Data&& data,
                               std::type_identity_t<std::vector<Task<Plain, Batch>>> list = {},
                               std::type_identity_t<TestOptions<Plain, Batch>> options = {}) {
  const bool goes_on = options.loop.history || options.loop.elapsed;
  return reflect::dig<State>(reflect::build_predict<Plain, Batch>(std::forward<State>(state),
                                                                  std::forward<Data>(data), list,
                                                                  std::move(options)),
                             goes_on);
}

/// The outputs of all batches as one tensor, joined along the first dimension. \throws Error where
/// there are none
inline at::Tensor predictions(const History& history, std::string_view key = "outputs.preds") {
  const std::vector<at::Tensor> all = history.collect<at::Tensor>(key);
  if (all.empty())
    throw Error(fmt::format("predictions: a predict loop logs its outputs, got no \"{}\"; return ab::Logs()"
                            ".add_output(\"preds\", outputs) from predict_step",
                            key));
  return at::cat(all);
}

/// A loop inside of a loop, as a step function: `run` gets a copy of the state, or the state itself where it
/// can't be copied, as one that owns an optimizer of LibTorch, and returns what a loop does; its rows become
/// logs, with `_name` behind their names.
///
///     {ab::every(100), ab::tasks::inner_loop("valid", [&](State& state) { return ab::tasks::test_loop(state,
///     ...); })}
template <class Run>
auto inner_loop(std::string name, Run run, InnerLoopOptions options = {}) {
  return [name = std::move(name), run = std::move(run),
          options = std::move(options)]<class State>(State& state) mutable {
    std::optional<State> copy;
    if constexpr (std::is_copy_constructible_v<State>) {
      if (!options.output_state) copy.emplace(std::as_const(state));
    }
    const auto result = run(copy ? *copy : state);
    return aggregate(result.history, result.elapsed, options.aggregation, name);
  };
}

}  // namespace abyme::tasks
