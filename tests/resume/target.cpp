// A small training that resume.py kills again and again: target FOLDER [--resume] [--slow] [--stuck]. Its
// snapshots, its log and its tables lie in FOLDER; the line that it prints last tells how it ended.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

namespace ab = abyme;

void train(const std::string& folder, bool resumes, bool is_slow, bool is_stuck) {
  torch::set_num_threads(1);
  torch::manual_seed(resumes ? 99 : 1);  // what the run goes on with is all in its snapshot
  const auto generator = at::detail::createCPUGenerator(4);
  ab::TensorBatches batches(torch::randn({48, 8}, generator),
                            torch::randint(3, {48}, generator, torch::kLong), {.batch_size = 4, .seed = 1});
  torch::nn::Sequential net(torch::nn::Linear(8, 64), torch::nn::BatchNorm1d(64), torch::nn::ReLU(),
                            torch::nn::Dropout(0.2), torch::nn::Linear(64, 3));
  ab::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(0.01));
  const auto criterion = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return torch::cross_entropy_loss(outputs, targets);
  };
  auto augmented = ab::map(batches, [](const ab::Batch& batch) {
    return ab::Batch{batch.inputs + 0.1 * torch::rand_like(batch.inputs), batch.targets};
  });

  ab::IterationLooper epochs(8);
  ab::DataLooper data(augmented), test_data(batches);
  ab::SupervisedPass pass(net, optimizer, criterion, {.accumulate = 2, .average = 0.9}),
      test_pass(net, criterion);
  ab::Stats loss("loss"), test_loss("loss");
  ab::CSVWriter csv(folder + "/results.csv");
  ab::Snapshot snapshots(folder + "/snapshots", {.keep = 2, .best = test_loss.get("average")});
  ab::TextFile log(folder + "/log.txt");
  double best = 100;

  pass.named("pass")("end", loss,
                     ab::Print(log, "batch {} loss {}", data.get("counter"), ab::caller("loss")));
  data.named("data")("iteration_end", pass, ab::PeriodicTrigger(3)("dig", snapshots), [is_slow] {
    if (is_slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  test_data.named("test_data")("iteration_end", test_pass("end", test_loss), [is_slow] {
    if (is_slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  if (is_stuck) {
    epochs("start", [] {
      std::cout << "stuck" << std::endl;
      std::this_thread::sleep_for(std::chrono::minutes(1));
    });
  }
  epochs("iteration_start", csv.open_line(), data)
      .at(
          "iteration_end", ab::Reset(test_loss), ab::Averaged(pass)("dig", test_data),
          [&] { best = std::min(best, *test_loss->average()); },
          csv.add_caller_to_line({"average", "std"}).focus(test_loss),
          ab::If([](ab::IterationLooper::Node& node) { return node.counter > 3; })(
              "dig", csv.add_caller_to_line({"max"}, {.prefix = "late."}).focus(loss)),
          csv.commit_line(), csv.save(), ab::Reset(loss),
          ab::SaveModel(net, folder + "/models/net", {.date = false, .prefix = ab::caller("counter")}))
      .at("end", snapshots, ab::Print("best {}", [&] { return best; }));
  ab::Ground ground;
  ground("dig", epochs).holds("best", best).on_signals({SIGINT, SIGTERM});
  const ab::Outcome outcome = resumes ? ground.resume(snapshots).dig() : ground.dig();
  if (!outcome.completed) std::cout << "stopped by " << outcome.reason << std::endl;
}

int main(int argc, char** argv) {
  bool resumes = false, is_slow = false, is_stuck = false;
  for (int i = 2; i < argc; ++i) {
    resumes = resumes || std::string_view(argv[i]) == "--resume";
    is_slow = is_slow || std::string_view(argv[i]) == "--slow";
    is_stuck = is_stuck || std::string_view(argv[i]) == "--stuck";
  }
  try {
    train(argv[1], resumes, is_slow, is_stuck);
  } catch (const std::exception& error) {
    std::cerr << "target: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
}
