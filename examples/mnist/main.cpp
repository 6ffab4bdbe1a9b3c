// A convolutional network learns to read digits: the network of LibTorch's own MNIST example, its training
// loop written as a tree.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <CLI/CLI.hpp>

#include "data.hpp"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

namespace ab = abyme;

struct NetImpl : torch::nn::Module {
  torch::nn::Conv2d conv1{register_module("conv1", torch::nn::Conv2d(1, 10, 5))};
  torch::nn::Conv2d conv2{register_module("conv2", torch::nn::Conv2d(10, 20, 5))};
  torch::nn::Dropout2d conv2_drop{register_module("conv2_drop", torch::nn::Dropout2d())};
  torch::nn::Linear fc1{register_module("fc1", torch::nn::Linear(320, 50))};
  torch::nn::Linear fc2{register_module("fc2", torch::nn::Linear(50, 10))};

  torch::Tensor forward(torch::Tensor x) {                                   // [batch, 1, 28, 28]
    x = torch::relu(torch::max_pool2d(conv1(x), 2));                         // [batch, 10, 12, 12]
    x = torch::relu(torch::max_pool2d(conv2_drop(conv2(x)), 2)).flatten(1);  // [batch, 320]
    x = torch::dropout(torch::relu(fc1(x)), 0.5, is_training());
    return torch::log_softmax(fc2(x), 1);  // [batch, 10]
  }
};
TORCH_MODULE(Net);

struct Options {
  std::optional<std::filesystem::path> data;
  std::int64_t epochs = 10;
  std::int64_t batch_size = 64;
  double learning_rate = 0.01;
  std::uint64_t seed = 1;
  std::string device = "auto";
  int threads = 0;
  bool bar = true;
  bool describe = false;
  std::optional<std::string> snapshots;
  bool resume = false;
};

void train(const Options& options) {
  if (options.threads > 0) torch::set_num_threads(options.threads);
  torch::manual_seed(options.seed);
  const bool cuda = options.device == "cuda" || (options.device == "auto" && torch::cuda::is_available());
  const torch::Device device(cuda ? torch::kCUDA : torch::kCPU);

  const Digits digits = load_digits(options.data);
  std::cout << digits.source << std::endl;
  const auto pixels = [&](const torch::Tensor& images) {
    return ab::normalize(images, 0.1307, 0.3081).unsqueeze(1).to(device);
  };
  ab::TensorBatches train_batches(pixels(digits.train_images), digits.train_labels.to(device),
                                  {.batch_size = options.batch_size, .seed = options.seed});
  ab::TensorBatches test_batches(pixels(digits.test_images), digits.test_labels.to(device),
                                 {.batch_size = 1000, .shuffle = false});

  Net model;
  model->to(device);
  torch::optim::SGD optimizer(model->parameters(),
                              torch::optim::SGDOptions(options.learning_rate).momentum(0.9));
  const auto criterion = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return torch::nll_loss(outputs, targets);
  };

  // The nodes ...
  auto epochs = ab::IterationLooper(options.epochs).named("epochs");
  auto train_data = ab::DataLooper(train_batches).named("train_data");
  auto test_data = ab::DataLooper(test_batches).named("test_data");
  auto train_pass = ab::SupervisedPass(model, optimizer, criterion).named("train_pass");
  auto test_pass = ab::SupervisedPass(model, criterion).named("test_pass");  // no optimizer: it evaluates
  auto train_loss = ab::Stats("loss", {.weight = "batch_size"}).named("train_loss");
  auto test_loss = ab::Stats("loss", {.weight = "batch_size"}).named("test_loss");
  auto train_accuracy = ab::Stats(ab::accuracy, {.weight = "batch_size"}).named("train_accuracy");
  auto test_accuracy = ab::Stats(ab::accuracy, {.weight = "batch_size"}).named("test_accuracy");
  auto train_time = ab::Timer().named("train_time");
  auto best = ab::NewHighTrigger("average").focus(test_accuracy).named("best");

  // ... a few callables ...
  const auto samples_per_second = [&] { return double(train_batches.samples()) / train_time->last->count(); };
  std::int64_t best_epoch = 0;
  const auto note_epoch = [&] { best_epoch = epochs->counter; };
  const auto percent = [](const ab::Stats& accuracy) {
    return [=] { return 100 * accuracy->average().value_or(0); };
  };
  const auto best_percent = [&] { return 100 * best->best.value_or(0); };

  // ... and the tree.
  train_data("iteration_end", train_pass("end", train_loss, train_accuracy));
  test_data("iteration_end", test_pass("end", test_loss, test_accuracy));
  epochs("iteration_start", train_time("dig", train_data), test_data)
      .at("iteration_end", best("dig", note_epoch),
          ab::Print("epoch {:>2}: train loss {:.4f}, accuracy {:.2f}%; test loss {:.4f}, accuracy {:.2f}%; "
                    "{:.0f} samples/s",
                    ab::caller("counter"), train_loss.get("average"), percent(train_accuracy),
                    test_loss.get("average"), percent(test_accuracy), samples_per_second),
          ab::Reset(train_loss, train_accuracy, test_loss, test_accuracy));
  ab::Ground ground;
  ground("dig", epochs).holds("best_epoch", best_epoch);

  // While it trains a line moves on a terminal. Hung on "start" too, it knows when an epoch begins.
  ab::ProgressBar bar(
      {{"loss", train_loss.get("average")}, {"accuracy", train_accuracy.get("average")}},
      {.style = ab::BarStyle::tqdm,
       .lines = 0,  // elsewhere than on a terminal
       .title = [&] { return fmt::format("epoch {}/{}", epochs->counter + 1, options.epochs); },
       .leave = false,
       .verbose = options.bar});
  train_data("start", bar).at("iteration_end", bar);

  // A run that was killed goes on from its newest snapshot as if nothing had happened.
  ab::Snapshot snapshots(options.snapshots.value_or(""), {.keep = 3});
  if (options.snapshots) {
    train_data("iteration_end", ab::PeriodicTrigger(50)("dig", snapshots));
    epochs("end", snapshots);
    ground.on_signals({SIGINT, SIGTERM});
  }
  epochs("end",
         ab::Print("best test accuracy: {:.2f}% (epoch {})", best_percent, [&] { return best_epoch; }));

  std::cout << ab::describe(ground) << std::endl;
  if (options.describe) return;
  const ab::Outcome outcome = options.resume ? ground.resume(snapshots).dig() : ground.dig();
  if (!outcome.completed) std::cout << "stopped by " << outcome.reason << std::endl;
}

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a convolutional network on MNIST.");
  app.add_option("--data", options.data,
                 "folder with the four MNIST files; otherwise $ABYME_MNIST_DIR, a cache, a download");
  app.add_option("--epochs", options.epochs, "how often the training data is gone through")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--batch-size", options.batch_size, "samples in a training batch")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--learning-rate", options.learning_rate, "of SGD with momentum 0.9")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", options.seed, "of weights, dropout and order")->capture_default_str();
  app.add_option("--device", options.device, "where to train")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--threads", options.threads, "that LibTorch computes with; 0: as many as it likes")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  auto* snapshots = app.add_option("--snapshots", options.snapshots,
                                   "folder for a snapshot every 50 batches and at the end");
  app.add_flag("--resume", options.resume, "go on from the newest snapshot there, where there is one")
      ->needs(snapshots);
  app.add_flag("!--no-bar", options.bar, "no moving line on a terminal");
  app.add_flag("--describe", options.describe, "print the tree and don't train");
  CLI11_PARSE(app, argc, argv);
  try {
    train(options);
  } catch (const std::exception& error) {
    std::cerr << "mnist: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
}
