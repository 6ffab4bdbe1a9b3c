#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/time/schedule.hpp>

#include <string>
#include <utility>

namespace abyme {

/// Whether a looper that counts is above this place: one whose `elapsed()` a run can read there.
inline bool below_a_looper(const Place& place) {
  for (const Node* node : place.nodes()) {
    if (node->type().elapsed && place.below(*node)) return true;
  }
  return false;
}

/// Digs its children when a schedule is due: `train_data("iteration_end", ab::On(ab::every(1000) ||
/// ab::every(5min))("dig", snapshots))`. It is asked at each dig with what has elapsed of the nearest looper
/// above it, over all digs since the run began: in `iteration_start` what was finished before, 0 at first; in
/// `iteration_end` with this step counted.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `when` (the schedule as text), `schedule` (its
/// memory).
class OnNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Schedule schedule;
  std::string when() const { return schedule.text(); }
  static constexpr auto fields =
      abyme::fields(option("when", &OnNode::when), state("schedule", &OnNode::schedule));

  explicit OnNode(Schedule schedule) : schedule(std::move(schedule)) {}

  Step next(Step finished) override {
    if (finished != entry) return done;
    return schedule(*run()->elapsed()) ? events["dig"] : done;
  }

  void check(Place& place) const override {
    if (!below_a_looper(place))
      place.fault("a schedule needs a looper above it that counts, got none; hang it below one");
  }
};
using On = Handle<OnNode>;

}  // namespace abyme
