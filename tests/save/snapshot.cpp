#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/every_boundary.hpp"

#include <memory>
#include <vector>

namespace ab = abyme;

namespace snapshot_tests {
namespace {

struct NetImpl : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(6, 8))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(8))};
  torch::nn::Dropout dropout{register_module("dropout", torch::nn::Dropout(0.3))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(8, 3))};
  torch::Tensor forward(const torch::Tensor& x) { return second(dropout(torch::relu(norm(first(x))))); }
};
TORCH_MODULE(Net);

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::cross_entropy_loss(outputs, targets);
}

ab::TensorBatches some_data(std::uint64_t seed) {
  const auto generator = at::detail::createCPUGenerator(7);
  return {torch::randn({14, 6}, generator),
          torch::randint(3, {14}, generator, torch::kLong),
          {.batch_size = 5, .seed = seed}};
}

// Two optimizers for the halves of a network, dropout, shuffling, an evaluation inside, statistics, a moving
// window, tables with a late column, an average, accumulation, a schedule.
struct Program : tests::Resumable {
  Program(bool takes, std::uint64_t seed) : Resumable(takes, seed) {
    ab::TextFile log("files/log.txt");
    ab::CSVWriter csv("files/results.csv");
    net = Net();
    one = std::make_shared<ab::optim::Adam>(net->first->parameters());
    two = std::make_shared<torch::optim::SGD>(net->second->parameters(),
                                              torch::optim::SGDOptions(0.05).momentum(0.9));
    ab::DataLooper train_data(train), test_data(test);
    ab::SupervisedPass first_pass(net, one, cross_entropy, {.accumulate = 2, .average = 0.9});
    ab::SupervisedPass second_pass(net, two, cross_entropy, {.clip_norm = 0.5});
    ab::SupervisedPass test_pass(net, cross_entropy);
    ab::Stats loss("loss"), test_loss("loss");
    ab::MovingStats moving("loss", {.window = 3});
    ab::IterationLooper epochs(3);
    train_data.named("train_data");
    first_pass.named("first_pass");
    second_pass.named("second_pass");
    first_pass("end", loss, here(), moving);
    second_pass("step", ab::RateSchedule(*two, ab::rates::cosine(10)), here());
    train_data("start", here())
        .at("iteration_start", here())
        .at("iteration_end", here(), first_pass, here(), second_pass, here(),
            ab::CSVStream("files/steps.csv", {"counter"}), here(),
            ab::PeriodicTrigger(2)("dig", here(), ab::Print(log, "batch {}", ab::caller("counter"))))
        .at("end", here());
    test_data("iteration_end", test_pass("end", test_loss, here()), here());
    epochs("start", here())
        .at("iteration_start", csv.open_line(), here(), train_data, here())
        .at("iteration_end", here(), ab::Averaged(first_pass)("dig", test_data, here()),
            csv.add_caller_to_line({"average"}, {.prefix = "test."}).focus(test_loss),
            ab::If([](ab::IterationLooper::Node& node) { return node.counter > 1; })(
                "dig", csv.add_caller_to_line({"std"}, {.prefix = "late."}).focus(loss)),
            csv.commit_line(), csv.save(), here(), ab::Reset(loss))
        .at("end", here());
    kept = {loss.shared(), test_loss.shared(), moving.shared(), first_pass.shared()};
    ground("dig", epochs, here())("final", here());
    look_at_the_end();
  }

  ab::TensorBatches train = some_data(1), test = some_data(2);
  Net net{nullptr};
  std::shared_ptr<ab::optim::Adam> one;
  std::shared_ptr<torch::optim::SGD> two;
  std::vector<std::shared_ptr<ab::Node>> kept;
};

}  // namespace

TEST_CASE("a run goes on from a snapshot at any boundary as if it had never stopped", "[snapshot]") {
  tests::check_every_boundary<Program>(100);
}

}  // namespace snapshot_tests
