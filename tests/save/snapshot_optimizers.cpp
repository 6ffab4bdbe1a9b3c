#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/every_boundary.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace snapshot_optimizers_tests {
namespace {

struct OwnOptions : torch::optim::OptimizerCloneableOptions<OwnOptions> {
  double get_lr() const override { return 0.05; }
  void set_lr(const double) override {}
};

// A class of the user's own: momentum, all in one tensor a parameter, saved by LibTorch's archives.
struct OwnOptimizer : torch::optim::Optimizer {
  explicit OwnOptimizer(const std::vector<torch::Tensor>& parameters)
      : Optimizer({torch::optim::OptimizerParamGroup(parameters)}, std::make_unique<OwnOptions>()) {
    for (const auto& parameter : parameters) sums.push_back(torch::zeros_like(parameter));
  }
  torch::Tensor step(LossClosure) override {
    const torch::NoGradGuard no_grad;
    std::size_t i = 0;
    for (auto& parameter : param_groups()[0].params()) {
      sums[i].mul_(0.9).add_(parameter.grad());
      parameter.sub_(0.05 * sums[i++]);
    }
    return {};
  }
  void save(torch::serialize::OutputArchive& archive) const override {
    archive.write("sums", torch::IValue(sums));
  }
  void load(torch::serialize::InputArchive& archive) override {
    torch::IValue value;
    archive.read("sums", value);
    sums = value.toTensorVector();
  }
  std::vector<torch::Tensor> sums;
};

// Some batch is not finite.
ab::Batch spoilt(const ab::Batch& batch) {
  const bool is_bad = (batch.inputs > 2).any().item<bool>();
  return {is_bad ? batch.inputs * std::numeric_limits<float>::infinity() : batch.inputs, batch.targets};
}

torch::Tensor mean_square(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::mse_loss(outputs, targets);
}

// Every optimizer, each with its own small network, in one loop, with options of the pass that keep something
// from step to step.
struct AllOptimizers : tests::Resumable {
  AllOptimizers(bool takes, std::uint64_t seed) : Resumable(takes, seed) {
    const auto generator = at::detail::createCPUGenerator(4);
    ab::TensorBatches batches(torch::randn({5, 4}, generator), torch::randn({5, 2}, generator),
                              {.batch_size = 2, .seed = 1});
    ab::TensorBatches images(torch::randn({5, 3, 4, 4}, generator), torch::randn({5, 4, 2, 2}, generator),
                             {.batch_size = 2, .seed = 2});
    ab::TextFile log("files/log.txt");
    ab::DataLooper data(ab::map(std::move(batches), spoilt)), image_data(std::move(images));
    data.named("data");
    image_data.named("image_data");
    const auto add = [&](const char* name, auto make, ab::PassOptions options = {}) {
      torch::nn::Sequential net(torch::nn::Linear(4, 3), torch::nn::Dropout(0.2), torch::nn::Linear(3, 2));
      auto optimizer = make(net->parameters());
      if (!options.autocast) options.non_finite = ab::NonFinite::skip;  // half precision skips by itself
      ab::SupervisedPass pass(net, optimizer, mean_square, options);
      pass.named(name)("end", ab::Print(log, "{} {} {}", name, ab::caller("loss"), ab::caller("skipped")));
      data("iteration_end", pass, here());
      nets.push_back(net);
      return std::pair(pass, optimizer);
    };
    using namespace torch::optim;
    using Parameters = std::vector<torch::Tensor>;
    add("lbfgs", [](const Parameters& all) {
      return std::make_shared<LBFGS>(
          all, LBFGSOptions(0.1).max_iter(3).history_size(2).line_search_fn("strong_wolfe"));
    });
    add("rmsprop", [](const Parameters& all) {
      return std::make_shared<RMSprop>(all, RMSpropOptions(0.01).momentum(0.5).centered(true));
    });
    add("adagrad", [](const Parameters& all) {
      return std::make_shared<Adagrad>(all, AdagradOptions(0.1).lr_decay(0.1));
    });
    add("own", [](const Parameters& all) { return std::make_shared<OwnOptimizer>(all); });
    const auto [averaged, adamw] = add(
        "adamw",
        [](const Parameters& all) { return std::make_shared<AdamW>(all, AdamWOptions(0.01).amsgrad(true)); },
        {.accumulate = 2, .clip_norm = 0.5, .average = 0.5});
    const auto [halved, sgd] =
        add("half",
            [](const Parameters& all) {
              return std::make_shared<ab::optim::SGD>(all, SGDOptions(0.05).momentum(0.9));
            },
            {.accumulate = 2, .autocast = torch::kHalf, .loss_scale = 1e5, .loss_scale_interval = 2});
    halved("step", ab::Print(log, "scale {}", ab::caller("scale")));
    halved("end", ab::RateSchedule(sgd, ab::rates::cosine(10)));

    torch::nn::Sequential conv(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4));
    ab::SupervisedPass conv_pass(conv, std::make_shared<ab::optim::Adam>(conv->parameters()), mean_square,
                                 {.channels_last = true});
    conv_pass.named("conv");
    image_data("iteration_end", conv_pass, here());

    ab::SupervisedPass test_pass(nets[4], mean_square);
    ab::DataLooper test_data(std::vector{ab::Batch{torch::ones({1, 4}), torch::ones({1, 2})}});
    ab::Stats test_loss("loss");
    test_data("iteration_end", test_pass("end", test_loss), here());
    ab::IterationLooper epochs(2);
    epochs("iteration_end", data, image_data, here(),
           ab::Averaged(averaged)("dig", here(), test_data.named("test_data"), here()),
           ab::ReduceRateOnPlateau(adamw, test_loss.get("average"), {.patience = 0}), here(),
           ab::Print(log, "epoch {} {}", test_loss.get("average"), averaged.get("gradient_norm")));
    ground("dig", epochs);
    look_at_the_end();
  }

  std::vector<torch::nn::Sequential> nets;
};

}  // namespace

TEST_CASE("a run goes on between the steps of every optimizer", "[snapshot]") {
  tests::check_every_boundary<AllOptimizers>(50);
}

}  // namespace snapshot_optimizers_tests
