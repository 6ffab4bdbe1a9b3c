#pragma once

#include <abyme/core/ground.hpp>

#include <cstdint>
#include <utility>

namespace abyme {

struct PeriodicTriggerOptions {
  Input<std::int64_t> wait_periods = 0;  ///< how many periods pass before it fires first
};

/// Digs its children every n-th time that it is dug: with period 3 on digs 1, 4, 7, with one period of
/// waiting on 4, 7. It counts its own digs, whatever the loops around it do.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `period`, `wait_periods` (both read at each
/// dig), `counter` (digs so far, the present one counted). \throws Error at a dig where a late-bound period
/// is less than 1; a constant one is a fault of the walk.
class PeriodicTriggerNode : public Node {
public:
  using Options = PeriodicTriggerOptions;
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Input<std::int64_t> period;
  Options options;
  std::int64_t counter = 0;
  static constexpr auto fields = abyme::fields(field("period", &PeriodicTriggerNode::period),
                                               state("counter", &PeriodicTriggerNode::counter));

  explicit PeriodicTriggerNode(Input<std::int64_t> period, Options options = {})
      : period(std::move(period)), options(std::move(options)) {}

  Step next(Step finished) override {
    if (finished != entry) return done;
    const std::int64_t every = read(period);
    if (every < 1) throw Error(rule(every));
    const std::int64_t before =
        counter++;  // counted before the children run: a break aimed here freezes nothing
    return before % every == 0 && before / every >= read(options.wait_periods) ? events["dig"] : done;
  }

  void check(Place& place) const override {
    if (const auto every = period.constant(); every && *every < 1) place.fault(rule(*every));
  }

private:
  static std::string rule(std::int64_t period) {
    return fmt::format("period must be at least 1, got {}; pass 1 to fire on every dig", period);
  }
};
using PeriodicTrigger = Handle<PeriodicTriggerNode>;

}  // namespace abyme
