// A run that goes on with another number of epochs.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ab = abyme;

namespace snapshot_count_tests {

using tests::Folder;
using Lines = std::vector<std::string>;

namespace {

struct Options {
  ab::Input<std::int64_t> epochs;
  std::int64_t stop_at = 0;  // the epoch at whose end it is stopped; 0: none
};

// A walk at random, two steps an epoch; what is in the snapshot is all it knows of the steps before.
struct Walker {
  explicit Walker(const std::string& folder, const Options& options) : epochs(options.epochs) {
    ab::Snapshot snapshots(folder);
    torch::manual_seed(1);
    ab::IterationLooper steps(2);
    steps.named("steps")("iteration_end", [this] { place += torch::rand({1}).item<double>(); });
    const auto tell = [this](const char* when) {
      return [this, when](ab::IterationLooper::Node& node) {
        lines.push_back(fmt::format("{} {} of {}, {:.2f}: {:a}", when, node.counter, *node.total,
                                    *node.fraction(), place));
      };
    };
    epochs.named("epochs")("start", tell("start"))
        .at("iteration_start", steps)
        .at("iteration_end", tell("epoch"), snapshots, [this, options](ab::Run& run) {
          if (epochs->counter == options.stop_at) run.stop("enough");
        });
    epochs("end", tell("before"), ab::PeriodicTrigger(1)("dig", snapshots, tell("behind")), tell("end"));
    ground("dig", epochs).holds("place", place);
    outcome = ground.resume(snapshots).dig();
  }

  double place = 0;
  Lines lines;
  ab::IterationLooper epochs;
  ab::Ground ground;
  ab::Outcome outcome;
};

// The last lines.
Lines last(const Lines& lines, std::size_t count) {
  return {lines.end() - static_cast<std::ptrdiff_t>(count), lines.end()};
}

}  // namespace

TEST_CASE("a run that goes on has the count of its program, and the same bits as one that always had it",
          "[snapshot]") {
  const Folder folder;
  const Lines whole = Walker(folder / "whole", {.epochs = 6}).lines;
  REQUIRE(whole.size() == 1 + 6 + 3);
  const std::string running = folder / "running";

  SECTION("more than it had: it was stopped") {
    Walker(running, {.epochs = 4, .stop_at = 2});
    const Walker resumed(running, {.epochs = 6});
    CHECK(resumed.lines == last(whole, 4 + 3));
    CHECK(resumed.outcome.completed);
  }
  SECTION("more than it had: it was at its end, of which the rest is left out") {
    Walker(running, {.epochs = 4});
    CHECK(Walker(running, {.epochs = 6}).lines == last(whole, 2 + 3));
  }
  SECTION("as many: it goes on at its end, behind the snapshot") {
    Walker(running, {.epochs = 6});
    CHECK(Walker(running, {.epochs = 6}).lines == last(whole, 2));
  }
  SECTION("fewer: it ends behind the epoch in which it is") {
    Walker(running, {.epochs = 6, .stop_at = 3});
    const Walker resumed(running, {.epochs = 2});
    CHECK(resumed.epochs->counter == 3);
    CHECK(resumed.epochs->total == 2);
    CHECK(resumed.lines.size() == 3);  // those of the end
    CHECK(resumed.outcome.completed);
  }
  SECTION("one that is read late is read once a dig: that of the snapshot holds") {
    const auto late = [](std::int64_t count) { return Options{.epochs = [count] { return count; }}; };
    Walker(running, late(4));
    const Walker resumed(running, late(6));
    CHECK(resumed.epochs->total == 4);
    CHECK(resumed.epochs->counter == 4);
  }
}

}  // namespace snapshot_count_tests
