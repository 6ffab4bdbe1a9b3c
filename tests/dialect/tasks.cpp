#include <abyme/core/describe.hpp>
#include <abyme/dialect/tasks.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/write/print.hpp>

#include "support/error_of.hpp"
#include "support/trace.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace tasks_tests {

namespace tasks = abyme::tasks;
using tests::happened;
using tests::Trace;

namespace {

struct State {
  std::int64_t sum = 0;
};
using Loop = tasks::LoopState<State, int>;
const std::vector<int> numbers{1, 2, 3, 4, 5};

ab::Logs add(State& state, int batch) {
  state.sum += batch;
  return ab::Logs().add_metric("sum", state.sum);
}

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

TEST_CASE("a loop is a state, data, and tasks with their schedules") {
  const auto [state, history, elapsed] =
      tasks::loop(State{}, numbers, {{ab::every(1), add}, {ab::every(2), [](State& now) {
                                                             return ab::Logs().add_output("even", now.sum);
                                                           }}});
  CHECK(state.sum == 15);
  CHECK(elapsed.steps == 5);
  CHECK(elapsed.samples == 5);
  CHECK(rows_of(history) == "0: metrics.sum=1 outputs.even=1\n1: metrics.sum=3\n2: metrics.sum=6 "
                            "outputs.even=6\n3: metrics.sum=10\n"
                            "4: metrics.sum=15 outputs.even=15\n");
  const auto [steps, sums] = history.collect<std::int64_t, std::int64_t>("steps", "sum");
  CHECK(steps == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  CHECK(sums == std::vector<std::int64_t>{1, 3, 6, 10, 15});
}

TEST_CASE("every 1 and every 2 over 10 batches run 10 and 5 times, and stop ends endless data") {
  int ones = 0, twos = 0;
  tasks::loop(State{}, std::vector<int>(10),
              {{ab::every(1), [&] { ++ones; }}, {ab::every(2), [&] { ++twos; }}});
  CHECK(ones == 10);
  CHECK(twos == 5);

  struct Endless {
    struct Iterator {
      int at = 0;
      int operator*() const { return at + 1; }
      Iterator& operator++() {
        ++at;
        return *this;
      }
      bool operator!=(const Iterator&) const { return true; }
    };
    Iterator begin() const { return {}; }
    Iterator end() const { return {}; }
  };
  std::vector<int> seen;
  const auto result =
      tasks::loop(State{}, Endless{}, {[&](State&, int batch) { seen.push_back(batch); }}, {.stop = 3});
  CHECK(seen == std::vector<int>{1, 2, 3});
  CHECK(result.elapsed.steps == 3);
  CHECK(tasks::loop(State{}, Endless{}, {add}, {.stop = ab::samples(2)}).elapsed.samples == 2);
  CHECK(tasks::loop(State{}, Endless{}, {add}, {.stop = 0}).elapsed.steps == 1);
}

TEST_CASE("a step function takes 0 to 4 arguments, and returns logs, the state, both, or nothing") {
  std::string seen;
  std::vector<tasks::Task<State, int>> list;
  const auto note = [&](const char* name) { seen += std::string(name) + " "; };
  list.emplace_back([&] { note("0"); });
  list.emplace_back([&](State& state) {
    note("1");
    return State{state.sum + 1};
  });
  list.emplace_back([&](const State&, const int& batch) {
    note("2");
    return ab::Logs().add_metric("batch", batch);
  });
  list.emplace_back([&](State& state, int, const ab::Elapsed& elapsed) {
    note("3");
    return std::pair{ab::Logs().add_metric("steps", elapsed.steps), State{state.sum + 10}};
  });
  list.emplace_back([&](State& state, int, const ab::Elapsed&, Loop& loop) {
    note("4");
    CHECK(loop.history.logs().get<std::int64_t>("steps") == loop.elapsed.steps);  // of those before it
    return std::tuple{std::optional<ab::Logs>(), std::optional(State{state.sum + 100})};
  });
  list.emplace_back([&](State&, int) -> std::optional<State> {
    note("none");
    return std::nullopt;
  });
  list.emplace_back([&](auto&&... arguments) {  // which takes any number gets none
    seen += fmt::format("any {}\n", sizeof...(arguments));
  });
  const auto result = tasks::loop(State{}, std::vector<int>{7, 8}, list);
  CHECK(seen == "0 1 2 3 4 none any 0\n0 1 2 3 4 none any 0\n");
  CHECK(result.state.sum == 222);
  CHECK(rows_of(result.history) ==
        "0: metrics.batch=7 metrics.steps=0\n1: metrics.batch=8 metrics.steps=1\n");
}

TEST_CASE("steps without logs leave no row") {
  const auto result = tasks::loop(State{}, numbers, {{ab::on_steps({1, 3}), add}});
  CHECK(rows_of(result.history) == "1: metrics.sum=2\n3: metrics.sum=6\n");
}

TEST_CASE(
    "on_start runs with the first batch, on_end behind all; their logs are in no row, their state counts") {
  Trace trace;
  const auto say = [&](std::string text) {
    return [&trace, text](State& state, int batch, const ab::Elapsed& elapsed) {
      trace.add(fmt::format("{} {} {}", text, batch, elapsed.steps));
      ++state.sum;
      return ab::Logs().add_metric(text, 1);
    };
  };
  const auto result = tasks::loop(
      State{}, std::vector<int>{7, 8}, {[&](State&, int batch, const ab::Elapsed&, Loop& loop) {
        trace.add(fmt::format("step {} {}", batch, loop.history.accumulated().find("start") != nullptr));
        return ab::Logs().add_metric("step", batch);
      }},
      {.on_start = {say("start"), say("start too")}, .on_end = say("end")});
  CHECK_THAT(trace, happened(R"(
    start 7 0
    start too 7 0
    step 7 true
    step 8 true
    end 8 2
  )"));
  CHECK(rows_of(result.history) == "0: metrics.step=7\n1: metrics.step=8\n");
  CHECK(result.state.sum == 3);
}

TEST_CASE(
    "what on_start and on_end log is in no row either where they or others stop the loop, or it goes on") {
  const auto log = [](std::string name) { return [name] { return ab::Logs().add_metric(name, 1); }; };
  const auto stop = [](State&, int, const ab::Elapsed&, Loop& loop) { loop.stop_iteration = true; };
  const auto started = tasks::loop(State{}, numbers, {add}, {.on_start = {log("start"), stop}});
  CHECK(rows_of(started.history).empty());
  CHECK(to_text(started.history.accumulated().at("start")) == "1");
  const auto first =
      tasks::loop(State{}, numbers, {add, {ab::on_steps({1}), stop}}, {.on_end = {log("end"), stop}});
  const auto second =
      tasks::loop(State{}, std::vector<int>{7}, {add}, {.history = first.history, .elapsed = first.elapsed});
  CHECK(rows_of(second.history) == "0: metrics.sum=1\n1: metrics.sum=3\n2: metrics.sum=7\n");
}

TEST_CASE("over empty data only on_end runs, and there is no batch") {
  Trace trace;
  const auto result =
      tasks::loop(State{}, std::vector<int>(), {[&] { trace.add("step"); }},
                  {.on_start = [&] { trace.add("start"); }, .on_end = [&] { trace.add("end"); }});
  CHECK_THAT(trace, happened("end"));
  CHECK(result.elapsed.steps == 0);
  CHECK(result.history.empty());
  CHECK(tests::error_of([&] {
          tasks::loop(State{}, std::vector<int>(), {[] {}}, {.on_end = [](State&, int) {}});
        }).find("a loop over empty data has no batch, and on_end asks for one; take the state alone") !=
        std::string::npos);
}

TEST_CASE("a callback stops the loop: the rest of the step is left out, its row is written, on_end runs") {
  Trace trace;
  const auto result =
      tasks::loop(State{}, numbers,
                  {{ab::every(1),
                    {add,
                     [&](State&, int batch, const ab::Elapsed&, Loop& loop) {
                       trace.add(fmt::format("asked {}", batch));
                       loop.stop_iteration = batch == 2;
                     },
                     [&] { trace.add("behind it"); }}},
                   {ab::every(1), [&] { trace.add("later task"); }}},
                  {.on_end = [&](State& state) { trace.add(fmt::format("end {}", state.sum)); }});
  CHECK_THAT(trace, happened(R"(
    asked 1
    behind it
    later task
    asked 2
    end 3
  )"));
  CHECK(rows_of(result.history) == "0: metrics.sum=1\n1: metrics.sum=3\n");
  CHECK(result.elapsed.steps == 2);  // the broken step is counted, so that a second loop numbers on
}

TEST_CASE("a second loop goes on: history, numbers, and the given state") {
  State state;
  const auto first = tasks::loop(state, numbers, {add}, {.stop = 3});
  CHECK(&first.state == &state);  // an lvalue is borrowed
  const auto second =
      tasks::loop(state, numbers, {add}, {.history = first.history, .elapsed = first.elapsed});
  CHECK(state.sum == 21);
  CHECK(rows_of(second.history) == "0: metrics.sum=1\n1: metrics.sum=3\n2: metrics.sum=6\n3: "
                                   "metrics.sum=7\n4: metrics.sum=9\n5: metrics.sum=12\n"
                                   "6: metrics.sum=16\n7: metrics.sum=21\n");
  CHECK(second.elapsed.steps == 8);
  // The stop is asked with all that has elapsed.
  const auto third = tasks::loop(state, numbers, {add}, {.stop = 10, .elapsed = second.elapsed});
  CHECK(third.elapsed.steps == 10);
}

TEST_CASE("the time of what has elapsed goes on too") {
  using namespace std::chrono_literals;
  std::vector<ab::Duration> times;
  const auto note = [&](State&, int, const ab::Elapsed& elapsed) { times.push_back(elapsed.time); };
  const auto first = tasks::loop(State{}, numbers, {note});
  const auto second = tasks::loop(State{}, numbers, {note}, {.stop = 1, .elapsed = first.elapsed});
  times.push_back(second.elapsed.time);
  CHECK(times.front() >= 0s);
  CHECK(first.elapsed.time >= times[4]);
  CHECK(times[5] >= first.elapsed.time);
  CHECK(times.size() == 7);
  CHECK(std::is_sorted(times.begin(), times.end()));
  CHECK(tasks::loop(State{}, std::vector<int>(), {note}, {.elapsed = ab::Elapsed{.time = 1h}}).elapsed.time >=
        1h);
}

TEST_CASE(
    "a callback may replace the batch for those behind it, in its step only; samples count the original") {
  std::vector<std::size_t> sizes;
  const std::vector<std::vector<int>> data{{1, 2}, {3, 4}};
  using Longer = tasks::LoopState<State, std::vector<int>>;
  const auto result =
      tasks::loop(State{}, data,
                  {[&](State&, const std::vector<int>& batch) { sizes.push_back(batch.size()); },
                   {ab::on_steps({0}),
                    [](State&, const std::vector<int>&, const ab::Elapsed&, Longer& loop) {
                      loop.replace_batch({1, 2, 3, 4, 5});
                    }},
                   [&](State&, const std::vector<int>& batch) { sizes.push_back(batch.size()); }});
  CHECK(sizes == std::vector<std::size_t>{2, 5, 2, 2});
  CHECK(result.elapsed.samples == 4);
}

TEST_CASE("metadata is carried, and a batch may be counted in one's own way") {
  std::string seen;
  const auto result =
      tasks::loop(State{}, numbers, {[&](State&, int, const ab::Elapsed& elapsed, Loop& loop) {
                    seen += fmt::format("{}{} ", std::any_cast<std::string>(loop.metadata), elapsed.samples);
                  }},
                  {.metadata = std::string("m"), .batch_size = [](int batch) { return 10 * batch; }});
  CHECK(seen == "m0 m10 m30 m60 m100 ");
  CHECK(result.elapsed.samples == 150);
}

TEST_CASE("any node is a task, and a whole loop is one too") {
  Trace trace;
  ab::IterationLooper twice(2);
  twice("iteration_end", trace("inner", "counter"));
  State inner_state;
  tasks::loop(State{}, std::vector<int>{1, 2},
              {{ab::every(1), {trace("node", "counter"), twice}},
               {ab::on_steps({1}), tasks::tree(inner_state, numbers, {add, trace("nested", "counter")},
                                               {.stop = 2, .name = "nested"})}});
  CHECK_THAT(trace, happened(R"(
    node 0
    inner 1
    inner 2
    node 1
    inner 1
    inner 2
    nested 0
    nested 1
  )"));
  CHECK(inner_state.sum == 3);
}

TEST_CASE("a loop may be called in a callback of another") {
  const auto result = tasks::loop(State{}, std::vector<int>{1, 2, 3}, {[](State& state) {
                                    return tasks::loop(State{state.sum}, numbers, {add}, {.stop = 2}).state;
                                  }});
  CHECK(result.state.sum == 9);
}

TEST_CASE("the tree of a loop is one like any other") {
  State state;
  const ab::Ground ground = tasks::tree(state, numbers, {{ab::every(2), add}}, {.stop = 4, .on_end = [] {}});
  CHECK(ab::describe(ground) == R"(Ground
  dig
    Call
    DataLooper
      iteration_start
        Call
        On(when = "every 2 steps")
          dig
            Call
        HistoryCommitRow
        Call
      iteration_end
        On(when = "after 4 steps")
          dig
            Break(target = "DataLooper", reason = "stop reached")
    Call
    Call
  final
    Call
)");
  ground.dig();
  ground.dig();  // a new run: the history begins anew, the state is the user's
  CHECK(state.sum == 8);
}

TEST_CASE("a schedule given to two loops remembers in each of its own") {
  const ab::Schedule every = ab::every(1) && ab::every(ab::samples(2));
  for (int time = 0; time < 2; ++time) {
    std::vector<std::int64_t> steps;
    tasks::loop(State{}, numbers,
                {{every, [&](State&, int, const ab::Elapsed& elapsed) { steps.push_back(elapsed.steps); }}});
    CHECK(steps == std::vector<std::int64_t>{2, 4});
  }
}

TEST_CASE("an error of a callback is told with its place; a place of a ready-made loop is none here") {
  const std::string told = tests::error_of([] {
    tasks::loop(State{}, numbers, {{ab::every(1), [](State&) { throw std::runtime_error("mine"); }}});
  });
  CHECK(told == "DataLooper/iteration_start[1]/On/dig[0]/Call: mine");
  CHECK(tests::error_of([] {
          tasks::loop(State{}, numbers, {{"on_epoch_end", [] {}}});
        }) == "tasks: a task of a loop has a schedule, got the place \"on_epoch_end\"; only ready-made loops "
              "have places: "
              "train_loop, test_loop, predict_loop");
}

}  // namespace tasks_tests
