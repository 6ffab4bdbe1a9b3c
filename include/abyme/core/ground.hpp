#pragma once

#include <abyme/core/flush_denormals.hpp>
#include <abyme/core/holdings.hpp>
#include <abyme/core/run.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// How a run ended.
struct Outcome {
  bool completed;      ///< false where a break or a stop ended it
  std::string reason;  ///< "completed", or what the break or the stop said
};

struct DigOptions {
  /// Leave the `state` fields as they are, in place of setting them to what they were at first.
  bool keep = false;
  /// Count denormal numbers as 0 while the tree runs, which makes a step of a small network a fifth faster;
  /// see `FlushDenormals`.
  bool flush_denormals = true;
};

/// The root of a tree; it may also hang inside another one.
///
/// Events: `dig`, then `final`, which fires once however the digging ended: when all is done, after a break,
/// a stop or an error. Children see the ground. Fields: `reason` (nothing before the end; then "completed",
/// or what the break, the stop or the error said), `completed`.
class GroundNode : public Node {
public:
  static constexpr auto events = abyme::events("dig", "final");

  std::optional<std::string> reason;
  bool completed = false;
  static constexpr auto fields =
      abyme::fields(state("reason", &GroundNode::reason), state("completed", &GroundNode::completed));

  std::vector<int> signals;                        ///< that end its run in order
  std::vector<std::pair<std::string, Part>> told;  ///< what a snapshot holds that no node knows of
  void hold(Holdings& holdings) override {
    for (const auto& [name, part] : told) holdings.add_named(name, part);
  }

  void run_started() override {  // the run may be stopped before the ground is reached
    reason.reset();
    completed = false;
  }

  Step next(Step finished) override {
    if (finished == entry) {
      run_started();
      return events["dig"];
    }
    if (finished == events["final"]) return done;
    completed = true;
    reason = "completed";
    return events["final"];
  }

  Step left(std::string_view why) override {
    if (reason) return done;  // `final` runs already
    reason = std::string(why);
    return events["final"];
  }
};

/// `Ground::dig` runs the tree: walks it, sets the state fields back, digs. \throws WiringError before
/// anything has run where the tree has faults; Error, after `final`, where code of the user's or a node
/// threw.
using Ground = Handle<GroundNode>;

template <class Options>  // see FlushDenormals
Outcome dig_ground(const std::shared_ptr<GroundNode>& ground, Options options) {
  Run run(ground);
  const FlushDenormals flush(options.flush_denormals);
  if (!options.keep) run.restart();
  run.dig({}, ground->signals);
  return {ground->completed, ground->reason.value_or("")};
}

/// All faults of the tree below a ground, as `dig` would tell them; empty where it is sound.
inline std::vector<Fault> faults(const Ground& ground) { return Walk(*ground).faults(); }

struct BreakOptions {
  std::string reason = "broken off";  ///< what `final` and the outcome tell
};

/// Ends the node that it is given: the rest of that node's work is dropped, its later events don't fire, its
/// parent goes on with the next child. Without a node it ends the whole run. No events. Fields: `target`, the
/// name of the node that it ends, `reason`.
class BreakNode : public Node {
public:
  using Options = BreakOptions;
  Options options;

  std::string target_name() const {
    if (!has_target_) return "the whole run";
    const auto target = target_.lock();
    return target ? std::string(target->name()) : "(gone)";
  }
  static constexpr auto fields = abyme::fields(option("target", &BreakNode::target_name));

  explicit BreakNode(Options options = {}) : options(std::move(options)) {}
  template <NodeHandle H>
  explicit BreakNode(const H& target, Options options = {})
      : options(std::move(options)), target_(std::shared_ptr<Node>(target.shared())), has_target_(true) {}

  Step next(Step) override {
    if (!has_target_) run()->stop(options.reason);
    else if (const auto target = target_.lock()) run()->break_to(*target, options.reason);
    return done;
  }

  void check(Place& place) const override {
    if (!has_target_) return;
    const auto target = target_.lock();
    if (!target) {
      place.fault(
          "the node that it ends must be alive, but it is gone; keep a handle of it while the tree is used");
    } else if (!place.below(*target)) {
      place.fault(fmt::format(
          "the node that it ends must be above it, got {}, which is not; hang the break below that node",
          target->name()));
    }
  }

private:
  std::weak_ptr<Node> target_;
  bool has_target_ = false;
};
using Break = Handle<BreakNode>;

}  // namespace abyme
