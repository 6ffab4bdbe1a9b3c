#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/time/schedule.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace abyme {

/// A fault where no looper above this place counts what `who` goes by.
inline void need_looper(const Place& place, std::string_view who, bool in_samples) {
  const Node* looper = place.looper();
  if (!looper) {
    place.fault(fmt::format("{} needs a looper above it that counts, got none; hang it below one", who));
  } else if (in_samples && !looper->find_field("samples")) {
    place.fault(
        fmt::format("{} in samples needs a looper above it that shows samples, got {}; hang it below a "
                    "DataLooper, or count steps",
                    who, looper->name()));
  }
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

  void check(Place& place) const override { need_looper(place, "a schedule", schedule.counts_samples()); }
};
using On = Handle<OnNode>;

}  // namespace abyme
