#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include <utility>
#include <vector>

namespace ab = abyme;

namespace supervised_pass_tests {
namespace {

struct Digest {  // a user's own type of batch
  torch::Tensor pixels;
  std::vector<std::int64_t> classes;
};

class Samples : public torch::data::datasets::Dataset<Samples> {
public:
  torch::data::Example<> get(std::size_t index) override {
    return {torch::full({2}, double(index)), torch::tensor(std::int64_t(index % 2))};
  }
  c10::optional<std::size_t> size() const override { return 5; }
};

torch::Tensor mean_of(const torch::Tensor& outputs, const torch::Tensor&) { return outputs.mean(); }

}  // namespace

TEST_CASE("a supervised pass shows loss, outputs, inputs, targets and batch size", "[pass]") {
  torch::nn::Linear model(2, 2);
  std::vector<ab::Batch> data{{torch::randn({3, 2}), torch::randint(2, {3})},
                              {torch::randn({1, 2}), torch::randint(2, {1})}};
  ab::DataLooper loop(data);
  ab::SupervisedPass pass(model, mean_of);
  std::vector<ab::Value> sizes;
  pass("end", [&](ab::SupervisedPass::Node& shown) {
    const ab::Batch& batch = loop->batch<ab::Batch>();
    const auto outputs = model(batch.inputs);
    CHECK(shown.outputs().equal(outputs));
    CHECK(pass.get("outputs").as<torch::Tensor>().equal(outputs));
    CHECK(pass.get("loss").as<torch::Tensor>().equal(outputs.mean()));
    CHECK(pass.get("inputs").as<torch::Tensor>().is_same(batch.inputs));
    CHECK(pass.get("targets").as<torch::Tensor>().is_same(batch.targets));
    sizes.push_back(pass.get("batch_size")());
  });
  loop("iteration_end", pass);
  ab::Ground()("dig", loop).dig();
  CHECK(sizes.size() == 2);
  CHECK(std::get<std::int64_t>(sizes.at(0)) == 3);
  CHECK(std::get<std::int64_t>(sizes.at(1)) == 1);
}

TEST_CASE("it takes batches, LibTorch's examples and pairs as they are, other types by a formatter",
          "[pass]") {
  torch::nn::Linear model(2, 1);
  ab::SupervisedPass plain(model, mean_of);
  ab::Stats sum([](ab::SupervisedPass::Node& pass) { return pass.inputs().sum(); });
  plain("end", sum);

  SECTION("a data loader of LibTorch, twice") {
    auto loader = torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
        Samples().map(torch::data::transforms::Stack<>()), torch::data::DataLoaderOptions(2));
    ab::DataLooper data(std::move(loader));
    data("iteration_end", plain);
    ab::IterationLooper epochs(2);
    epochs("iteration_end", data);
    ab::Ground()("dig", epochs).dig();
    CHECK(sum->count() == 6);
    CHECK(*sum->average() * 6 == 2 * 2 * (0 + 1 + 2 + 3 + 4));
    CHECK(plain->batch_size() == 1);
  }
  SECTION("pairs of tensors") {
    ab::DataLooper data(std::vector{std::pair{torch::ones({4, 2}), torch::zeros({4})}});
    data("iteration_end", plain);
    ab::Ground()("dig", data).dig();
    CHECK(*sum->last() == 8);
    CHECK(plain->batch_size() == 4);
  }
  SECTION("a type of the user's own") {
    ab::SupervisedPass formatted(
        model,
        [](const torch::Tensor& outputs, const torch::Tensor& targets) {
          return torch::mse_loss(outputs.flatten(), targets);
        },
        [](const Digest& digest) {
          return std::pair{digest.pixels / 2, torch::tensor(digest.classes, torch::kFloat)};
        });
    formatted("end", sum);
    ab::DataLooper data(std::vector<Digest>{{torch::ones({3, 2}), {1, 0, 1}}});
    data("iteration_end", formatted);
    ab::Ground()("dig", data).dig();
    CHECK(*sum->last() == 3);
    CHECK(formatted->targets().equal(torch::tensor({1.0F, 0.0F, 1.0F})));
    CHECK(formatted->batch_size() == 3);  // the first dimension of its tensor
  }
}

TEST_CASE("an average weighted by batch size is the average over samples, also where the last batch is short",
          "[pass]") {
  torch::manual_seed(4);
  torch::nn::Linear model(2, 3);
  const auto inputs = torch::randn({50, 2});
  const auto targets = torch::randint(3, {50});
  ab::TensorBatches batches(inputs, targets, {.batch_size = 16});
  ab::DataLooper data(batches);
  ab::SupervisedPass pass(model, [](const torch::Tensor& outputs, const torch::Tensor& wanted) {
    return torch::cross_entropy_loss(outputs, wanted);
  });
  ab::Stats loss("loss", {.weight = "batch_size"}), accuracy(ab::accuracy, {.weight = "batch_size"}),
      by_batch("loss");
  data("iteration_end", pass("end", loss, accuracy, by_batch));
  ab::Ground()("dig", data).dig();

  torch::NoGradGuard no_grad;
  const auto outputs = model(inputs);
  CHECK(*loss->average() == Approx(torch::cross_entropy_loss(outputs, targets).item<double>()).epsilon(1e-6));
  CHECK(*accuracy->average() ==
        Approx(outputs.argmax(1).eq(targets).to(torch::kDouble).mean().item<double>()).epsilon(1e-6));
  CHECK(*by_batch->average() != Approx(*loss->average()).epsilon(1e-6));
}

}  // namespace supervised_pass_tests
