#include <abyme/write/history.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/write/store_aggregator.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/history_text.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/InferenceMode.h>
#include <catch2/catch.hpp>

#include <chrono>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace history_tests {

using tests::content;
using tests::error_of;
using tests::Folder;
using tests::lines_of;
using tests::text_of;

namespace {

using Lines = std::vector<std::string>;
using Numbers = std::vector<double>;

// 32 samples and half a second a step; the date is 1000 seconds after 1970 and the time.
ab::Elapsed after(std::int64_t steps) {
  const std::chrono::milliseconds time(500 * steps);
  return {steps, 32 * steps, time, ab::Date(std::chrono::seconds(1000) + time)};
}

at::Tensor scalar(double value, at::ScalarType dtype = at::kFloat) { return at::scalar_tensor(value, dtype); }

ab::Logs metric(const std::string& name, double value) { return ab::Logs().add_metric(name, value); }

// All faults of a tree, without their paths.
std::string faults_of(const ab::Ground& ground) {
  std::string text;
  for (const ab::Fault& fault : ab::faults(ground)) text += fault.message + "\n";
  return text;
}

}  // namespace

TEST_CASE("a history is a list of rows, each with what had elapsed and what was logged") {  // rows 32 and 33
  const ab::History history;
  CHECK(history.empty());
  ab::Logs logs{{"metrics", {{"loss", 0.5}}}, {"own", {{"text", "a"}, {"yes", true}}}};
  history.commit(after(0), logs);
  logs.add_metric("loss", 0.25).add_metric("late", 1);
  history.commit(after(1), logs);
  history.commit(after(2), {});
  CHECK(lines_of(history) ==
        Lines{"0 0 0 1000: metrics.loss=0.5 own.text=\"a\" own.yes=true",
              "1 32 0.5 1000.5: metrics.loss=0.25 metrics.late=1 own.text=\"a\" own.yes=true",
              "2 64 1 1001: "});
  CHECK(history.size() == 3);
  CHECK(history[1].elapsed == after(1));
  CHECK(history[1].logs.get<double>("loss") == 0.25);
  CHECK(error_of([&] { (void)history[3]; }) ==
        "History: a row is less than their number, 3, got 3; ask size() before");
}

TEST_CASE("copies share their rows") {
  const ab::History history;
  const ab::History copy = history;
  copy.commit(after(1), metric("a", 1));
  copy.log(metric("b", 2));
  CHECK(lines_of(history) == Lines{"1 32 0.5 1000.5: metrics.a=1.0"});
  CHECK(text_of(history.logs()) == "metrics.b=2.0");
}

TEST_CASE("a collection elapsed of the user's is replaced by the row's") {  // row 33
  const ab::History history;
  history.commit(after(3), {{"elapsed", {{"steps", 7}, {"own", 1}}}, {"metrics", {{"a", 1}}}});
  CHECK(lines_of(history) == Lines{"3 96 1.5 1001.5: metrics.a=1"});
  CHECK(history.collect("elapsed.steps") == Numbers{3});
  CHECK(history.collect("elapsed.own").empty());
}

TEST_CASE("columns are collected from the rows that hold all of them") {  // row 34
  const ab::History history;
  history.commit(after(0), {{"metrics", {{"loss", 4.0}}}});
  history.commit(after(1), {{"metrics", {{"loss", 3}, {"accuracy", 0.5F}}}});
  history.commit(after(2), {});
  history.commit(after(3), {{"metrics", {{"accuracy", 0.75}, {"none", ab::Value()}}}});
  history.commit(after(4),
                 {{"metrics", {{"accuracy", true}, {"loss", scalar(1)}}}, {"own", {{"loss_2", 5}}}});
  const auto [steps, loss] = history.collect("steps", "loss");
  CHECK(steps == Numbers{0, 1, 4});
  CHECK(loss == Numbers{4, 3, 1});
  CHECK(history.collect("loss", "accuracy", "time") ==
        std::tuple{Numbers{3, 1}, Numbers{0.5, 1}, Numbers{0.5, 2}});
  CHECK(history.collect("accuracy") == Numbers{0.5, 0.75, 1});
  CHECK(history.collect("own.loss_2", "metrics.loss") ==
        std::tuple{Numbers{5}, Numbers{1}});  // skips, no error
  CHECK(history.collect("other.loss").empty());
  CHECK(history.collect("other", "steps") == std::tuple{Numbers(), Numbers()});
  CHECK(history.collect("none").empty());  // nothing is not there yet
}

TEST_CASE("steps, samples, time and dates are keys, in seconds") {
  const ab::History history;
  for (const int steps : {1, 3}) history.commit(after(steps), {});
  CHECK(history.collect("steps", "samples", "time", "date", "date_start") ==
        std::tuple{Numbers{1, 3}, Numbers{32, 96}, Numbers{0.5, 1.5}, Numbers{1000.5, 1001.5},
                   Numbers{1000, 1000}});
  CHECK(history.collect("elapsed.steps", "elapsed.date") ==
        std::tuple{Numbers{1, 3}, Numbers{1000.5, 1001.5}});
  CHECK(history.collect<ab::Duration>("time") == std::vector{ab::Duration(0.5), ab::Duration(1.5)});
  CHECK(ab::to_text(*history[1].find("samples")) == "96");
}

TEST_CASE("columns are collected as the types that are wanted") {
  const ab::History history;
  history.commit(after(1), {{"own", {{"text", "a"}, {"tensor", scalar(0.1F)}, {"yes", false}}}});
  history.commit(after(2), {{"own", {{"text", "b"}, {"tensor", scalar(0.2F)}, {"yes", true}}}});
  CHECK(history.collect<std::int64_t, double>("steps", "tensor") ==
        std::tuple{std::vector<std::int64_t>{1, 2}, Numbers{double(0.1F), double(0.2F)}});
  CHECK(history.collect<std::string>("text") == Lines{"a", "b"});
  CHECK(history.collect<std::string>("tensor") == Lines{"0.1", "0.2"});
  CHECK(history.collect<bool>("yes") == std::vector{false, true});
  const std::vector<at::Tensor> tensors = history.collect<at::Tensor>("tensor");
  CHECK(tensors[1].scalar_type() == at::kFloat);
  CHECK(tensors[1].item<float>() == 0.2F);
  CHECK(error_of([&] { (void)history.collect("text"); }) ==
        "History: \"text\" must hold double in every row to be collected as one, got a text; collect it as "
        "what "
        "it is, as in collect<std::string>(\"text\")");
}

TEST_CASE("a key that several collections of a row have is an error, also steps") {
  const ab::History history;
  history.commit(after(1), {{"metrics", {{"a", 1}, {"steps", 5}}}, {"own", {{"a", 2}}}});
  CHECK(
      error_of([&] { (void)history.collect("a"); }) ==
      "Logs: a name without its collection is in one collection, got \"a\", which is in metrics and in own; "
      "write \"metrics.a\" or \"own.a\"");
  CHECK(error_of([&] { (void)history.collect("steps"); }) ==
        "History: a name without its collection is in one collection, got \"steps\", which is in elapsed and "
        "in "
        "the logs; write \"elapsed.steps\" or \"COLLECTION.steps\"");
  CHECK(history.collect("elapsed.steps", "metrics.steps") == std::tuple{Numbers{1}, Numbers{5}});
  CHECK(error_of([&] { (void)history.collect("a.b.c"); }) ==
        "Logs: a key is \"name\" or \"collection.name\", got \"a.b.c\"; leave a dot out");
}

TEST_CASE("rows hold copies of tensors, without their graph; all types and shapes come back") {
  const at::Tensor weight = at::ones({2}).requires_grad_();
  const at::Tensor sum = scalar(1), loss = weight.sum(), half = scalar(0.5, at::kHalf),
                   matrix = at::arange(6).view({2, 3});
  const ab::History history;
  for (int i = 0; i < 40; ++i) {  // more than a column has room for at first
    history.commit(
        after(i),
        {{"losses", {{"loss", loss}, {"each", weight.mul(3)}}},
         {"metrics", {{"sum", sum}, {"half", half}, {"whole", scalar(i, at::kLong)}}},
         {"outputs", {{"matrix", matrix}, {"corner", matrix[1][2]}, {"row", matrix.select(0, i % 2)}}}});
    sum.add_(1);
    matrix.add_(1);
  }
  CHECK(text_of(history[39].logs) ==
        "losses.loss=Float[]2.0 losses.each=Float[2][3.0,3.0] metrics.sum=Float[]40.0 metrics.half=Half[]0.5 "
        "metrics.whole=Long[]39 "
        "outputs.matrix=Long[2, 3][[39,40,41],[42,43,44]] outputs.corner=Long[]44 "
        "outputs.row=Long[3][42,43,44]");
  CHECK(history.collect("sum")[2] == 3);
  CHECK_FALSE(history[0].logs.get<at::Tensor>("loss").requires_grad());
  CHECK_FALSE(history[0].logs.get<at::Tensor>("each").requires_grad());
  CHECK(loss.use_count() == 1);                     // nobody else holds it
  history[0].logs.get<at::Tensor>("sum").fill_(7);  // a copy as well
  CHECK(history.collect("sum")[0] == 1);
}

TEST_CASE("rows can be filled in inference mode and out of it") {
  const ab::History history;
  for (int i = 0; i < 40; ++i) {
    const c10::InferenceMode mode(i % 2 == 0);
    history.commit(after(i), {{"metrics", {{"a", scalar(i)}}}});
  }
  CHECK(history.collect("a")[39] == 39);
}

TEST_CASE("the open row gathers logs until it is committed, the last values stay") {  // rows 38, 39 and 47
  const ab::History history;
  history.commit(after(0));  // nothing was logged: no row
  history.accumulate(metric("start", 0));
  history.log(metric("a", 1));
  history.log({{"metrics", {{"b", 2}, {"a", 3}}}, {"elapsed", {{"steps", 7}}}});
  CHECK(text_of(history.logs()) == "metrics.a=3 metrics.b=2");
  CHECK(text_of(history.accumulated()) == "metrics.start=0.0 metrics.a=3 metrics.b=2");
  history.commit(after(1));
  CHECK(history.logs().empty());
  history.log(metric("a", 4));
  history.drop_row();
  history.commit(after(2));
  history.log(metric("c", 5));
  history.commit(after(3));
  CHECK(lines_of(history) ==
        Lines{"1 32 0.5 1000.5: metrics.a=3 metrics.b=2", "3 96 1.5 1001.5: metrics.c=5.0"});
  CHECK(text_of(history.accumulated()) == "metrics.start=0.0 metrics.a=4.0 metrics.b=2 metrics.c=5.0");
}

TEST_CASE("what is logged in the open row is what it was when it was logged") {
  const ab::History history;
  const at::Tensor correct = scalar(3);
  const at::Tensor loss = at::ones({}).requires_grad_().mul(2);
  history.log(ab::Logs().add_stateful_metric("correct", correct).add_loss("loss", loss));
  correct.zero_();  // a metric that begins anew within the step
  CHECK_FALSE(history.logs().get<at::Tensor>("loss").requires_grad());
  CHECK(text_of(history.accumulated()) == "stateful_metrics.correct=Float[]3.0 losses.loss=Float[]2.0");
  history.commit(after(1));
  CHECK(history.collect("correct", "loss") == std::tuple{Numbers{3}, Numbers{2}});
}

TEST_CASE("nodes fill rows: fields of the caller or of the focus, and what callables log") {
  const ab::History history;
  ab::IterationLooper epochs(3), batches(2);
  ab::Stats stats("counter");
  ab::StoreAggregator all;
  all("dig", history.add_caller_to_row({"aggregate"}, {.collection = "all"}));
  batches("iteration_end", stats);
  epochs("iteration_start", batches)
      .at("iteration_end", history.add_caller_to_row({"average", "count"}, {.prefix = "train_"}).focus(stats),
          ab::If([](ab::IterationLooper::Node& node) { return node.counter == 2; })(
              "dig", [&] { history.log(metric("late", 1)); },
              ab::Aggregate(all, {"counter"}, {.prefix = "epoch."}).focus(epochs), all),
          history.commit_row(), history.commit_row());
  ab::Ground()("dig", epochs).dig();
  std::vector<std::string> rows;
  for (const auto& [elapsed, logs] : history)
    rows.push_back(fmt::format("{}: {}", elapsed.steps, text_of(logs)));
  CHECK(
      rows ==
      Lines{
          "1: metrics.train_average=1.5 metrics.train_count=2",
          "2: metrics.train_average=1.5 metrics.train_count=4 metrics.late=1.0 all.aggregate_epoch_counter=2",
          "3: metrics.train_average=1.5 metrics.train_count=6"});
}

TEST_CASE("without names all fields of the caller are logged but objects, options and what is nothing") {
  const ab::History history;
  ab::Stats stats("counter");
  ab::IterationLooper loop(2);
  loop("iteration_start", history.add_caller_to_row().focus(stats), history.commit_row())("iteration_end",
                                                                                          stats);
  ab::Ground()("dig", loop).dig();
  CHECK(history.size() == 2);
  CHECK(text_of(history[0].logs) == "metrics.count=0");
  CHECK(text_of(history[1].logs) == "metrics.average=1.0 metrics.std=0.0 metrics.min=1.0 metrics.max=1.0 "
                                    "metrics.last=1.0 metrics.count=1 metrics.value=1");
}

TEST_CASE("a run begins an empty history, one that keeps goes on") {
  const ab::History history;
  history.commit(after(9), metric("old", 1));
  history.accumulate(metric("old", 1));
  ab::IterationLooper loop(2);
  loop("iteration_end", history.add_caller_to_row({"counter"}), history.commit_row());
  const ab::Ground ground = ab::Ground()("dig", loop);
  ground.dig();
  CHECK(history.collect("counter") == Numbers{1, 2});
  CHECK(text_of(history.accumulated()) == "metrics.counter=2");
  ground.dig({.keep = true});
  CHECK(history.collect("counter") == Numbers{1, 2, 1, 2});
  ground.dig();
  CHECK(history.collect("counter") == Numbers{1, 2});
}

TEST_CASE("numbers of the open row are streamed, a line a dig") {  // row 81
  const Folder folder;
  const ab::History history;
  ab::IterationLooper loop(3);
  loop("iteration_end", [&](ab::IterationLooper::Node& node) {
    if (node.counter == 2) return;
    history.log({{"metrics",
                  {{"loss", 0.5},
                   {"yes", true},
                   {"text", "t"},
                   {"one", at::full({1}, 2)},
                   {"time", ab::Duration(0.003)}}},
                 {"losses", {{"loss", scalar(0.25)}, {"steps", 7}}},
                 {"outputs", {{"out", at::ones({2})}}}});
  })("iteration_end", history.stream_to(folder / "deep/log.jsonl"), history.commit_row());
  ab::Ground()("dig", loop).dig();
  std::string text = content(folder / "deep/log.jsonl");
  for (std::size_t at = 0; (at = text.find("\"time\":", at)) != text.npos; ++at)  // times differ
    text.erase(at + 7, text.find(',', at) - at - 7);
  const std::string logs =
      "\"time\":,\"loss\":0.5,\"yes\":true,\"one\":2,\"metrics.time\":0.003,\"losses.loss\":0.25,"
      "\"losses.steps\":7}\n";
  CHECK(text == "{\"steps\":1,\"samples\":0," + logs + "{\"steps\":3,\"samples\":0," + logs);
}

TEST_CASE("faults of a tree with a history are told before it runs") {
  const ab::History history;
  ab::IterationLooper loop(1);
  loop("iteration_end",
       history.add_caller_to_row({"counter", "missing"}, {.collection = "a.b", .prefix = "c."}));
  ab::Stats stats("counter");
  loop("iteration_end", stats, history.add_caller_to_row({"seen"}).focus(stats));
  ab::Ground ground;
  ground("dig", history.commit_row(), history.stream_to("log.jsonl"), history.stream_to("log.jsonl"), loop);
  CHECK(faults_of(ground) ==
        "a row is stamped by the looper above it, got none; hang it below one\n"
        "a row is stamped by the looper above it, got none; hang it below one\n"
        "a file is written by one node, got \"log.jsonl\", which dig[1]/HistoryStream writes; give each its "
        "own\n"
        "a row is stamped by the looper above it, got none; hang it below one\n"
        "fields must be a field of IterationLooper, got \"missing\"; it shows count, counter, total, "
        "fraction, steps\n"
        "collection must have no dot, which stands between a collection and a name, got \"a.b\"; write an "
        "underscore\n"
        "prefix must have no dot, which stands between a collection and a name, got \"c.\"; write an "
        "underscore\n"
        "a history holds no objects, got Stats.seen; name fields that are numbers, texts or tensors\n");
}

TEST_CASE("a history in a tree, as the page has it") {
  const Folder folder;
  const std::string log = folder / "log.jsonl";
  double rate = 0.1;
  ab::IterationLooper epochs(2), train_data(3);
  ab::Stats train_stats("counter");
  train_data("iteration_end", train_stats);
  epochs("iteration_start", train_data, [&] { rate /= 2; });

  const ab::History history;
  epochs(
      "iteration_end", history.add_caller_to_row({"average"}, {.prefix = "train_"}).focus(train_stats),
      [&] { history.log(ab::Logs().add_metric("rate", rate)); }, history.stream_to(log),
      history.commit_row());
  ab::Ground()("dig", epochs).dig();
  const auto [steps, averages] = history.collect("steps", "train_average");
  CHECK(steps == Numbers{1, 2});
  CHECK(averages == Numbers{2, 2});
  CHECK(history.collect("rate") == Numbers{0.05, 0.025});
}

}  // namespace history_tests
