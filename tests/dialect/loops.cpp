#include <abyme/dialect/loops.hpp>

#include "support/error_of.hpp"
#include "support/trace.hpp"

#include <torch/torch.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace loops_tests {

namespace tasks = abyme::tasks;
using tests::happened;
using tests::Trace;
using namespace std::chrono_literals;

namespace {

using Batch = std::vector<int>;
const std::vector<Batch> train_data{{1}, {2}, {3}, {4}};
const std::vector<Batch> test_data{{10, 10}, {20}};

struct State {
  std::int64_t sum = 0;
};

// Tells of every place.
struct Recorder {
  Trace trace;
  std::string where(const std::string& place, const ab::Elapsed& elapsed, const Batch& batch) const {
    return fmt::format("{} [{}] batch {}", place, elapsed.steps, batch.empty() ? 0 : batch[0]);
  }
  using S = State&;
  using B = const Batch&;
  using E = const ab::Elapsed&;
  void on_train_begin(S, B b, E e) { trace.add(where("on_train_begin", e, b)); }
  void on_train_batch_begin(S, B b, E e) { trace.add(where("on_train_batch_begin", e, b)); }
  ab::Logs train_step(S s, B b, E e) {
    trace.add(where("train_step", e, b));
    s.sum += b[0];
    return ab::Logs().add_loss("loss", double(b[0]));
  }
  void on_train_step(S, B b, E e) { trace.add(where("on_train_step", e, b)); }
  void reset_step(S, B b, E e) { trace.add(where("reset_step", e, b)); }
  void on_reset_step(S, B b, E e) { trace.add(where("on_reset_step", e, b)); }
  void on_test_begin(S, B b, E e) { trace.add(where("on_test_begin", e, b)); }
  void on_test_batch_begin(S, B b, E e) { trace.add(where("on_test_batch_begin", e, b)); }
  ab::Logs test_step(S s, B b, E e) {
    trace.add(where("test_step", e, b) + fmt::format(" sum {}", s.sum));
    s.sum += 1000;
    return ab::Logs().add_metric("score", double(b[0]));
  }
  void on_test_step(S, B b, E e) { trace.add(where("on_test_step", e, b)); }
  void on_test_batch_end(S, B b, E e) { trace.add(where("on_test_batch_end", e, b)); }
  void on_test_end(S, B b, E e) { trace.add(where("on_test_end", e, b)); }
  void on_epoch_end(S, B b, E e) { trace.add(where("on_epoch_end", e, b)); }
  void on_train_batch_end(S, B b, E e) { trace.add(where("on_train_batch_end", e, b)); }
  void on_train_end(S, B b, E e) { trace.add(where("on_train_end", e, b)); }
};

std::string rows_of(const ab::History& history) {
  std::string text;
  for (const auto& row : history) {
    text += fmt::format("{}:", row.elapsed.steps);
    for (const auto& [collection, entries] : row.logs)
      for (const auto& entry : entries)
        text += fmt::format(" {}.{}={}", collection, entry.name, to_text(entry.value));
    text += '\n';
  }
  return text;
}

}  // namespace

TEST_CASE("a train loop goes through its places in order, an epoch ends behind its n-th batch") {
  const auto recorder = std::make_shared<Recorder>();
  const Trace& trace = recorder->trace;
  const auto result = tasks::train_loop(
      State{}, train_data,
      {{ab::every(2),
        [&](State&, const Batch&, const ab::Elapsed& elapsed) {
          trace.add(fmt::format("user task [{}]", elapsed.steps));
        }}},
      {.callbacks = {recorder}, .test_data = [] { return test_data; }, .epoch_duration = 2});
  CHECK_THAT(trace, happened(R"(
    on_train_begin [0] batch 1
    on_train_batch_begin [0] batch 1
    train_step [0] batch 1
    on_train_step [0] batch 1
    on_train_batch_end [0] batch 1
    user task [0]
    on_train_batch_begin [1] batch 2
    train_step [1] batch 2
    on_train_step [1] batch 2
      reset_step [1] batch 2
      on_reset_step [1] batch 2
        on_test_begin [0] batch 10
        on_test_batch_begin [0] batch 10
        test_step [0] batch 10 sum 3
        on_test_step [0] batch 10
        on_test_batch_end [0] batch 10
        on_test_batch_begin [1] batch 20
        test_step [1] batch 20 sum 1003
        on_test_step [1] batch 20
        on_test_batch_end [1] batch 20
        on_test_end [2] batch 20
      on_epoch_end [1] batch 2
    on_train_batch_end [1] batch 2
    on_train_batch_begin [2] batch 3
    train_step [2] batch 3
    on_train_step [2] batch 3
    on_train_batch_end [2] batch 3
    user task [2]
    on_train_batch_begin [3] batch 4
    train_step [3] batch 4
    on_train_step [3] batch 4
      reset_step [3] batch 4
      on_reset_step [3] batch 4
        on_test_begin [0] batch 10
        on_test_batch_begin [0] batch 10
        test_step [0] batch 10 sum 10
        on_test_step [0] batch 10
        on_test_batch_end [0] batch 10
        on_test_batch_begin [1] batch 20
        test_step [1] batch 20 sum 1010
        on_test_step [1] batch 20
        on_test_batch_end [1] batch 20
        on_test_end [2] batch 20
      on_epoch_end [3] batch 4
    on_train_batch_end [3] batch 4
    on_train_end [4] batch 4
  )"));
  CHECK(rows_of(result.history) ==
        "0: losses.loss=1\n1: losses.loss=2 metrics.score_test=20\n2: losses.loss=3\n"
        "3: losses.loss=4 metrics.score_test=20\n");
  CHECK(result.state.sum == 10);  // the evaluation had a copy
}

TEST_CASE("callbacks come from the state, the list, and the objects, in this order; the state resets its "
          "evaluation") {
  struct Counting {
    Trace trace;
    std::int64_t seen = 0;
    ab::Logs train_step(const Batch& batch) {
      trace.add(fmt::format("state train {}", batch[0]));
      return ab::Logs().add_metric("seen", ++seen);
    }
    void reset_step() {
      trace.add("state reset");
      seen = 0;
    }
    void test_step(const Batch& batch, const ab::Elapsed& elapsed) {
      trace.add(fmt::format("state test {} at {}", batch[0], elapsed.samples));
    }
  };
  struct Object {
    Trace trace;
    void train_step(Counting&) { trace.add("object train"); }
    void on_epoch_end() { trace.add("object epoch"); }
  };
  Counting state;
  const Trace& trace = state.trace;
  tasks::train_loop(
      state, std::vector<Batch>{{1}, {2}},
      {{"train_step", [&] { trace.add("list train"); }},
       {"reset_step", [&] { trace.add("list reset"); }},
       {"on_test_step", [&] { trace.add("list test"); }}},
      {.callbacks = {Object{trace}}, .test_data = [] { return test_data; }, .epoch_duration = 2});
  CHECK_THAT(trace, happened(R"(
    state train 1
    list train
    object train
    state train 2
    list train
    object train
      state reset
      list reset
        state reset
        state test 10 at 0
        list test
        state test 20 at 2
        list test
      object epoch
  )"));
}

TEST_CASE(
    "epochs last steps, samples or time; without a duration none ends, without test data none is evaluated") {
  std::vector<std::int64_t> ends;
  const auto epoch_ends = [&](std::optional<ab::Period> duration) {
    ends.clear();
    tasks::train_loop(
        State{}, std::vector<Batch>(10, Batch{1, 1}),
        {{"on_epoch_end",
          [&](State&, const Batch&, const ab::Elapsed& elapsed) { ends.push_back(elapsed.steps + 1); }}},
        {.epoch_duration = duration});
    return ends;
  };
  using Steps = std::vector<std::int64_t>;
  CHECK(epoch_ends(3) == Steps{3, 6, 9});
  CHECK(epoch_ends(ab::samples(6)) == Steps{3, 6, 9});
  CHECK(epoch_ends(ab::samples(5)) == Steps{3, 5, 8, 10});
  CHECK(epoch_ends(1h) == Steps{});
  CHECK(epoch_ends(std::nullopt) == Steps{});
  CHECK(tests::error_of([&] {
          epoch_ends(ab::Date());
        }).find("every: a period that comes again must be in steps") != std::string::npos);
}

TEST_CASE("an evaluation is made anew each time, may end early, and hands its state on where it is told to") {
  int made = 0;
  std::vector<int> tested;
  const auto test_step = [&](State& state, const Batch& batch) {
    tested.push_back(batch[0]);
    state.sum += 100;
    return ab::Logs().add_metric("a", batch[0]).add_output("b", batch[0]);
  };
  const auto run = [&](tasks::InnerLoopOptions evaluation, std::optional<ab::Period> duration = {}) {
    made = 0;
    tested.clear();
    return tasks::train_loop(State{}, train_data, {{"test_step", test_step}},
                             {.test_data =
                                  [&] {
                                    ++made;
                                    return std::vector<Batch>{{made, made, made}, {10 * made}};
                                  },
                              .epoch_duration = 2,
                              .test_duration = duration,
                              .test_name = "valid",
                              .evaluation = std::move(evaluation)});
  };
  const auto last = run({});
  CHECK(made == 2);
  CHECK(tested == std::vector<int>{1, 10, 2, 20});
  CHECK(last.state.sum == 0);
  CHECK(rows_of(last.history) ==
        "1: metrics.a_valid=10 outputs.b_valid=10\n3: metrics.a_valid=20 outputs.b_valid=20\n");
  CHECK(run({.output_state = true}).state.sum == 400);
  run({}, 1);
  CHECK(tested == std::vector<int>{1, 2});
  using tasks::Aggregate;
  CHECK(rows_of(run({.aggregation = Aggregate::mean}).history) ==
        "1: metrics.a_valid=5.5 outputs.b_valid=5.5\n3: metrics.a_valid=11 outputs.b_valid=11\n");
  CHECK(rows_of(run({.aggregation = Aggregate::sample_mean}).history) ==  // 3 samples and 1
        "1: metrics.a_valid=3.25 outputs.b_valid=3.25\n3: metrics.a_valid=6.5 outputs.b_valid=6.5\n");
  CHECK(rows_of(run({.aggregation = {{"metrics", Aggregate::sum}, {"outputs", Aggregate::first}}}).history) ==
        "1: metrics.a_valid=11 outputs.b_valid=1\n3: metrics.a_valid=22 outputs.b_valid=2\n");
  CHECK(rows_of(run({.aggregation = {{"metrics", Aggregate::max}}}).history) ==
        "1: metrics.a_valid=10 outputs.b_valid=10\n3: metrics.a_valid=20 outputs.b_valid=20\n");
  const auto count = [](const std::vector<ab::Value>& values) {
    return ab::Value(std::int64_t(values.size()));
  };
  CHECK(rows_of(run({.aggregation = count}).history) ==
        "1: metrics.a_valid=2 outputs.b_valid=2\n3: metrics.a_valid=2 outputs.b_valid=2\n");
}

TEST_CASE("an inner loop as a step function: aggregated logs with its name, the state or a copy") {
  const auto increments = [](State& state) {
    return tasks::loop(state, std::vector<int>(4), {[](State& inner) {
                         ++inner.sum;
                         return ab::Logs().add_metric("y", inner.sum);
                       }});
  };
  const auto once = [&](tasks::InnerLoopOptions options, std::string name = "inner") {
    const auto result = tasks::loop(State{}, std::vector<int>(1),
                                    {tasks::inner_loop(std::move(name), increments, std::move(options))});
    return fmt::format("{} state {}", rows_of(result.history), result.state.sum);
  };
  using tasks::Aggregate;
  CHECK(once({}) == "0: metrics.y_inner=4\n state 0");
  CHECK(once({}, "") == "0: metrics.y=4\n state 0");
  CHECK(once({.output_state = true, .aggregation = Aggregate::sum}) == "0: metrics.y_inner=10\n state 4");
  CHECK(once({.aggregation = Aggregate::min}) == "0: metrics.y_inner=1\n state 0");
  CHECK(once({.aggregation = Aggregate::mean}) == "0: metrics.y_inner=2.5\n state 0");
}

TEST_CASE("a test and a predict loop; predictions are one tensor") {
  const auto recorder = std::make_shared<Recorder>();
  const auto tested = tasks::test_loop(State{}, test_data, {}, {.callbacks = {recorder}});
  CHECK_THAT(recorder->trace, happened(R"(
    on_test_begin [0] batch 10
    reset_step [0] batch 10
    on_reset_step [0] batch 10
    on_test_batch_begin [0] batch 10
    test_step [0] batch 10 sum 0
    on_test_step [0] batch 10
    on_test_batch_end [0] batch 10
    on_test_batch_begin [1] batch 20
    test_step [1] batch 20 sum 1000
    on_test_step [1] batch 20
    on_test_batch_end [1] batch 20
    on_test_end [2] batch 20
  )"));
  CHECK(tested.state.sum == 2000);

  Trace trace;
  const auto predicted = tasks::predict_loop(
      State{}, std::vector<torch::Tensor>{torch::tensor({1.0, 2.0}), torch::tensor({3.0})},
      {{"on_predict_begin", [&] { trace.add("begin"); }},
       {"predict_step",
        [](State&, const torch::Tensor& batch) { return ab::Logs().add_output("preds", batch * 10); }},
       {"on_predict_batch_end", [&] { trace.add("batch end"); }},
       {"on_predict_end", [&] { trace.add("end"); }}});
  CHECK_THAT(trace, happened("begin\nbatch end\nbatch end\nend"));
  CHECK(tasks::predictions(predicted.history).equal(torch::tensor({10.0, 20.0, 30.0})));
  CHECK(tests::error_of([&] { tasks::predictions(tested.history); }) ==
        "predictions: a predict loop logs its outputs, got no \"outputs.preds\"; return "
        "ab::Logs().add_output(\"preds\", outputs) from predict_step");
}

TEST_CASE("wrong places and objects without any are told") {
  CHECK(tests::error_of([] {
          tasks::test_loop(State{}, test_data, {{"on_predict_begin", [] {}}});
        }) == "tasks: a task of this loop has a schedule or one of the places on_test_begin, reset_step, "
              "on_reset_step, "
              "on_test_batch_begin, test_step, on_test_step, on_test_batch_end, on_test_end; got "
              "\"on_predict_begin\"");
  struct Idle {
    void on_epoch_begin() {}
  };
  CHECK(tests::error_of([] {
          tasks::train_loop(State{}, train_data, {}, {.callbacks = {Idle{}}});
        }).find("a callback has methods named as the places of a loop, such as on_epoch_end, got") !=
        std::string::npos);
}

}  // namespace loops_tests
