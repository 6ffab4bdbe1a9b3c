#pragma once

#include <abyme/core/ground.hpp>

#include <limits>
#include <utility>

namespace abyme {

/// Digs its children at each dig where low <= value < high: `ab::RangeTrigger("counter", 10, 20)`; without a
/// high end where low <= value. A value that is not there yet, or NaN, is in no range.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `value`, `low`, `high` (all read at each dig).
class RangeTriggerNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Input<double> value;
  Input<double> low;
  Input<double> high;
  static constexpr auto fields =
      abyme::fields(field("value", &RangeTriggerNode::value), field("low", &RangeTriggerNode::low),
                    field("high", &RangeTriggerNode::high));

  RangeTriggerNode(Input<double> value, Input<double> low, Input<double> high)
      : value(std::move(value)), low(std::move(low)), high(std::move(high)) {}
  RangeTriggerNode(Input<double> value, Input<double> low)
      : RangeTriggerNode(std::move(value), std::move(low), std::numeric_limits<double>::infinity()) {
    open_ = true;
  }

  Step next(Step finished) override {
    if (finished != entry) return done;
    const auto now = value.find(*this);
    return now && *now >= read(low) && (open_ || *now < read(high)) ? events["dig"] : done;
  }

private:
  bool open_ = false;  // infinity itself is in a range without a high end
};
using RangeTrigger = Handle<RangeTriggerNode>;

}  // namespace abyme
