#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/every_boundary.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace snapshot_nodes_tests {
namespace {

// A class that keeps itself.
struct Sum {
  double value = 0;
  void save(ab::Kept& kept) const { kept.data["value"] = value; }
  void load(const ab::Kept& kept) { value = kept.data.at("value").number(); }
};
enum class Phase { first, second };
struct Place {
  std::int64_t row = 0;
  std::vector<std::pair<std::string, double>> columns;
};

// A node of the user's own, whose table says all that a snapshot needs.
struct OwnNode : ab::Node {
  static constexpr auto events = ab::events("odd", "even");
  bool flag = false;
  float share = 0;
  std::int64_t count = 0;
  std::optional<std::string> text;
  std::chrono::milliseconds waited{0};
  Phase phase = Phase::first;
  torch::Tensor sum;
  Place place;
  Sum own_sum;
  std::string seen() const {
    return fmt::format("{} {} {} {} {} {} {} {}", flag, share, count, text.value_or("-"), waited.count(),
                       int(phase), sum.defined() ? sum.sum().item<float>() : -1, own_sum.value);
  }
  static constexpr auto fields =
      ab::fields(ab::state("flag", &OwnNode::flag), ab::state("share", &OwnNode::share),
                 ab::state("count", &OwnNode::count), ab::state("text", &OwnNode::text),
                 ab::state("waited", &OwnNode::waited), ab::state("phase", &OwnNode::phase),
                 ab::state("sum", &OwnNode::sum), ab::state("place", &OwnNode::place),
                 ab::state("own_sum", &OwnNode::own_sum), ab::field("seen", &OwnNode::seen));
  ab::Step next(ab::Step finished) override {
    if (finished != ab::entry) return ab::done;
    flag = !flag;
    share += 0.1F;
    ++count;
    if (count % 3 == 0) text = fmt::format("third {}", count);
    waited += std::chrono::milliseconds(7);
    phase = flag ? Phase::second : Phase::first;
    if (count > 1) sum = sum.defined() ? sum + torch::rand({2}) : torch::rand({2});
    place.row = count;
    place.columns.emplace_back("column", share);
    own_sum.value += share;
    return flag ? events["odd"] : events["even"];
  }
};
using Own = ab::Handle<OwnNode>;

// Triggers, writers, timers, a ground inside the tree, a node in two places, a loop that is broken off.
struct AllNodes : tests::Resumable {
  AllNodes(bool takes, std::uint64_t seed) : Resumable(takes, seed) {
    net = torch::nn::Linear(3, 1);
    torch::optim::SGD optimizer(net->parameters(), 0.1);
    const auto generator = at::detail::createCPUGenerator(4);
    ab::DataLooper data(ab::TensorBatches(torch::randn({6, 3}, generator), torch::randn({6, 1}, generator),
                                          {.batch_size = 2, .seed = 1}));
    data.named("data");
    ab::SupervisedPass pass(net, std::move(optimizer),
                            [](const torch::Tensor& outputs, const torch::Tensor& targets) {
                              return torch::mse_loss(outputs, targets);
                            });
    ab::Stats loss("loss");
    loss.named("loss");
    ab::TextFile log("files/log.txt");
    ab::CSVWriter csv("files/results.csv"), late_csv("files/deep/late.csv", {.unfilled = ab::Unfilled::na});
    ab::IterationLooper epochs(3), inner(4);
    epochs.named("epochs");
    inner.named("inner");
    ab::StoreAggregator all;
    ab::Timer clock;
    ab::MovingStats moving("loss", {.window = 2});
    ab::MakeFolder folder("files/made");
    Own own;

    own("odd", here(), ab::Print(log, "odd {}", own.get("seen")))("even", here());
    pass("end", loss, here());
    pass("end",
         moving("dig", ab::NewLowTrigger("average")("dig", ab::Print(log, "low {}", moving.get("average")))));
    data("iteration_end", pass, here(),
         ab::Print(log, "loss {} of {}", pass.get("loss"), pass.get("batch_size")),
         ab::CSVStream("files/steps.csv", {"counter", "last"}), here(),
         ab::PeriodicTrigger(2, {.wait_periods = 1})("dig", here(),
                                                     ab::Print(log, "period {}", ab::caller("counter"))),
         ab::NewLowTrigger("average").focus(loss)(
             "dig", here(), ab::Aggregate(all, {"average", "min"}, {.prefix = "low."}).focus(loss),
             ab::SaveModel(net, "files/models/low", {.date = false, .prefix = epochs.get("counter")})),
         ab::If([](ab::DataLooper::Node& node) { return node.counter % 2 == 0; })("dig", here(), own)(
             "otherwise", here(), own));
    inner("iteration_end", here(), own, ab::If([](ab::IterationLooper::Node& node) {
            return node.counter == 3;
          })("dig", here(), ab::Break(inner)),
          here());
    ab::Ground nested;
    nested.named("nested")("dig", here(), inner, ab::Break())("final", here());
    epochs("start", folder, here())
        .at("iteration_start", csv.open_line(), late_csv.open_line(), here(),
            clock("dig", here(), data, here()), here())
        .at("iteration_end", csv.add_caller_to_line({"average", "std"}).focus(loss), here(),
            ab::If([](ab::IterationLooper::Node& node) { return node.counter > 1; })(
                "dig", late_csv.add_caller_to_line({"max"}).focus(loss)),
            late_csv.commit_line(), here(), late_csv.save(), csv.commit_line(), here(), csv.save(),
            all("dig", here(), ab::PrettyPrintStore(log)), ab::Print(log, "timed {}", clock.get("count")),
            ab::ThresholdTrigger("counter", 2)("dig", here()), ab::Reset(loss), here(), inner, here(),
            ab::SaveModel(net, "files/models/archive", {.date = false, .archive = true}), here(),
            ab::SaveModel(net, "files/models/one", {.overwrite = true}))
        .at("end", here());
    ground("dig", epochs, here())("final", here());
    kept = {loss.shared(), moving.shared(), clock.shared(), pass.shared(),
            all.shared(),  own.shared(),    nested.shared()};
    look_at_the_end();
  }

  torch::nn::Linear net{nullptr};
  std::vector<std::shared_ptr<ab::Node>> kept;
};

}  // namespace

TEST_CASE("a run goes on in every kind of node", "[snapshot]") { tests::check_every_boundary<AllNodes>(100); }

}  // namespace snapshot_nodes_tests
