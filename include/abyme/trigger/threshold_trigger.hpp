#pragma once

#include <abyme/core/ground.hpp>

#include <utility>

namespace abyme {

/// Digs its children at each dig where a value is strictly above a threshold: `ab::ThresholdTrigger("loss",
/// 10)`. A value that is not there yet, or NaN, is not above.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `value`, `threshold` (both read at each dig).
class ThresholdTriggerNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Input<double> value;
  Input<double> threshold;
  static constexpr auto fields = abyme::fields(field("value", &ThresholdTriggerNode::value),
                                               field("threshold", &ThresholdTriggerNode::threshold));

  ThresholdTriggerNode(Input<double> value, Input<double> threshold)
      : value(std::move(value)), threshold(std::move(threshold)) {}

  Step next(Step finished) override {
    if (finished != entry) return done;
    const auto now = value.find(*this);
    return now && *now > read(threshold) ? events["dig"] : done;
  }
};
using ThresholdTrigger = Handle<ThresholdTriggerNode>;

}  // namespace abyme
