#include <abyme/stats/metric.hpp>

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/error_of.hpp"
#include "support/every_boundary.hpp"
#include "support/trace.hpp"

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace metric_tests {

using tests::error_of;
using tests::happened;
using tests::Trace;

namespace {

at::Tensor cross_entropy(const at::Tensor& outputs, const at::Tensor& targets) {
  return torch::nn::functional::cross_entropy(outputs, targets);
}

// Scores of three classes, in batches of 3, 3 and 1: 0 1 2 | 2 1 0 | 1 is predicted.
ab::TensorBatches some_batches() {
  const at::Tensor predicted = torch::tensor({0, 1, 2, 2, 1, 0, 1}),
                   targets = torch::tensor({0, 1, 1, 2, 1, 1, 0});
  return ab::TensorBatches(torch::nn::functional::one_hot(predicted, 3).to(at::kFloat), targets,
                           {.batch_size = 3, .shuffle = false});
}

// A pass whose outputs are its inputs.
ab::SupervisedPass a_pass() { return ab::SupervisedPass(torch::nn::Identity(), cross_entropy); }

// A metric of one's own. Its value, and what a snapshot holds of it, are those of the mean.
struct Within : ab::metrics::Mean {  // the share of outputs that are less than 0.1 off
  void update(const at::Tensor& outputs, const at::Tensor& targets) {
    Mean::update((outputs - targets).abs().lt(0.1));
  }
};

// One that does all by itself, and writes into its tensor. It is held as it is, since its member is public.
struct Largest {
  at::Tensor largest = torch::full({1}, -INFINITY);
  void update(const at::Tensor& outputs, const at::Tensor&) {
    torch::NoGradGuard no_grad;
    largest.copy_(torch::maximum(largest, outputs.max()));
  }
  double value() const { return largest.item<double>(); }
};

// One of numbers that takes no tensors.
struct Product {
  double product = 1;
  void update(double value, double weight) { product *= value * weight; }
  double value() const { return product; }
};

// The faults of a tree in which a metric hangs below a pass.
std::string faults_of(const ab::Metric& metric) {
  ab::Ground ground;
  ground("dig", ab::DataLooper(some_batches())("iteration_end", a_pass()("end", metric)));
  std::string text;
  for (const ab::Fault& each : ab::faults(ground)) text += each.message + "\n";
  return text;
}

}  // namespace

TEST_CASE("a metric below a pass shows its value after each batch, anew where it is reset") {
  Trace trace;
  auto accuracy = ab::Metric(ab::metrics::Accuracy());
  auto f1 = ab::Metric(ab::metrics::F1({.average = ab::metrics::Average::micro}));
  auto loss = ab::Metric(ab::metrics::Mean(), {.weight = "batch_size"});
  ab::DataLooper data(some_batches());
  ab::IterationLooper epochs(2);
  data("iteration_end", a_pass()("end", accuracy("dig", trace("accuracy", "value", "count")), f1, loss));
  epochs("iteration_start", trace("before", "value", "count").focus(accuracy), data)
      .at("iteration_end", ab::Reset(accuracy));
  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
  const std::string epoch = R"(
    before none 0
    accuracy 0.6666666666666666 3
    accuracy 0.6666666666666666 6
    accuracy 0.5714285714285714 7
  )";
  CHECK_THAT(trace, happened(epoch + epoch));
  CHECK(f1.get("value").as<double>() == 4.0 / 7);
  CHECK(f1->count == 14);
  const auto all = some_batches();
  at::Tensor sum = torch::zeros({});
  for (const ab::Batch& batch : some_batches())
    sum += cross_entropy(batch.inputs, batch.targets) * batch.targets.numel();
  CHECK(loss.get("value").as<double>() == Approx(sum.item<double>() / 7));
  CHECK(loss->count == 6);  // numbers

  ground.dig({.keep = true});
  CHECK(f1->count == 28);
  ground.dig();  // sets back
  CHECK(f1->count == 14);
}

TEST_CASE("a metric that has a matrix shows it, others don't") {
  auto confusion = ab::Metric(ab::metrics::ConfusionMatrix());
  auto recall = ab::Metric(ab::metrics::Recall({.average = ab::metrics::Average::macro}));
  auto accuracy = ab::Metric(ab::metrics::Accuracy());
  CHECK(ab::to_text(confusion.get("matrix")()) == "none");
  ab::Ground ground;
  ground("dig",
         ab::DataLooper(some_batches())("iteration_end", a_pass()("end", confusion, recall, accuracy)));
  ground.dig();
  const at::Tensor expected = torch::tensor({{1, 1, 0}, {1, 2, 1}, {0, 0, 1}});
  CHECK(confusion.get("matrix").as<at::Tensor>().equal(expected));
  CHECK(recall.get("matrix").as<at::Tensor>().equal(expected));
  CHECK(recall->seen.as<ab::metrics::Recall>().by_class().equal(torch::tensor({0.5, 0.5, 1.0}, at::kDouble)));
  CHECK(error_of([&] { accuracy.get("matrix")(); }).find("matrix") != std::string::npos);
  CHECK(error_of([&] { recall->seen.as<ab::metrics::F1>(); }) ==
        "a metric must be read as what it is, got F1 for a Recall(average = \"macro\"); name that type");
}

TEST_CASE("a metric reads what its options say; weights are of samples, or one of all") {
  const auto value = [](ab::metrics::Accuracy metric, ab::MetricOptions options) {
    auto made = ab::Metric(std::move(metric), std::move(options));
    ab::Ground ground;
    ground("dig", ab::DataLooper(some_batches())("iteration_end", a_pass()("end", made)));
    ground.dig();
    return made.get("value").as<double>();
  };
  const auto targets = [](ab::SupervisedPass::Node& pass) { return pass.targets(); };
  CHECK(value(ab::metrics::Accuracy(), {.outputs = "inputs", .targets = targets}) == 4.0 / 7);
  CHECK(value(ab::metrics::Accuracy(), {.outputs = targets}) == 1);
  // Samples of class 1 don't count: 0 2 0 remain, of which the last is wrong.
  CHECK(value(ab::metrics::Accuracy(), {.weight = [](ab::SupervisedPass::Node& pass) {
                return pass.targets().ne(1);
              }}) == Approx(2.0 / 3));
  // 2 of 3, 2 of 3, 0 of 1, each batch as one.
  CHECK(value(ab::metrics::Accuracy(), {.weight = [](ab::SupervisedPass::Node& pass) {
                return 1.0 / double(pass.targets().numel());
              }}) == Approx(4.0 / 9));
}

TEST_CASE("a metric of one's own hangs like those of abyme, whatever its copies share") {
  auto within = ab::Metric(Within());
  auto largest = ab::Metric(Largest());
  auto product = ab::Metric(Product(), {.number = "counter", .weight = 2});
  ab::DataLooper data(some_batches());
  const auto scores = [](ab::SupervisedPass::Node& pass) {
    return pass.outputs().argmax(1).to(at::kFloat) + 0.05;
  };
  within->options.outputs = scores;
  largest->options.outputs = scores;
  Trace trace;
  data("iteration_end", a_pass()("end", within, largest, product.focus(data)));
  ab::Ground ground;
  ground("dig", data, trace("", "value", "count").focus(within), trace("", "value", "count").focus(largest),
         trace("", "value", "count").focus(product));
  ground.dig();
  ground.dig();  // anew
  CHECK_THAT(trace, happened("0.5714285714285714 7 \n 2.049999952316284 7 \n 48 3\n"
                             "0.5714285714285714 7 \n 2.049999952316284 7 \n 48 3"));
  CHECK(ab::to_text(ab::Metric(Largest()).get("value")()) == "-inf");
}

TEST_CASE("metrics of any type are merged with their like, if they can be") {
  using ab::metrics::AnyMetric;
  const auto seen = [](auto metric, double outputs) {
    AnyMetric made(metric);
    made.update(torch::full({2}, outputs), torch::zeros({2}));
    return made;
  };
  AnyMetric error = seen(ab::metrics::MeanSquaredError(), 1), other = seen(Within(), 1);
  CHECK(*error.value() == 1);
  error.merge(seen(ab::metrics::MeanSquaredError(), 3));
  CHECK(*error.value() == 5);
  CHECK(error_of([&] { error.merge(other); }) ==
        "metrics of one type can be merged, got MeanSquaredError and Within; merge it with its like");
  CHECK(error_of([&] { AnyMetric(Largest()).merge(AnyMetric(Largest())); }) ==
        "a metric is merged by merge(const Largest&), got Largest without; give it one");
}

TEST_CASE("a metric of any type is updated with what it takes") {
  ab::metrics::AnyMetric mean{ab::metrics::Mean()}, error{ab::metrics::MeanSquaredError()};
  mean.update(1.0);
  mean.update(torch::tensor(4.0), 2);
  CHECK(*mean.value() == 3);
  CHECK(error_of([&] { mean.update(torch::ones({2}), torch::ones({2})); }) ==
        "Mean: it must be updated with a number and its weight, got outputs and targets; pass a number "
        "and its weight");
  CHECK(error_of([&] { error.update(1.0); }) == "MeanSquaredError: it must be updated with outputs and "
                                                "targets, got a number; pass outputs and targets");
}

TEST_CASE("a value is computed once after an update, and stays until the next") {
  struct Counting {
    std::shared_ptr<int> computed = std::make_shared<int>(0);
    void update(double, double) {}
    double value() const { return ++*computed; }
    void save(ab::Kept&) const {}
    void load(const ab::Kept&) {}
  };
  const Counting counting;
  auto metric = ab::Metric(counting, {.number = 1});
  Trace trace;
  ab::Ground ground;
  ground("dig", ab::IterationLooper(2)("iteration_end",
                                       metric("dig", trace("", "value", "value"), trace("", "value"))));
  ground.dig();
  CHECK_THAT(trace, happened("1 1 \n 1 \n 2 2 \n 2"));
}

TEST_CASE("a metric is described with its options; what it can't take is a fault") {
  using namespace ab::metrics;
  ab::Ground ground;
  ground("dig", ab::IterationLooper(1)("end", ab::Metric(Accuracy({.top_k = 5}), {.weight = 0.5}),
                                       ab::Metric(Mean(), {.number = "counter"})));
  const std::string tree = ab::describe(ground);
  CHECK(tree.find("Metric(metric = \"Accuracy(top_k = 5)\", outputs = caller.outputs, targets = "
                  "caller.targets, weight = 0.5)\n") != std::string::npos);
  CHECK(tree.find("Metric(metric = \"Mean\", number = caller.counter)\n") != std::string::npos);
  CHECK(ab::faults(ground).size() == 2);  // there are no outputs and targets

  CHECK(faults_of(ab::Metric(Accuracy())) == "");
  CHECK(faults_of(ab::Metric(Perplexity(), {.number = "loss"})) == "");
  CHECK(faults_of(ab::Metric(Accuracy(), {.number = "loss"})) ==
        "number must be for a metric that takes one, got Accuracy, which takes outputs and targets; leave it "
        "out\n");
  CHECK(faults_of(ab::Metric(Mean(), {.outputs = "outputs"})) ==
        "outputs and targets must be for a metric that takes them, got Mean, which takes a number; pass "
        ".number\n");
  CHECK(faults_of(ab::Metric(Perplexity(), {.outputs = "outputs", .number = "loss"})) ==
        "a metric must take a number, or outputs and targets, got both; leave .number out, or these\n");
  CHECK(faults_of(ab::Metric(Within(), {.weight = 2})) ==
        "weight must be for a metric that takes one, got Within, which has no update(outputs, targets, "
        "weights); leave it out\n");
}

TEST_CASE("what a metric can't use is an error with the path of its node") {
  ab::Ground ground;
  ground("dig", ab::DataLooper(some_batches())(
                    "iteration_end", a_pass().named("test_pass")("end", ab::Metric(ab::metrics::F1()))));
  CHECK(error_of([&] { ground.dig(); }) ==
        "DataLooper/iteration_end[0]/test_pass/end[0]/Metric: F1: the average binary is for two classes, got "
        "3; choose Average::macro or another one");
}

namespace {

// Metrics of every kind of memory, below a pass that trains and in a loop, read between the batches.
struct Metrics : tests::Resumable {
  Metrics(bool takes, std::uint64_t seed) : Resumable(takes, seed) {
    torch::nn::Linear net(2, 3);
    torch::optim::SGD optimizer(net->parameters(), 0.1);
    const auto generator = at::detail::createCPUGenerator(4);
    const at::Tensor inputs = torch::randn({7, 2}, generator);
    ab::DataLooper data(ab::TensorBatches(inputs, inputs.argmax(1), {.batch_size = 3, .seed = 1}));
    ab::SupervisedPass pass(net, std::move(optimizer), cross_entropy);
    using namespace ab::metrics;
    const auto scores = [](ab::SupervisedPass::Node& node) { return node.outputs().select(1, 0); };
    auto matrix = ab::Metric(ConfusionMatrix()), own = ab::Metric(Largest()), loss = ab::Metric(Mean());
    auto f1 = ab::Metric(F1({.average = Average::macro}), {.weight = 0.5});
    auto area = ab::Metric(RocAuc(), {.outputs = scores, .weight = [](ab::SupervisedPass::Node& node) {
                                        return node.outputs().select(1, 1).exp();
                                      }});
    auto r2 = ab::Metric(R2(), {.outputs = scores});
    ab::TextFile log("files/log.txt");
    data("iteration_end", pass("end", matrix("dig", here()), f1, area, r2, own, loss), here(),
         ab::Print(log, "{} {} {} {} {} {}", matrix.get("value"), f1.get("value"), area.get("value"),
                   r2.get("value"), own.get("value"), loss.get("value")),
         here());
    ab::IterationLooper epochs(3);
    epochs("iteration_start", here(), data, here()).at("iteration_end", ab::Reset(area, r2, own), here());
    ground("dig", epochs);
    kept = {matrix.shared(), f1.shared(), area.shared(), r2.shared(), own.shared(), loss.shared()};
    look_at_the_end();
  }
  std::vector<std::shared_ptr<ab::Node>> kept;
};

}  // namespace

TEST_CASE("a run goes on in a tree with metrics", "[snapshot]") { tests::check_every_boundary<Metrics>(30); }

}  // namespace metric_tests
