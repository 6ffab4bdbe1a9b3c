#pragma once

#include <abyme/dialect/task.hpp>
#include <abyme/save/snapshot.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/on.hpp>

#include <any>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

/// Ciclo's way to write a loop: a list of tasks, each with the schedule on which it is due. It builds a tree
/// of the same nodes as all else.
namespace abyme::tasks {

template <class State, class Batch>
struct LoopOptions {
  std::optional<Period> stop = {};        ///< ends behind the batch that reaches it
  Callbacks<State, Batch> on_start = {};  ///< with the first batch, before its tasks
  Callbacks<State, Batch> on_end = {};    ///< behind the last batch, or a stop
  std::optional<History> history = {};    ///< goes on in this one; dig a tree so with keep
  std::optional<Elapsed> elapsed = {};    ///< counts on from there
  std::any metadata = {};                 ///< carried to the callbacks
  std::function<std::int64_t(const Batch&)> batch_size = {};  ///< the samples in a batch: `ab::batch_size`
  std::vector<int> signals = {};  ///< end the loop in order, as `Ground::on_signals`
  std::string name = {};          ///< of the looper, and before the parts in snapshots
};

/// What a loop returns: `auto [state, history, elapsed] = ab::tasks::loop(...)`.
template <class State>
struct LoopResult {
  State state;  ///< a reference where the state was given as an lvalue
  History history;
  Elapsed elapsed;  ///< with the last batch counted: a second loop goes on from it
};

namespace reflect {

// What a pointer points to counts, if it can be held.
template <class T>
concept PointsToHoldable =
    (std::is_pointer_v<T> || requires(T& pointer) { pointer.get(); }) && requires(T& pointer) {
      requires std::is_class_v<std::remove_reference_t<decltype(*pointer)>> && Holdable<decltype(*pointer)>;
    };

// Calls `visit(name, part)` for the state where it can be held whole, otherwise for each member that can, and
// `lacks(name, type)` for the others.
inline constexpr auto ignore_lacks = [](const std::string&, std::string_view) {};
template <class State, class Visit, class Lacks = decltype(ignore_lacks)>
void each_part(State& state, const std::string& name, const Visit& visit, const Lacks& lacks = ignore_lacks) {
  if constexpr (Holdable<State&>) {
    visit(name, part_of(state));
  } else if constexpr (!std::is_aggregate_v<State>) {
    lacks(name, type_name<State>);
  } else {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      const auto all = abyme::members(state);
      const auto one = [&](std::string_view member, auto& held) {
        using Held = std::remove_cvref_t<decltype(held)>;
        const std::string full = std::string(name).append(".").append(member);
        if constexpr (Holdable<decltype(held)>) {
          visit(full, part_of(held));
        } else if constexpr (PointsToHoldable<Held>) {
          if (held) visit(full, part_of(*held));
        } else if constexpr (!is_code<Held>) {
          lacks(full, type_name<Held>);
        }
      };
      (one(member_name<State, I>, std::get<I>(all)), ...);
    }(std::make_index_sequence<member_count<State>>{});
  }
}

template <class State>
Part state_part(State& state) {
  return {[&state](Kept& kept) {
            each_part(state, "state",
                      [&](const std::string& name, const Part& part) { kept.save_part(name, part); });
          },
          [&state](const Kept& kept) {
            each_part(state, "state",
                      [&](const std::string& name, const Part& part) { part.load(kept.part(name)); });
          }};
}

// What snapshots can't hold of it.
template <class State>
std::string lacks_of(State& state) {
  std::string all;
  each_part(
      state, "state", [](auto&&...) {},
      [&](const std::string& name, std::string_view type) {
        all.append(all.empty() ? "" : ", ").append(name).append(", a ").append(type);
      });
  return all;
}

template <class State, class Batch>
struct BuiltLoop {
  std::shared_ptr<LoopState<State, Batch>> loop;
  DataLooper looper;
  Ground ground;
};

template <class State, class Batch, class Held, class Data>
BuiltLoop<State, Batch> build(Held&& state, Data&& data, const std::vector<Task<State, Batch>>& list,
                              LoopOptions<State, Batch> options, bool holds_state = true) {
  const auto loop = std::make_shared<LoopState<State, Batch>>(own_or_borrow(std::forward<Held>(state)),
                                                              options.history.value_or(History()),
                                                              std::move(options.metadata));
  DataLooper looper(std::forward<Data>(data));
  if (!options.name.empty()) looper.named(options.name);
  if (options.batch_size) {
    looper->batch_size = [count = std::move(options.batch_size)](const Opaque& batch) {
      return count(*static_cast<const Batch*>(batch.address));
    };
  }

  const Elapsed initial = options.elapsed.value_or(Elapsed());
  const LoopParts parts{loop->history,
                        looper,
                        state_part(loop->state),
                        lacks_of(loop->state),
                        initial,
                        std::make_shared<std::vector<std::shared_ptr<Node>>>(),
                        std::make_shared<std::vector<Child>>()};
  const bool has_start = !options.on_start.empty();
  looper("iteration_start", [loop, has_start](DataLooperNode& node) { loop->begin_step(node, has_start); });
  if (has_start) {
    looper("iteration_start", If([](DataLooperNode& node) { return node.counter == 0; })(
                                  "dig", options.on_start.make(loop, parts), [loop] { loop->end_start(); }));
  }
  for (const auto& [when, place, callbacks] : list) {
    if (!when)
      throw Error(fmt::format(
          "tasks: a task of a loop has a schedule, got the place \"{}\"; only ready-made loops have "
          "places: train_loop, test_loop, predict_loop",
          place));
    if (callbacks.empty()) continue;
    On on(*when);
    on("dig", callbacks.make(loop, parts));
    looper("iteration_start", on);
    parts.begin_anew->push_back(on.shared());
  }
  looper("iteration_start", *parts.before_commit, loop->history.commit_row());
  if constexpr (std::is_copy_constructible_v<Batch>) {
    if (options.on_end.take_batch()) looper("iteration_start", [loop] { loop->keep_batch(); });
  }
  looper("iteration_start", [loop] { loop->end_step(); });
  if (options.stop)
    looper("iteration_end", On(after(*options.stop))("dig", Break(looper, {.reason = "stop reached"})));

  // Each dig counts anew, also that of a loop that hangs in another one.
  const auto begin = [loop, looper, initial, anew = *parts.begin_anew](Run& run) {
    looper->done_before = {initial.steps - looper->steps, initial.samples - looper->samples,
                           initial.time - run.time()};
    loop->elapsed = looper->elapsed();
    loop->begin();
    loop->history.drop_accumulated();
    for (const auto& node : anew) {
      node->restart();
      if (auto* on = dynamic_cast<OnNode*>(node.get())) on->schedule.begin_at(initial);
    }
  };
  const auto end = [loop, looper] {
    loop->history.commit(looper->elapsed());  // of a step that was left
    loop->end();
    loop->see(*looper);
  };
  Ground ground;
  ground("dig", begin, looper, end).at("final", [loop, end] {
    if (loop->is_in_step()) end();  // broken off from further up
  });
  for (const Child& child : options.on_end.make(loop, parts)) ground("dig", child);
  const std::string name = options.name.empty() ? "" : options.name + ".";
  if (holds_state) {
    each_part(loop->state, name + "state",
              [&](const std::string& part, Part held) { ground->told.emplace_back(part, std::move(held)); });
  }
  ground.holds(name + "loop", *loop);
  ground.on_signals(options.signals);
  return {loop, looper, ground};
}

template <class State, class Built>
LoopResult<State> dig(const Built& built, bool goes_on) {
  built.ground.dig({.keep = goes_on});
  Elapsed elapsed = built.looper->elapsed();
  elapsed.time =
      built.loop->elapsed.update_time().time;  // the looper's clock is that of the run, which is over
  if (built.loop->has_left_step()) elapsed = elapsed.update(built.looper->samples_in_batch());
  return {std::forward<State>(built.loop->state), built.loop->history, elapsed};
}

}  // namespace reflect

/// The tree of a loop, to be dug, described, resumed, or hung elsewhere: below a `DataLooper`, in
/// `iteration_start`, an `On` for each task, in their order, then the row of the history.
///
/// Each batch asks the schedules in the order of the list, with what was finished before, and runs the
/// callbacks of those that are due; each sees what those before it did to the state and the logs. A callback
/// that sets `stop_iteration` ends the loop: the rest of the step is left out, its row is written, `on_end`
/// runs, also behind empty data, but not behind an error or a signal. \param state an lvalue is borrowed, an
/// rvalue owned; snapshots hold it, or its members: a plain struct without references and base classes \param
/// data as in `DataLooper`
template <class State, class Data, class Plain = std::remove_cvref_t<State>,
          class Batch = typename reflect::BatchOfData<Data>::type>
Ground tree(State&& state, Data&& data, std::type_identity_t<std::vector<Task<Plain, Batch>>> list,
            std::type_identity_t<LoopOptions<Plain, Batch>> options = {}) {
  return reflect::build<Plain, Batch>(std::forward<State>(state), std::forward<Data>(data), list,
                                      std::move(options))
      .ground;
}

/// Builds the tree and digs it:
///
///     auto [state, history, elapsed] = ab::tasks::loop(
///         State{model, optimizer}, data,
///         {{ab::every(1), train_step},
///          {ab::every(ab::steps(1000)), {ab::tasks::checkpoint("runs/mnist"), report}},
///          ab::tasks::keras_bar(10'000)},
///         {.stop = 10'000});
///
/// With a history or what has elapsed in its options it goes on: nodes that hang in both lists, with their
/// files, too.
/// \throws as `Ground::dig`
template <class State, class Data, class Plain = std::remove_cvref_t<State>,
          class Batch = typename reflect::BatchOfData<Data>::type>
LoopResult<State> loop(State&& state, Data&& data, std::type_identity_t<std::vector<Task<Plain, Batch>>> list,
                       std::type_identity_t<LoopOptions<Plain, Batch>> options = {}) {
  const bool goes_on = options.history || options.elapsed;
  return reflect::dig<State>(reflect::build<Plain, Batch>(std::forward<State>(state),
                                                          std::forward<Data>(data), list, std::move(options)),
                             goes_on);
}

}  // namespace abyme::tasks
