#pragma once

#include <abyme/write/entries.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// A dictionary that `ab::Aggregate` fills from other nodes, for printers and tables to read in one piece.
///
///     ab::StoreAggregator all;
///     train_data("end", ab::Aggregate(all, {"average"}, {.prefix = "train."}).focus(train_stats));
///     epochs("iteration_end", all("dig", ab::PrettyPrintStore()));
///
/// Event: `dig`; children see the aggregator. Field: `aggregate`, an `ab::Dict`, set back with the run.
class StoreAggregatorNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");
  Dict aggregate;
  static constexpr auto fields = abyme::fields(state("aggregate", &StoreAggregatorNode::aggregate));

  Step next(Step finished) override { return finished == entry ? events["dig"] : done; }
};
using StoreAggregator = Handle<StoreAggregatorNode>;

/// Puts fields of its caller into a `StoreAggregator`, under prefix + name; what is there of that name is
/// replaced. Without names all that the caller shows but for objects and options. It looks at the aggregator
/// and does not own it. No events. Fields: `fields`, `prefix`, `into`.
class AggregateNode : public Node {
public:
  using Options = PrefixOptions;

  std::vector<Input<Value>> chosen;
  Options options;
  std::string into() const {
    const auto target = into_.lock();
    return target ? std::string(target->name()) : "(gone)";
  }
  static constexpr auto fields =
      abyme::fields(field("fields", &AggregateNode::chosen), option("into", &AggregateNode::into));

  explicit AggregateNode(const StoreAggregator& into, const std::vector<std::string>& names = {},
                         Options options = {})
      : chosen(inputs_of(names)), options(std::move(options)), into_(into.shared()) {}
  AggregateNode(const StoreAggregator& into, Options options) : AggregateNode(into, {}, std::move(options)) {}

  Step next(Step) override {
    if (const auto target = into_.lock()) {
      each_entry(*this, chosen, read(options.prefix),
                 [&](const std::string& name, const Value& value) { target->aggregate.set(name, value); });
    }
    return done;
  }

  void check(Place& place) const override {
    if (auto target = into_.lock()) place.hold(std::move(target));
    else
      place.fault("the aggregator must be alive, but it is gone; keep a handle of it while the tree is used");
  }

private:
  std::weak_ptr<StoreAggregatorNode> into_;
};
using Aggregate = Handle<AggregateNode>;

}  // namespace abyme
