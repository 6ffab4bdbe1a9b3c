#pragma once

#include <abyme/dialect/task.hpp>
#include <abyme/save/early_stopping.hpp>
#include <abyme/save/snapshot.hpp>
#include <abyme/write/progress_bar.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Ciclo's callbacks: nodes that serve in any tree, as tasks that read what the loop has logged.
namespace abyme::tasks {

namespace reflect {
// The last value that was logged under a key.
inline auto logged(const LoopParts& parts, std::string key) {
  return [history = parts.history, key = std::move(key)]() -> Value { return history.accumulated().at(key); };
}
inline void need_state(const LoopParts& parts, std::string_view who) {
  if (!parts.lacks.empty())
    throw Error(
        fmt::format("{}: the state is a struct whose members are models, optimizers and values, or a class "
                    "with save and load, got {}; write save and load for it",
                    who, parts.lacks));
}
}  // namespace reflect

struct CheckpointOptions {
  std::int64_t keep = 1;                    ///< how many of the newest stay
  std::optional<std::string> monitor = {};  ///< keeps the best one too, by this entry of the logs
  bool high_is_better = false;
};

/// A `Snapshot` of the whole run: `ab::tasks::tree(...).resume(...)` goes on from it. Where it is due, and at
/// `on_epoch_end` as a callback of a train loop. One in a loop.
/// \throws Error at a step where the entry to monitor is not logged, and where snapshots can't hold the state
inline NodeTask checkpoint(std::string folder, CheckpointOptions options = {}) {
  return {"on_epoch_end",
          [folder = std::move(folder), options = std::move(options)](const LoopParts& parts) -> Child {
            reflect::need_state(parts, "checkpoint");
            std::optional<Input<double>> best;
            if (options.monitor) best = Input<double>(reflect::logged(parts, *options.monitor));
            return Snapshot(folder,
                            {.keep = options.keep, .best = best, .high_is_better = options.high_is_better});
          }};
}

struct StoppingOptions {
  double min_delta = 0;
  bool high_is_better = false;
  std::optional<double> baseline = {};
  bool restore_best = false;  ///< puts the state back to what it was with the best value
};

/// An `EarlyStopping` that ends the loop when an entry of the logs has not improved for `patience`: an
/// integer is steps. The clock starts with the first dig.
inline NodeTask early_stopping(std::string monitor, Period patience, StoppingOptions options = {}) {
  return {"on_epoch_end",
          [monitor = std::move(monitor), patience = std::move(patience),
           options](const LoopParts& parts) -> Child {
            if (options.restore_best) reflect::need_state(parts, "early_stopping");
            const Input<double> value(reflect::logged(parts, monitor));
            const EarlyStoppingOptions inner{options.min_delta, options.high_is_better, options.baseline};
            const EarlyStopping stopping = options.restore_best
                                               ? EarlyStopping(value, patience, parts.state, inner)
                                               : EarlyStopping(value, patience, inner);
            parts.begin_anew->push_back(stopping.shared());
            return stopping("dig", Break(parts.looper, {.reason = "no improvement of " + monitor}));
          }};
}

namespace reflect {
// What is left of a period when so much is done; a date stays.
inline Period rest_of(Period period, const Elapsed& done) {
  if (period.steps) period.steps = std::max<std::int64_t>(0, *period.steps - done.steps);
  if (period.samples) period.samples = std::max<std::int64_t>(0, *period.samples - done.samples);
  if (period.time) period.time = std::max(Duration(0), *period.time - done.time);
  return period;
}

inline NodeTask bar(Terminal out, BarStyle style, std::optional<Period> total, ProgressBarOptions options) {
  options.style = style;
  if (total) options.total = std::move(total);
  return {"on_train_batch_end",
          [out = std::move(out), options = std::move(options)](const LoopParts& parts) -> Child {
            const auto entries = [](auto logs, const char* collection) {
              return [logs, collection]() -> const Dict& {
                static const Dict none;
                const Dict* logged = logs().collection(collection);
                return logged ? *logged : none;
              };
            };
            const auto of_step = [history = parts.history]() -> const Logs& { return history.last(); };
            const auto of_all = [history = parts.history]() -> const Logs& { return history.accumulated(); };
            ProgressBarOptions now = options;
            if (now.total) now.total = rest_of(*now.total, parts.initial);
            now.means.emplace_back(entries(of_step, "metrics"));
            std::vector<BarValue> values{{"", Input<Value>(entries(of_all, "stateful_metrics"))}};
            parts.looper("iteration_end", ProgressBar(out, std::move(values), now));
            return Call([] {});
          }};
}
}  // namespace reflect

/// A `ProgressBar` as Keras draws it: the stateful metrics of the logs as they are, then the metrics as means
/// over the pass. It is drawn behind each batch, whatever its schedule, so that it ends at n of n. \param
/// total steps, or samples, time, a date; otherwise the batches of the data, where they can be counted \param
/// out where it is drawn: the standard error unless given
inline NodeTask keras_bar(Terminal out, std::optional<Period> total = {}, ProgressBarOptions options = {}) {
  return reflect::bar(std::move(out), BarStyle::keras, std::move(total), std::move(options));
}
inline NodeTask keras_bar(std::optional<Period> total = {}, ProgressBarOptions options = {}) {
  return keras_bar(std::cerr, std::move(total), std::move(options));
}
/// The same as tqdm draws it.
inline NodeTask tqdm_bar(Terminal out, std::optional<Period> total = {}, ProgressBarOptions options = {}) {
  return reflect::bar(std::move(out), BarStyle::tqdm, std::move(total), std::move(options));
}
inline NodeTask tqdm_bar(std::optional<Period> total = {}, ProgressBarOptions options = {}) {
  return tqdm_bar(std::cerr, std::move(total), std::move(options));
}

/// Writes the scalars of each row of the history to a file as a line of JSON, with steps, samples and time;
/// not those of a step that was broken off.
inline NodeTask json_lines(std::string path) {
  return {"on_train_batch_end", [path = std::move(path)](const LoopParts& parts) -> Child {
            parts.before_commit->push_back(parts.history.stream_to(path));
            return Call([] {});
          }};
}

/// A function of what has elapsed, `f(const ab::Elapsed&)`, as a task.
template <class F>
  requires std::invocable<F&, const Elapsed&>
NodeTask with_elapsed(F function) {
  return {"", [function = std::move(function)](const LoopParts& parts) -> Child {
            return Call(
                [function = F(function), looper = &*parts.looper]() mutable { function(looper->elapsed()); });
          }};
}

/// Does nothing.
inline NodeTask noop() {
  return {"", [](const LoopParts&) -> Child { return Call([] {}); }};
}

}  // namespace abyme::tasks
