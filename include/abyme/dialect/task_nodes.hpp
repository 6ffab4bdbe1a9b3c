#pragma once

#include <abyme/dialect/task.hpp>
#include <abyme/save/early_stopping.hpp>
#include <abyme/save/snapshot.hpp>
#include <abyme/write/progress_bar.hpp>

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
  if (!parts.holds_state)
    throw Error(
        fmt::format("{}: the state is a struct whose members are models, optimizers and values, or a class "
                    "with save and load, got one that is neither; leave its constructors out, or write these",
                    who));
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
            return stopping("dig", Break(parts.looper, {.reason = "no improvement of " + monitor}));
          }};
}

namespace reflect {
inline NodeTask bar(Terminal out, BarStyle style, std::optional<Period> total, ProgressBarOptions options) {
  options.style = style;
  if (total) options.total = std::move(total);
  return {"on_train_batch_end",
          [out = std::move(out), options = std::move(options)](const LoopParts& parts) -> Child {
            const auto entries = [&parts](const char* collection) {
              return [history = parts.history, collection]() -> const Dict& {
                static const Dict none;
                const Dict* logged = history.accumulated().collection(collection);
                return logged ? *logged : none;
              };
            };
            ProgressBarOptions now = options;
            now.means.emplace_back(entries("metrics"));
            std::vector<BarValue> values{{"", Input<Value>(entries("stateful_metrics"))}};
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

/// Writes the scalars of each step that has logged some to a file as a line of JSON, with steps, samples and
/// time.
inline NodeTask json_lines(std::string path) {
  return {"on_train_batch_end", [path = std::move(path)](const LoopParts& parts) -> Child {
            return parts.history.stream_to(path);
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
