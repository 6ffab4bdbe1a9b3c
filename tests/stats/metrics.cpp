#include <abyme/core/record.hpp>
#include <abyme/stats/metrics/accuracy.hpp>
#include <abyme/stats/metrics/mean_error.hpp>
#include <abyme/stats/metrics/metric.hpp>
#include <abyme/stats/metrics/perplexity.hpp>
#include <abyme/stats/metrics/precision.hpp>
#include <abyme/stats/metrics/r2.hpp>
#include <abyme/stats/metrics/roc_auc.hpp>

#include <torch/torch.h>

#include <catch2/catch.hpp>  // behind LibTorch, which has a CHECK of its own

#include "support/error_of.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace metrics_tests {

using ab::metrics::Average;
using tests::error_of;
using Lines = std::vector<std::string>;

namespace {

// A line of metrics.json, which scikit-learn wrote: see metrics.py.
struct Case {
  std::string name;
  at::Tensor outputs, targets, weights;
  ab::Record expected;

  std::int64_t size() const { return outputs.size(0); }
};

at::Tensor tensor_of(const ab::Record& list) {
  std::vector<double> numbers;
  for (const ab::Record& each : list.as<ab::Record::List>()) numbers.push_back(each.number());
  return torch::tensor(numbers, at::kDouble);
}

// The cases that have a value of that name.
std::vector<Case> cases_with(const std::string& name) {
  std::ifstream file(std::filesystem::path(__FILE__).replace_filename("metrics.json"));
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    const ab::Record record = ab::Record::parse(line);
    if (!record.at("expected").find(name)) continue;
    std::vector<std::int64_t> shape;
    for (const ab::Record& each : record.at("shape").as<ab::Record::List>())
      shape.push_back(each.as<std::int64_t>());
    Case made{record.at("name").as<std::string>(), tensor_of(record.at("outputs")).reshape(shape),
              tensor_of(record.at("targets")), at::Tensor(), record.at("expected")};
    made.targets = made.targets.numel() == made.outputs.numel() ? made.targets.reshape(shape)
                                                                : made.targets.to(at::kLong);
    if (record.find("weights")) made.weights = tensor_of(record.at("weights"));
    cases.push_back(std::move(made));
  }
  return cases;
}

template <class Metric>
void update(Metric& metric, const Case& given, std::int64_t first, std::int64_t last) {
  const at::Tensor outputs = given.outputs.slice(0, first, last),
                   targets = given.targets.slice(0, first, last);
  if (given.weights.defined()) metric.update(outputs, targets, given.weights.slice(0, first, last));
  else metric.update(outputs, targets);
}

template <class Metric>
void update_in_batches(Metric& metric, const Case& given, std::int64_t first, std::int64_t last) {
  for (std::int64_t size = 0; first < last; first += size, ++size) {  // the first one is empty
    update(metric, given, first, std::min(first + size, last));
  }
}

// The metric in every way in which it can have seen all of the case.
template <class Metric>
std::vector<std::pair<std::string, Metric>> all_ways(const Case& given, const Metric& empty) {
  Metric whole = empty, batches = empty, half = empty, other_half = empty, reset = empty, loaded = empty;
  update(whole, given, 0, given.size());
  update_in_batches(batches, given, 0, given.size());
  update_in_batches(half, given, 0, given.size() / 2);
  update_in_batches(other_half, given, given.size() / 2, given.size());
  Metric merged = half, merged_into_empty = empty, copied = half;
  merged.merge(other_half);
  merged_into_empty.merge(whole);
  merged_into_empty.merge(empty);
  update(half, given, 0, given.size());  // of which the copy has nothing
  update_in_batches(copied, given, given.size() / 2, given.size());
  update(reset, given, 0, given.size());
  reset.reset();
  update_in_batches(reset, given, 0, given.size());
  Metric first_half = empty;
  update(first_half, given, 0, given.size() / 2);
  ab::Kept kept;
  ab::keep(kept, "metric", first_half);
  update(loaded, given, 0, given.size());  // what it has seen is replaced
  ab::put_back(kept, "metric", loaded);
  update(first_half, given, 0, given.size());  // of which what was kept has nothing
  update_in_batches(loaded, given, given.size() / 2, given.size());
  return {{"whole", whole},   {"in batches", batches},
          {"merged", merged}, {"merged into an empty one", merged_into_empty},
          {"copied", copied}, {"reset", reset},
          {"loaded", loaded}};
}

std::string text(std::optional<double> value) { return value ? fmt::format("{}", *value) : "nothing"; }

bool is_close(std::optional<double> a, std::optional<double> b, double tolerance) {
  if (!a || !b) return !a && !b;
  return std::abs(*a - *b) <= tolerance * std::max(1.0, std::abs(*b));
}

std::optional<double> value_of(const ab::Record& record) {
  return record.is_nothing() ? std::nullopt : std::optional(record.number());
}

// A line for each way and case in which the value is not scikit-learn's.
template <class Make>
Lines differences(const std::string& name, Make make, double tolerance = 1e-14) {
  Lines lines;
  const std::vector<Case> cases = cases_with(name);
  if (cases.empty()) lines.push_back("no case has " + name);
  for (const Case& given : cases) {
    const std::optional<double> wanted = value_of(given.expected.at(name));
    for (const auto& [way, metric] : all_ways(given, make(given))) {
      if (!is_close(metric.value(), wanted, tolerance))
        lines.push_back(fmt::format("{}, {}: {} is {}, got {}", given.name, way, name, text(wanted),
                                    text(metric.value())));
    }
  }
  return lines;
}

// The same for a list.
template <class Make, class Read>
Lines list_differences(const std::string& name, Make make, Read read) {
  Lines lines;
  for (const Case& given : cases_with(name)) {
    const at::Tensor wanted = tensor_of(given.expected.at(name));
    for (const auto& [way, metric] : all_ways(given, make(given))) {
      const at::Tensor got = read(metric).reshape({-1}).to(at::kDouble);
      if (!got.allclose(wanted, 1e-14, 1e-14))
        lines.push_back(fmt::format("{}, {}: {}", given.name, way, name));
    }
  }
  return lines;
}

double threshold_of(const Case& given) {
  const ab::Record* threshold = given.expected.find("threshold");
  return threshold ? threshold->number() : 0;
}

const Lines none;

}  // namespace

TEST_CASE("accuracy is scikit-learn's, in one batch, in uneven ones, merged, copied, reset and loaded") {
  CHECK(differences("accuracy", [](const Case& given) {
          return ab::metrics::Accuracy({.threshold = threshold_of(given)});
        }) == none);
  CHECK(differences("top_2", [](const Case&) { return ab::metrics::Accuracy({.top_k = 2}); }) ==
        none);  // two classes too, where all are among the first two
  CHECK(differences("top_3", [](const Case& given) {
          return ab::metrics::Accuracy({.top_k = std::min<std::int64_t>(3, given.outputs.size(1))});
        }) == none);
}

TEST_CASE("a confusion matrix is scikit-learn's, and its diagonal the accuracy") {
  const auto make = [](const Case& given) {
    return ab::metrics::ConfusionMatrix({.threshold = threshold_of(given)});
  };
  CHECK(list_differences("confusion", make, [](const auto& metric) { return metric.matrix(); }) == none);
  CHECK(differences("accuracy", make) == none);
}

TEMPLATE_TEST_CASE("precision, recall and F1 are scikit-learn's for every average and class", "",
                   ab::metrics::Precision, ab::metrics::Recall, ab::metrics::F1) {
  const std::string name = std::is_same_v<TestType, ab::metrics::Precision> ? "precision"
                           : std::is_same_v<TestType, ab::metrics::Recall>  ? "recall"
                                                                            : "f1";
  for (const Average average : {Average::binary, Average::macro, Average::micro, Average::weighted}) {
    CHECK(differences(fmt::format("{}_{}", name, toString(average)), [&](const Case& given) {
            return TestType({.average = average, .threshold = threshold_of(given)});
          }) == none);
  }
  CHECK(list_differences(
            name + "_by_class",
            [](const Case& given) {
              return TestType({.average = Average::macro, .threshold = threshold_of(given)});
            },
            [](const auto& metric) { return metric.by_class(); }) == none);
}

TEST_CASE("the area under the ROC curve is scikit-learn's: ties, weights, each class against the rest") {
  CHECK(differences("roc_auc", [](const Case&) { return ab::metrics::RocAuc(); }) == none);
  for (const Average average : {Average::macro, Average::weighted}) {
    CHECK(differences(fmt::format("roc_auc_{}", toString(average)),
                      [&](const Case&) { return ab::metrics::RocAuc({.average = average}); }) == none);
  }
}

TEST_CASE("mean errors and R2 are scikit-learn's") {
  CHECK(differences("squared", [](const Case&) { return ab::metrics::MeanSquaredError(); }) == none);
  CHECK(differences("absolute", [](const Case&) { return ab::metrics::MeanAbsoluteError(); }) == none);

  CHECK(differences("r2", [](const Case&) { return ab::metrics::R2(); }) == none);
}

TEST_CASE("perplexity is the exponential of scikit-learn's log loss") {
  CHECK(differences(
            "perplexity", [](const Case&) { return ab::metrics::Perplexity(); }, 1e-13) == none);
}

TEST_CASE("a mean of numbers and tensors, with and without weights") {
  ab::metrics::Mean mean;
  CHECK_FALSE(mean.value());
  mean.update(2.5);
  mean.update(torch::tensor(4.0F), 3);
  mean.update(torch::tensor({1, 2, 3}));                                           // 1 each
  mean.update(torch::tensor({5.0, 7.0}), 0.5);                                     // 0.5 each
  mean.update_each(torch::tensor({10.0F, 20.0F}), torch::tensor({0.25F, 0.75F}));  // sums 17.5, 1
  CHECK(*mean.value() == Approx((2.5 + 12 + 6 + 6 + 17.5) / (1 + 3 + 3 + 1 + 1)).epsilon(1e-15));
  ab::metrics::Mean other;
  other.merge(mean);
  other.merge(mean);
  CHECK(*other.value() == *mean.value());
  mean.update(std::nan(""), 0);  // counts for nothing
  CHECK(*mean.value() == *other.value());
  mean.reset();
  CHECK_FALSE(mean.value());
}

TEST_CASE("a value is of float64 sums: a million numbers of float32 lose nothing") {
  ab::metrics::Mean mean;
  ab::metrics::MeanSquaredError squared;
  const at::Tensor tenth = torch::full({10'000}, 0.1F);
  for (int i = 0; i < 100; ++i) {
    mean.update(tenth);
    squared.update(tenth, torch::zeros({10'000}));
  }
  CHECK(*mean.value() == Approx(double(0.1F)).epsilon(1e-13));
  CHECK(*squared.value() == Approx(double(0.1F) * double(0.1F)).epsilon(1e-13));
}

TEST_CASE("before the first sample, and where a value is not defined, there is none") {
  const at::Tensor no_scores = torch::zeros({0, 3}), no_targets = torch::zeros({0}, at::kLong);
  const auto value_of_none = [&](auto metric) {
    const bool had_none = !metric.value();
    metric.update(no_scores, no_targets);
    return had_none && !metric.value();
  };
  using namespace ab::metrics;
  CHECK(value_of_none(Accuracy()));
  CHECK(value_of_none(Accuracy({.top_k = 2})));
  CHECK(value_of_none(ConfusionMatrix()));
  CHECK(value_of_none(F1({.average = Average::macro})));
  CHECK(value_of_none(RocAuc({.average = Average::macro})));
  CHECK(value_of_none(Perplexity()));
  MeanSquaredError squared;
  R2 r2;
  squared.update(torch::zeros({0}), torch::zeros({0}));
  r2.update(torch::zeros({0}), torch::zeros({0}));
  CHECK_FALSE(squared.value());
  CHECK_FALSE(r2.value());
  Accuracy weightless;
  weightless.update(torch::ones({2}), torch::ones({2}), torch::zeros({2}));
  CHECK_FALSE(weightless.value());
}

TEST_CASE("outputs may be scores, one score each, or classes; dimensions in front are samples") {
  using namespace ab::metrics;
  const at::Tensor logits = torch::randn({4, 5, 3}), targets = torch::randint(3, {4, 5});
  const auto value = [&](auto metric, const at::Tensor& outputs, const at::Tensor& wanted) {
    metric.update(outputs, wanted);
    return *metric.value();
  };
  const F1 f1({.average = Average::macro, .classes = 3});
  const double expected = value(f1, logits.reshape({20, 3}), targets.reshape({20}));
  CHECK(value(f1, logits, targets) == expected);
  CHECK(value(f1, logits.argmax(-1), targets) == expected);
  CHECK(value(f1, logits.argmax(-1).to(at::kByte), targets.to(at::kFloat)) == expected);
  CHECK(value(f1, logits.requires_grad_(), targets) == expected);

  const at::Tensor score = torch::tensor({0.5F, -1.0F, 2.0F, 0.0F}), is_one = torch::tensor({1, 0, 0, 0});
  CHECK(value(Precision(), score, is_one) == 0.5);
  CHECK(value(Precision(), score.unsqueeze(1), is_one) == 0.5);
  CHECK(value(Precision(), score.unsqueeze(1), is_one.unsqueeze(1).to(at::kFloat)) == 0.5);
  CHECK(value(Precision(), score.gt(0), is_one) == 0.5);
  CHECK(value(Precision(), torch::stack({-score, score}, 1), is_one) == 0.5);
  CHECK(value(Accuracy(), score, is_one.to(at::kBool)) == 0.75);
  CHECK(value(MeanSquaredError(), score.unsqueeze(1), is_one) == value(MeanSquaredError(), score, is_one));
}

TEST_CASE("of equal scores the first class is taken, and one that is NaN is never among the first") {
  using ab::metrics::Accuracy;
  const auto value = [](std::int64_t top_k, const at::Tensor& outputs, std::int64_t target) {
    Accuracy accuracy({.top_k = top_k});
    accuracy.update(outputs.unsqueeze(0), torch::tensor({target}));
    return *accuracy.value();
  };
  const at::Tensor equal = torch::zeros({4});  // of a model that learns nothing
  CHECK(value(2, equal, 0) + value(2, equal, 1) == 2);
  CHECK(value(2, equal, 2) + value(2, equal, 3) == 0);
  const double nan = std::nan("");
  for (std::int64_t target = 0; target < 4; ++target) CHECK(value(3, torch::full({4}, nan), target) == 0);
  CHECK(value(3, torch::tensor({1.0, nan, 2.0, 3.0}), 1) == 0);
}

TEST_CASE("an area is exact: of ten thousand scores with ties it is that of all pairs") {
  const at::Tensor scores = torch::randint(50, {10'000}).to(at::kFloat),
                   targets = torch::randint(2, {10'000});
  ab::metrics::RocAuc area;
  for (const auto& rows : {std::pair{0, 1}, {1, 9'000}, {9'000, 10'000}})
    area.update(scores.slice(0, rows.first, rows.second), targets.slice(0, rows.first, rows.second));
  const at::Tensor positive = scores.masked_select(targets.eq(1)).unsqueeze(1),
                   negative = scores.masked_select(targets.eq(0));
  const double all = double(positive.numel()) * double(negative.numel());
  CHECK(*area.value() ==
        (positive.gt(negative).sum().item<double>() + positive.eq(negative).sum().item<double>() / 2) / all);
  area.update(torch::full({1}, std::nan("")), torch::ones({1}));
  CHECK(std::isnan(*area.value()));
}

TEST_CASE("an area of probabilities is that of the logits, and weights of 1 are none") {
  const at::Tensor logits = torch::randn({30, 3}, at::kDouble), targets = torch::randint(3, {30});
  using ab::metrics::RocAuc;
  RocAuc of_logits({.average = Average::macro}),
      of_probabilities({.average = Average::macro, .probabilities = true});
  of_logits.update(logits, targets);
  of_probabilities.update(logits.softmax(1).slice(0, 0, 10), targets.slice(0, 0, 10));
  RocAuc rest = of_probabilities;
  rest.reset();
  rest.update(logits.softmax(1).slice(0, 10), targets.slice(0, 10), torch::ones({20}));
  of_probabilities.merge(rest);  // one has weights
  CHECK(*of_probabilities.value() == Approx(*of_logits.value()).epsilon(1e-15));

  RocAuc of_two, of_two_probabilities({.probabilities = true});
  of_two.update(logits.slice(1, 0, 2), targets.gt(0));
  of_two_probabilities.update(logits.slice(1, 0, 2).softmax(1), targets.gt(0));
  CHECK(*of_two.value() == *of_two_probabilities.value());
  // Logits that are so far apart that the softmax in float32 is 1 of both.
  RocAuc far;
  far.update(torch::tensor({{0.0F, 30.0F}, {0.0F, 40.0F}}), torch::tensor({0, 1}));
  CHECK(*far.value() == 1);
}

TEST_CASE("perplexity without some targets, with weights, and of means") {
  using ab::metrics::Perplexity;
  const at::Tensor logits = torch::randn({4, 6, 9}), targets = torch::randint(9, {4, 6});
  targets.slice(1, 4).fill_(-100);
  Perplexity whole({.ignore_index = -100}), weighted, of_means;
  whole.update(logits.masked_fill(targets.eq(-100).unsqueeze(-1), -INFINITY), targets);
  weighted.update(logits, targets.clamp_min(0), targets.ge(0).to(at::kFloat));
  for (int i = 0; i < 4; ++i) {
    of_means.update(torch::nn::functional::cross_entropy(logits[i], targets[i]), 4);
  }
  CHECK(*whole.value() == Approx(*weighted.value()).epsilon(1e-6));
  CHECK(*whole.value() == Approx(*of_means.value()).epsilon(1e-6));
  Perplexity uniform;
  uniform.update(torch::zeros({2, 9}, at::kHalf), torch::tensor({3, 8}));
  CHECK(*uniform.value() == Approx(9));
}

TEST_CASE("a metric has no graph, and takes what inference mode makes") {
  ab::metrics::MeanSquaredError error;
  ab::metrics::ConfusionMatrix matrix;
  ab::metrics::RocAuc area;
  {
    const c10::InferenceMode inference;
    const at::Tensor scores = torch::tensor({0.5, -1.0}), targets = torch::tensor({1, 0});
    error.update(scores, targets), matrix.update(scores, targets), area.update(scores, targets);
  }
  const at::Tensor scores = torch::tensor({0.5, -1.0}).requires_grad_(), targets = torch::tensor({0, 0});
  error.update(scores, targets), matrix.update(scores, targets), area.update(scores, targets);
  ab::Kept kept;
  ab::keep(kept, "error", error), ab::keep(kept, "matrix", matrix), ab::keep(kept, "area", area);
  for (const auto& [name, tensor] : kept.tensors()) CHECK_FALSE(tensor.requires_grad());
  CHECK(matrix.matrix().equal(torch::tensor({{2, 1}, {0, 1}})));
  CHECK(*area.value() == (2 + 0.5) / 3);
}

TEST_CASE("what was handed to a metric may change later") {
  const at::Tensor scores = torch::tensor({0.5, -1.0}), targets = torch::tensor({1.0, 0.0});
  ab::metrics::RocAuc area;
  ab::metrics::Mean mean;
  area.update(scores, targets), mean.update(scores);
  scores.fill_(7), targets.fill_(1);
  CHECK(*area.value() == 1);
  CHECK(*mean.value() == -0.25);
  const at::Tensor sum = torch::tensor(1.5, at::kDouble);
  ab::metrics::Sums sums;
  sums.add(sum), sums.add(sum);
  CHECK(sum.item<double>() == 1.5);
}

TEST_CASE("metrics say in one sentence what is wrong, and are as they were") {
  using namespace ab::metrics;
  const at::Tensor scores = torch::zeros({4, 3}), targets = torch::zeros({4}, at::kLong);
  const auto told = [](auto metric, const at::Tensor& outputs, const at::Tensor& wanted,
                       const at::Tensor& weights = {}) {
    const std::string message = error_of([&] { metric.update(outputs, wanted, weights); });
    return metric.value() ? "it has a value" : message;
  };
  CHECK(told(Accuracy(), scores, targets.slice(0, 1)) ==
        "Accuracy: targets must have one class for each row of outputs, got Tensor[3] for outputs Tensor[4, "
        "3]; the last dimension of outputs is that of the classes");
  CHECK(told(Accuracy(), scores, scores) ==
        "Accuracy: targets must have one class for each row of outputs, got Tensor[4, 3] for outputs "
        "Tensor[4, 3]; the last dimension of outputs is that of the classes");
  CHECK(told(F1({.average = Average::macro}), scores, targets.add(3)) ==
        "F1: targets must be classes from 0 to 2, got 3; count classes from 0, and tell how many there are");
  CHECK(told(F1(), scores, targets) ==
        "F1: the average binary is for two classes, got 3; choose Average::macro or another one");
  CHECK(told(Recall(), scores.select(1, 0), targets.to(at::kFloat).add(0.5)) ==
        "Recall: targets must be classes, got numbers that are not whole; pass the index of the class");
  CHECK(told(ConfusionMatrix(), targets, targets) ==
        "ConfusionMatrix: the number of classes must be known, got outputs that are classes themselves; "
        "pass {.classes = 10}");
  CHECK(told(ConfusionMatrix({.classes = 2}), targets.add(2), targets) ==
        "ConfusionMatrix: outputs must be classes from 0 to 1, got 2; count classes from 0, and tell how "
        "many there are");
  CHECK(
      told(ConfusionMatrix({.classes = 2}), scores, targets) ==
      "ConfusionMatrix: outputs must have scores of 2 classes, got 3; pass the same classes to each update");
  CHECK(told(Accuracy(), scores, targets, torch::ones({3})) ==
        "Accuracy: weights must be one for each of the 4 samples, got Tensor[3]; a sample is a row");
  CHECK(told(Accuracy({.top_k = 4}), scores, targets) ==
        "Accuracy: top_k must be at most the number of classes that have scores, got 4 for outputs Tensor[4, "
        "3]; pass scores of all classes");
  CHECK(error_of([] { Accuracy({.top_k = 0}); }) ==
        "Accuracy: top_k must be at least 1, got 0; pass 1 for the highest score alone");
  CHECK(told(RocAuc(), targets, targets) ==
        "RocAuc: outputs must be scores, got whole numbers; pass what the model says before a class is "
        "chosen");
  CHECK(told(RocAuc(), scores, targets) ==
        "RocAuc: the average binary is for two classes, got 3; choose Average::macro or another one");
  CHECK(error_of([] { RocAuc({.average = Average::micro}); }) ==
        "RocAuc: average must be binary, macro or weighted, got micro; choose one of these");
  CHECK(told(Perplexity(), scores.select(1, 0), targets) ==
        "Perplexity: outputs must be logits [..., vocabulary], got Tensor[4]; pass what the model says about "
        "every word");
  CHECK(told(MeanSquaredError(), scores, targets) ==
        "MeanSquaredError: outputs and targets must have one shape, got Tensor[4, 3] and Tensor[4]; reshape "
        "one of them");
  CHECK(told(R2(), at::Tensor(), targets) ==
        "R2: outputs and targets must be tensors, got an undefined one; compute it first");
  CHECK(told(R2(), targets, targets.to(at::kMeta)) ==
        "R2: outputs and targets must lie on one device, got cpu and meta; move one of them");

  R2 two_columns, three_columns;
  two_columns.update(torch::zeros({4, 2}), torch::zeros({4, 2}));
  three_columns.update(scores, scores);
  CHECK(error_of([&] { two_columns.merge(three_columns); }) ==
        "R2: the number of columns must stay the same, got 3 after 2; use a metric for each");
  ConfusionMatrix two, three;
  two.update(torch::zeros({4}), targets);
  three.update(scores, targets);
  CHECK(error_of([&] { two.merge(three); }) ==
        "ConfusionMatrix: counts of one number of classes can be merged, got 2 and 3; pass {.classes = 3} to "
        "both");
  RocAuc of_three({.average = Average::macro}), of_two({.average = Average::macro});
  of_three.update(scores, targets);
  of_two.update(torch::zeros({4}), targets);
  CHECK(error_of([&] { of_three.merge(of_two); }) ==
        "RocAuc: all scores must be of the same classes, got Tensor[4] after Tensor[4, 3]; use a metric for "
        "each");
}

}  // namespace metrics_tests
