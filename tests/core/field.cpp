#include <abyme/core/field.hpp>

#include <abyme/core/ground.hpp>
#include <abyme/loop/iteration_looper.hpp>

#include <ATen/ops/zeros.h>
#include <catch2/catch.hpp>

namespace ab = abyme;

namespace field_tests {
namespace {

struct Point {
  double x = 0;
};

struct ShowsOptions {
  std::int64_t window = 10;
  std::string prefix = "p";
  ab::Input<double> threshold = 0.5;
};

struct ShowsNode : ab::Node {
  using Options = ShowsOptions;
  Options options;
  bool flag = true;
  std::int64_t count = 1;
  std::optional<double> best;
  std::string label = "label";
  at::Tensor weights = at::zeros({2});
  ab::Duration elapsed{2};
  Point point;
  ab::Input<std::int64_t> period = 3;
  double twice() const { return 2 * double(count); }
  static constexpr auto fields =
      ab::fields(ab::field("flag", &ShowsNode::flag), ab::state("count", &ShowsNode::count),
                 ab::state("best", &ShowsNode::best), ab::option("label", &ShowsNode::label),
                 ab::state("weights", &ShowsNode::weights), ab::field("elapsed", &ShowsNode::elapsed),
                 ab::field("point", &ShowsNode::point), ab::field("period", &ShowsNode::period),
                 ab::field("twice", &ShowsNode::twice));
  explicit ShowsNode(Options options = {}) : options(std::move(options)) {}
  ab::Step next(ab::Step) override { return ab::done; }
};
using Shows = ab::Handle<ShowsNode>;

struct HoldsNode : ab::Node {
  std::vector<at::Tensor> list{at::zeros({2}), at::zeros({3})};
  std::optional<at::Tensor> last = at::zeros({2});
  static constexpr auto fields =
      ab::fields(ab::state("list", &HoldsNode::list), ab::state("last", &HoldsNode::last));
  ab::Step next(ab::Step) override { return ab::done; }
};

// A node made of another one: what that shows stands in its table.
class CountdownNode : public ab::IterationLooperNode {
public:
  using ab::IterationLooperNode::IterationLooperNode;
  std::int64_t left_over() const { return total.value_or(0) - counter; }
  static constexpr auto fields =
      ab::fields(ab::IterationLooperNode::fields, ab::field("left_over", &CountdownNode::left_over));
};
using Countdown = ab::Handle<CountdownNode>;

}  // namespace

TEST_CASE("one table a class: its fields, then its options") {
  const Shows shows;
  std::string names;
  for (const ab::Field& row : shows->shown()) {
    names += fmt::format("{}: {}{}{}{}\n", row.name, ab::kind_name(row.kind), row.state ? ", state" : "",
                         row.option ? ", option" : "", row.input ? ", input" : "");
  }
  CHECK(names == "flag: a bool\n"
                 "count: an integer, state\n"
                 "best: a number, state\n"
                 "label: a text, option\n"
                 "weights: a tensor, state\n"
                 "elapsed: a duration\n"
                 "point: an object\n"
                 "period: an integer, input\n"
                 "twice: a number\n"
                 "window: an integer, option\n"
                 "prefix: a text, option\n"
                 "threshold: a number, option, input\n");
  CHECK(shows->type().name == "Shows");
  CHECK(shows->type().events.empty());
}

TEST_CASE("fields are read by name, as values or as a type") {
  const Shows shows({.window = 20});
  CHECK(shows.get("flag").as<bool>());
  CHECK(shows.get("count").as<std::int64_t>() == 1);
  CHECK(shows.get("count").as<double>() == 1.0);
  CHECK(shows.get("twice").as<double>() == 2.0);
  CHECK(shows.get("label").as<std::string>() == "label");
  CHECK(shows.get("weights").as<at::Tensor>().is_same(shows->weights));
  CHECK(shows.get("elapsed").as<ab::Duration>() == ab::Duration(2));
  CHECK(shows.get("point").as<ab::Opaque>().address == &shows->point);
  CHECK(shows.get("period").as<std::int64_t>() == 3);
  CHECK(shows.get("window").as<std::int64_t>() == 20);
  CHECK(ab::to_text(shows.get("best")()) == "none");
  shows->count = 21;
  CHECK(shows.get("twice").as<double>() == 42.0);
}

TEST_CASE("wrong names, wrong types and nodes that are gone say so") {
  Shows shows;
  const ab::Look look = shows.get("count");
  CHECK_THROWS_WITH(
      shows.get("counter")(),
      "Shows: get takes one of its fields (flag, count, best, label, weights, elapsed, point, period, "
      "twice, window, prefix, threshold), got \"counter\"");
  CHECK_THROWS_WITH(shows.get("label").as<double>(),
                    "get(\"label\"): the field must hold double, got a text");
  CHECK_THROWS_WITH(shows.get("best").as<double>(), "get(\"best\"): the field must hold double, got nothing");
  shows = Shows();
  CHECK_THROWS_WITH(look(), "get(\"count\"): the node must be alive, but it is gone; keep a handle of it");
  CHECK(look.node() == nullptr);
}

TEST_CASE("states are set back to what they were at construction, deeply") {
  const Shows shows;
  const void* first = shows->weights.const_data_ptr();
  shows->weights.fill_(1);
  shows->count = 5;
  shows->best = 0.1;
  shows->label = "other";
  for (int again = 0; again < 2; ++again) {
    shows->set_back();
    CHECK(shows->weights.sum().item().toDouble() == 0);
    shows->weights.fill_(2);  // must not reach what is kept
  }
  CHECK(shows->weights.const_data_ptr() != first);
  CHECK(shows->count == 1);
  CHECK_FALSE(shows->best.has_value());
  CHECK(shows->label == "other");
}

TEST_CASE("states that hold several tensors are kept deeply") {
  const ab::Handle<HoldsNode> holds;
  for (int again = 0; again < 2; ++again) {
    holds->list[1].fill_(3);
    holds->last->fill_(3);
    holds->set_back();
    CHECK(holds->list.size() == 2);
    CHECK(holds->list[1].sum().item().toDouble() == 0);
    CHECK(holds->last->sum().item().toDouble() == 0);
  }
}

TEST_CASE("a node made of another one shows and sets back what that has") {
  Countdown countdown(3);
  std::vector<std::int64_t> left;
  countdown("iteration_end", [&](Countdown::Node& node) { left.push_back(node.left_over()); });
  ab::Ground ground;
  ground("dig", countdown);
  ground.dig();
  CHECK(left == std::vector<std::int64_t>{2, 1, 0});
  CHECK(countdown->name() == "Countdown");
  CHECK(countdown.get("left_over").as<std::int64_t>() == 0);
  CHECK(countdown.get("total").as<std::int64_t>() == 3);
  countdown->set_back();
  CHECK(countdown->counter == 0);
}

}  // namespace field_tests
