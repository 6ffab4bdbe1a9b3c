#include <abyme/trigger/on.hpp>

#include <abyme/core/describe.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>

#include "support/error_of.hpp"
#include "support/trace.hpp"

#include <string>
#include <vector>

namespace ab = abyme;

namespace on_tests {

using tests::happened;
using tests::Trace;

namespace {
using Batches = std::vector<std::vector<int>>;  // of 2 samples, the last of 1
const Batches batches{{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0}};
}  // namespace

TEST_CASE("a schedule in the tree sees what was finished before in iteration_start, with this step in "
          "iteration_end") {
  Trace trace;
  ab::DataLooper data(batches);
  data("iteration_start", ab::On(ab::every(2))("dig", trace("before", "counter")))
      .at("iteration_end", ab::On(ab::every(2))("dig", trace("with this", "counter")),
          ab::On(ab::every(ab::samples(4)))("dig", trace("samples", "counter", "samples")))
      .at("end", ab::On(ab::after(5))("dig", trace("after 5", "counter")));
  ab::Ground ground;
  ground("dig", data);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    before 0
    with this 2
    samples 2 4
    before 2
    with this 4
    samples 4 8
    before 4
    after 5 5
  )"));
}

TEST_CASE("the nearest looper above counts, over all its digs, and anew in each run") {
  Trace trace;
  ab::IterationLooper epochs(3);
  ab::DataLooper data(batches);
  data("iteration_end", ab::On(ab::every(4))("dig", trace("step", "steps", "counter")));
  epochs("iteration_start", data).at("iteration_end", ab::On(ab::after(2))("dig", trace("epoch", "steps")));
  ab::Ground ground;
  ground("dig", epochs);
  const char* once = R"(
    step 4 4
    step 8 3
    epoch 2
    step 12 2
    epoch 3
  )";
  ground.dig();
  CHECK_THAT(trace, happened(once));
  CHECK(data->samples == 27);
  trace.clear();
  ground.dig();
  CHECK_THAT(trace, happened(once));
  trace.clear();
  ground.dig({.keep = true});
  CHECK_THAT(trace, happened(R"(
    step 16 1
    step 20 5
    epoch 4
    step 24 4
    epoch 5
    step 28 3
    epoch 6
  )"));
}

TEST_CASE("the memory of a schedule is set back with the run") {
  Trace trace;
  ab::DataLooper data(batches);
  ab::On twice(ab::every(ab::samples(6)));
  data("iteration_end", twice("dig", trace("fires", "samples")));
  ab::Ground ground;
  ground("dig", data);
  for (int run = 0; run < 2; ++run) {
    ground.dig();
    CHECK_THAT(trace, happened("fires 6"));
    trace.clear();
  }
  CHECK(ab::describe(ground).find("On(when = \"every 6 samples\")") != std::string::npos);
}

TEST_CASE("one schedule hung below two loopers asks the one it is dug in") {
  Trace trace;
  ab::On third(ab::on_steps({3}));
  third("dig", trace("third", "steps"));
  ab::IterationLooper epochs(4);
  ab::DataLooper data(batches);
  epochs("iteration_start", data("iteration_end", third)).at("iteration_end", third);
  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    third 3
    third 3
  )"));
}

TEST_CASE("a schedule with no looper above it is a fault of the walk") {
  ab::Ground ground;
  ground("dig", ab::On(ab::every(2))("dig", [] {}));
  CHECK(tests::error_of([&] {
          ground.dig();
        }).find("On: a schedule needs a looper above it that counts, got none; hang it below one") !=
        std::string::npos);
}

TEST_CASE("a schedule in samples where none are counted is a fault of the walk") {
  const auto told = [](ab::Schedule schedule) {
    ab::DataLooper data(batches);
    ab::IterationLooper epochs(2);
    data("iteration_end", ab::On(schedule)("dig", [] {}));
    epochs("iteration_start", data).at("iteration_end", ab::On(schedule)("dig", [] {}));
    ab::Ground ground;
    ground("dig", epochs);
    return tests::error_of([&] { ground.dig(); });
  };
  const std::string fault = "On: a schedule in samples needs a looper above it that shows samples, got "
                            "IterationLooper; hang it below a "
                            "DataLooper, or count steps";
  for (const ab::Schedule& schedule :
       {ab::every(ab::samples(10)), ab::every(5) || !ab::every(ab::samples(10)),
        ab::after(ab::samples(10)).every(2), ab::Schedule(ab::after(ab::samples(10))),
        ab::piecewise(ab::every(2), {{10, ab::every(ab::samples(3))}})}) {
    const std::string error = told(schedule);
    CHECK(error.find(fault) != std::string::npos);
    CHECK(error.find(fault, error.find(fault) + 1) == std::string::npos);  // below the data it is right
  }
  CHECK(told(ab::every(2) && [](const ab::Elapsed& elapsed) { return elapsed.samples == 0; }) == "no error");
}

}  // namespace on_tests
