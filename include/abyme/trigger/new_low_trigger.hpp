#pragma once

#include <abyme/core/ground.hpp>

#include <cmath>
#include <optional>
#include <utility>

namespace abyme {

struct NewBestTriggerOptions {
  Input<double> min_delta =
      0;  ///< by how much more than this a value must beat the best one; read at each dig
};

/// What `NewLowTrigger` and `NewHighTrigger` share: it remembers the best value.
class NewBestTriggerNode : public Node {
public:
  using Options = NewBestTriggerOptions;
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Input<double> value;
  Options options;
  std::optional<double> best;

  Step next(Step finished) override {
    if (finished != entry) return done;
    const auto now = value.find(*this);
    if (!now || std::isnan(*now)) return done;
    if (best && !(sign_ * (*best - *now) > read(options.min_delta))) return done;
    best = now;  // before the children run: they may read it
    return events["dig"];
  }

protected:
  NewBestTriggerNode(double sign, Input<double> value, Options options)
      : value(std::move(value)), options(std::move(options)), sign_(sign) {}

private:
  double sign_;  // 1: low is better, -1: high is
};

/// Digs its children where a value is lower than all before: `ab::NewLowTrigger("average").focus(stats)`. The
/// first value is a new low; an equal one is none. A value that is not there yet, or NaN, is passed over.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `value`, `min` (the lowest so far, nothing
/// before the first), `min_delta`. With `min_delta` a value counts, and is remembered, where min - value >
/// min_delta.
class NewLowTriggerNode : public NewBestTriggerNode {
public:
  static constexpr auto fields =
      abyme::fields(field("value", &NewLowTriggerNode::value), state("min", &NewLowTriggerNode::best));
  explicit NewLowTriggerNode(Input<double> value, Options options = {})
      : NewBestTriggerNode(1, std::move(value), std::move(options)) {}
};
using NewLowTrigger = Handle<NewLowTriggerNode>;

/// Digs its children where a value is higher than all before; see `NewLowTrigger`. Fields: `value`, `max`,
/// `min_delta`.
class NewHighTriggerNode : public NewBestTriggerNode {
public:
  static constexpr auto fields =
      abyme::fields(field("value", &NewHighTriggerNode::value), state("max", &NewHighTriggerNode::best));
  explicit NewHighTriggerNode(Input<double> value, Options options = {})
      : NewBestTriggerNode(-1, std::move(value), std::move(options)) {}
};
using NewHighTrigger = Handle<NewHighTriggerNode>;

}  // namespace abyme
