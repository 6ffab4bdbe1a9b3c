// The complete example of Ciclo's page, on MNIST: a loop is a list of schedules and of what is done on them.
// Then the same by hand: what has elapsed, schedules, logs and a history, in a loop of one's own. Both train
// alike, and find the same losses.

#include <torch/torch.h>

#include <abyme/dialect/ciclo.hpp>

#include <CLI/CLI.hpp>

#include "../mnist/data.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

namespace ab = abyme;

using Batches = ab::RepeatedBatches<ab::TensorBatches>;

struct Options {
  std::optional<std::filesystem::path> data;
  std::int64_t steps = 10'000;
  std::uint64_t seed = 1;
  int threads = 0;
  std::filesystem::path folder = "runs/ciclo_mnist";
};

struct State {
  torch::nn::Sequential model{torch::nn::Linear(784, 128), torch::nn::ReLU(), torch::nn::Linear(128, 10)};
  ab::optim::Adam optimizer{model->parameters(), torch::optim::AdamOptions(1e-3)};
};

ab::Logs train_step(State& state, const ab::Batch& batch) {
  const torch::Tensor logits = state.model->forward(batch.inputs);
  const torch::Tensor loss = torch::cross_entropy_loss(logits, batch.targets);
  state.optimizer.zero_grad();
  loss.backward();
  state.optimizer.step();
  ab::Logs logs;
  logs.add_metric("loss", loss);
  logs.add_metric("accuracy", logits.argmax(1).eq(batch.targets).to(torch::kFloat).mean());
  return logs;
}

// A list of tasks ...
ab::History by_tasks(const Options& options, Batches data) {
  auto [state, history, elapsed] =
      ab::tasks::loop(State(), std::move(data),
                      {{ab::every(1), train_step},
                       {ab::every(1000), ab::tasks::checkpoint(options.folder / "checkpoints")},
                       ab::tasks::keras_bar(options.steps)},
                      {.stop = options.steps});
  return history;
}

// ... and a loop by hand.
ab::History by_hand(const Options& options, Batches data) {
  State state;
  ab::History history;
  ab::Schedule call_checkpoint = ab::every(1000);
  for (const auto& [elapsed, batch] : ab::elapse(data, {.stop = options.steps})) {
    ab::Logs logs;
    logs.merge(train_step(state, batch));
    if (call_checkpoint(elapsed)) ab::save_weights(state.model, options.folder / "by_hand.safetensors");
    history.commit(elapsed, logs);
  }
  return history;
}

void train(const Options& options) {
  if (options.threads > 0) torch::set_num_threads(options.threads);
  const Digits digits = load_digits(options.data);
  std::cout << digits.source << std::endl;
  const torch::Tensor pixels = ab::normalize(digits.train_images, 0.1307, 0.3081).flatten(1);  // [n, 784]
  const auto run = [&](auto train) {
    torch::manual_seed(options.seed);
    ab::TensorBatches epoch(pixels, digits.train_labels, {.batch_size = 64, .seed = options.seed});
    return train(options, ab::repeat(std::move(epoch), options.steps));  // more than the stop lets through
  };

  const ab::History history = run(by_tasks);
  const auto [steps, loss, accuracy] = history.collect("steps", "loss", "accuracy");
  for (std::size_t i = 0; i < steps.size(); i += 1 + steps.size() / 10)
    fmt::print("step {:>5}: loss {:.4f}, accuracy {:.2f}%\n", steps[i], loss[i], 100 * accuracy[i]);

  const bool is_same = run(by_hand).collect("loss") == loss;
  fmt::print("by hand: {} losses\n", is_same ? "the same" : "other");
}

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a network on MNIST by a list of tasks, and again by hand.");
  app.add_option("--data", options.data,
                 "folder with the four MNIST files; otherwise $ABYME_MNIST_DIR, a cache, a download");
  app.add_option("--steps", options.steps, "batches to train on")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of weights and order")->capture_default_str();
  app.add_option("--threads", options.threads, "that LibTorch computes with; 0: as many as it likes")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--folder", options.folder, "for checkpoints")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    train(options);
  } catch (const std::exception& error) {
    std::cerr << "ciclo_mnist: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
}
