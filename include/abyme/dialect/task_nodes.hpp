#pragma once

#include <abyme/dialect/task.hpp>
#include <abyme/save/early_stopping.hpp>
#include <abyme/save/snapshot.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

/// Ciclo's callbacks: nodes that serve in any tree, as tasks that read what the loop has logged.
namespace abyme::tasks {

namespace reflect {
// The last value that was logged under a key.
inline auto logged(const LoopParts& parts, std::string key) {
  return [history = parts.history, key = std::move(key)]() -> Value { return history.accumulated().at(key); };
}
}  // namespace reflect

struct CheckpointOptions {
  std::int64_t keep = 1;                    ///< how many of the newest stay
  std::optional<std::string> monitor = {};  ///< keeps the best one too, by this entry of the logs
  bool high_is_better = false;
};

/// A `Snapshot` of the whole run: `ab::tasks::tree(...).resume(...)` goes on from it. Where it is due, and at
/// `on_epoch_end` as a callback of a train loop. One in a loop.
/// \throws Error at a step where the entry to monitor is not logged
inline NodeTask checkpoint(std::string folder, CheckpointOptions options = {}) {
  return {"on_epoch_end",
          [folder = std::move(folder), options = std::move(options)](const LoopParts& parts) -> Child {
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
            const Input<double> value(reflect::logged(parts, monitor));
            const EarlyStoppingOptions inner{options.min_delta, options.high_is_better, options.baseline};
            const EarlyStopping stopping = options.restore_best
                                               ? EarlyStopping(value, patience, parts.state, inner)
                                               : EarlyStopping(value, patience, inner);
            return stopping("dig", Break(parts.looper, {.reason = "no improvement of " + monitor}));
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
