#pragma once

#include <abyme/core/ground.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// Sets the state fields of other nodes to what they were at construction: statistics before a new epoch,
/// counters of triggers. `ab::Reset(train_stats, test_stats)`. Of a looper that runs only the counters start
/// anew, and an `IterationLooper` ends; what a writer has written stays. It looks at these nodes and does not
/// own them. No events. Fields: `targets`, their names.
class ResetNode : public Node {
public:
  std::string target_names() const {
    std::string names;
    for (const auto& look : nodes_) {
      const auto node = look.lock();
      names.append(names.empty() ? "" : ", ").append(node ? node->name() : "(gone)");
    }
    return names;
  }
  static constexpr auto fields = abyme::fields(option("targets", &ResetNode::target_names));

  template <NodeHandle... Handles>
    requires(sizeof...(Handles) > 0)
  explicit ResetNode(const Handles&... handles) : nodes_{std::shared_ptr<Node>(handles.shared())...} {}

  Step next(Step) override {
    for (const auto& look : nodes_) {
      if (const auto node = look.lock()) node->set_back();
    }
    return done;
  }

  void check(Place& place) const override {
    for (const auto& look : nodes_) {
      if (auto node = look.lock()) place.hold(std::move(node));
      else
        place.fault(
            "a node to reset must be alive, but it is gone; keep a handle of it while the tree is used");
    }
  }

private:
  std::vector<std::weak_ptr<Node>> nodes_;
};
using Reset = Handle<ResetNode>;

}  // namespace abyme
