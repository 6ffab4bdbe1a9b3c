#pragma once

#include <abyme/pass/pass.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace abyme {

/// While its children run, the parameters are the averages that a pass with the option `average` keeps,
/// before its first step the parameters themselves:
///
///     ab::SupervisedPass train_pass(model, optimizer, criterion, {.average = 0.999});
///     ab::Averaged(train_pass)("dig", test_data, ab::SaveModel(model, "averaged"));
///
/// Nothing is copied: the two exchange their memory. Buffers, such as those of batch norm, stay the model's.
/// Train nothing below it: that would train the averages. It looks at the pass and does not own it.
///
/// Event `dig`; transparent. Field: `pass`, the name of the pass.
class AveragedNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  std::string pass_name() const {
    const auto pass = pass_.lock();
    return pass ? std::string(pass->name()) : "(gone)";
  }
  static constexpr auto fields = abyme::fields(option("pass", &AveragedNode::pass_name));

  template <NodeHandle Handle>
  explicit AveragedNode(const Handle& pass) : pass_(std::shared_ptr<PassNode>(pass.shared())) {}

  Step next(Step finished) override {
    set(finished == entry);
    return finished == entry ? events["dig"] : done;
  }
  Step left(std::string_view) override {
    set(false);
    return done;
  }

  void check(Place& place) const override {
    const auto pass = pass_.lock();
    if (!pass) {
      place.fault("its pass must be alive, but it is gone; keep a handle of it while the tree is used");
    } else if (!pass->average()) {
      place.fault(fmt::format(
          "its pass must keep an average, got {} without; pass {{.average = 0.999}} there", pass->name()));
    } else {
      place.hold(pass);
    }
  }

private:
  void set(bool averaged) {
    const auto pass = pass_.lock();
    if (pass && pass->average()->swapped() != averaged) pass->average()->swap();
  }

  std::weak_ptr<PassNode> pass_;
};
using Averaged = Handle<AveragedNode>;

}  // namespace abyme
