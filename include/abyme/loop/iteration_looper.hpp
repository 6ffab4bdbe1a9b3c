#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/time/elapsed.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace abyme {

/// Iterates a number of times: epochs, usually.
///
/// Events, children see the looper: `start`, then for each iteration `iteration_start` and `iteration_end`,
/// then `end`. Fields: `counter` (0 at `start`; the index in `iteration_start`; the number completed in
/// `iteration_end` and `end`; every dig starts from 0), `total` (how many iterations this dig has; nothing
/// before the first dig), `fraction` (counter / total), `count` (the input), `steps` (iterations completed
/// since the run began, over all digs). The count is read once a dig; 0 or less gives `start` and `end` only.
/// A run that goes on from a snapshot has the count of its program, where that is a constant: so it can be
/// made longer.
class IterationLooperNode : public Node, public GoesOn {
public:
  static constexpr auto events = abyme::events("start", "iteration_start", "iteration_end", "end");

  std::optional<Input<std::int64_t>> count;
  std::int64_t counter = 0;
  std::optional<std::int64_t> total;
  std::int64_t steps = 0;

  /// What is done since the run began; an iteration has no samples.
  Elapsed elapsed() const { return {steps, 0, run() ? run()->time() : Duration(0)}; }

  std::optional<double> fraction() const {
    if (!total) return std::nullopt;
    return *total > 0 ? double(counter) / double(*total) : 1.0;
  }
  static constexpr auto fields = abyme::fields(
      field("count", &IterationLooperNode::count), state("counter", &IterationLooperNode::counter),
      state("total", &IterationLooperNode::total), field("fraction", &IterationLooperNode::fraction),
      state("steps", &IterationLooperNode::steps));

  IterationLooperNode() = default;  // to be set up later
  explicit IterationLooperNode(Input<std::int64_t> count) : count(std::move(count)) {}
  void setup(Input<std::int64_t> iterations) { count = std::move(iterations); }

  Step next(Step finished) override {
    if (finished == entry) {
      total = read(*count);
      counter = 0;
      return events["start"];
    }
    if (finished == events["iteration_start"]) {
      ++counter;
      ++steps;
      return events["iteration_end"];
    }
    if (counter < total.value_or(0)) return events["iteration_start"];  // none: it was reset
    return finished == events["end"] ? done : events["end"];
  }

  void goes_on() override {
    if (const auto constant = count->constant(); total && constant) total = constant;
  }
  // With a higher count it is not at its end any more.
  bool can_go_on_in(Step event) const override {
    return event != events["end"] || counter >= total.value_or(0);
  }

  void check(Place& place) const override {
    if (!count) place.fault("a looper needs its count, got none; pass it, or call setup(10) before the dig");
    if (!has_children()) place.fault("a looper needs a child, got none; hang one on \"iteration_end\"");
  }
};
using IterationLooper = Handle<IterationLooperNode>;

}  // namespace abyme
