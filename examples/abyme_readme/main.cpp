// The example of Abyme's README, in both of its forms: a network learns to fill in masked inputs. It writes
// `results.csv` and the models of each new low.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace ab = abyme;

// Points on a circle seen from 8 directions. Half of what is seen is masked; the target is the whole.
ab::Batch masked_circle(std::int64_t samples, std::uint64_t seed) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto angles = 6.2831853 * torch::rand({samples, 1}, generator);
  const auto directions = torch::linspace(0, 5.4977871, 8).unsqueeze(0);
  const auto targets = torch::cos(angles - directions);  // [samples, 8]
  return {targets * (torch::rand({samples, 8}, generator) < 0.5), targets};
}

struct Example {
  torch::nn::Sequential model{torch::nn::Linear(8, 32), torch::nn::Tanh(), torch::nn::Linear(32, 8)};
  torch::optim::Adagrad optimizer{model->parameters(), torch::optim::AdagradOptions(0.01)};
  torch::nn::MSELoss criterion;
  ab::TensorBatches train_batches, test_batches;
  std::filesystem::path folder;

  Example(std::filesystem::path folder, const ab::Batch& train, const ab::Batch& test)
      : train_batches(train.inputs, train.targets, {.batch_size = 50, .seed = 1}),
        test_batches(test.inputs, test.targets, {.batch_size = 500, .shuffle = false}),
        folder(std::move(folder)) {}
};

// The trees are set by hand, a level of the tree a level of indentation.
// clang-format off

// What is done at the end of a pass over the data: a function that returns a part of a tree.
auto report(Example& example, const std::string& name, const ab::IterationLooper& epochs,
            const ab::DataLooper& data, const ab::Stats& stats, const ab::CSVWriter& csv, bool save_model) {
  return ab::children(
    ab::NewLowTrigger("average").focus(stats)("dig",
      ab::Print("==> new {} low, epoch {}, batch {}", name, epochs.get("counter"), data.get("counter")),
      ab::If(save_model)("dig",
        ab::SaveModel(example.model, example.folder / name, {.date = false, .prefix = epochs.get("counter")})),
      ab::PrettyPrintStore({"average", "std", "min", "max"}, {.prefix = name + ".new.low."}),
      csv.add_caller_to_line({"average", "std", "min", "max"}, {.prefix = name + ".new.low."})),
    ab::MovingStats("average", {.window = 4}).focus(stats)("dig",
      ab::PeriodicTrigger(4, {.wait_periods = 1})("dig",
        ab::PrettyPrintStore({"average", "std", "min", "max"}, {.prefix = name + ".loss.moving."}),
        csv.add_caller_to_line({"average", "std", "min", "max"}, {.prefix = name + ".loss.moving."}))));
}

// A line a looper.
void train_by_lines(Example& example, std::int64_t count) {
  ab::IterationLooper epochs(count);
  ab::DataLooper train_data(example.train_batches), test_data(example.test_batches);
  ab::SupervisedPass train_pass(example.model, example.optimizer, example.criterion);
  ab::SupervisedPass test_pass(example.model, example.criterion);  // no optimizer: it evaluates
  ab::Stats train_stats("loss"), test_stats("loss");
  ab::CSVWriter csv(example.folder / "results.csv");

  test_data("iteration_end", test_pass("end", test_stats))
    .at("end", report(example, "test", epochs, test_data, test_stats, csv, true));
  train_data("iteration_end", train_pass("end", train_stats))
    .at("end", test_data, report(example, "train", epochs, train_data, train_stats, csv, false));
  epochs("start", ab::Print("Training starts"))
    .at("iteration_start", csv.open_line(), train_data)
    .at("iteration_end", csv.commit_line(), csv.save(), ab::Reset(train_stats, test_stats))
    .at("end", ab::Print("End of training"));

  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
}

// Everything nested in one ground.
void train_nested(Example& example, std::int64_t count) {
  ab::IterationLooper epochs;
  ab::DataLooper train_data(example.train_batches), test_data(example.test_batches);
  ab::SupervisedPass train_pass(example.model, example.optimizer, example.criterion);
  ab::SupervisedPass test_pass(example.model, example.criterion);
  ab::Stats train_stats("loss"), test_stats("loss");
  ab::CSVWriter csv(example.folder / "results.csv");

  ab::Ground()("dig",
    epochs.setup(count)("start",
      ab::Print("Training starts")
    ).at("iteration_start",
      csv.open_line(),
      train_data("iteration_end",
        train_pass("end",
          train_stats
        )
      ).at("end",
        test_data("iteration_end",
          test_pass("end",
            test_stats
          )
        ).at("end",
          report(example, "test", epochs, test_data, test_stats, csv, true)
        ),
        report(example, "train", epochs, train_data, train_stats, csv, false)
      )
    ).at("iteration_end",
      csv.commit_line(),
      csv.save(),
      ab::Reset(train_stats, test_stats)
    ).at("end",
      ab::Print("End of training")
    )
  ).dig();
}

// clang-format on

int main(int argc, char** argv) {
  std::filesystem::path folder = "abyme_readme";
  std::int64_t epochs = 10;
  bool nested = false;
  CLI::App app("The example of Abyme's README: a network fills in masked inputs.");
  app.add_option("--folder", folder, "where results.csv and the models go")->capture_default_str();
  app.add_option("--epochs", epochs, "how often the training data is gone through")->capture_default_str();
  app.add_flag("--nested", nested, "the tree in one expression, in place of a line a looper");
  CLI11_PARSE(app, argc, argv);
  try {
    torch::manual_seed(1);
    Example example(folder, masked_circle(1000, 1), masked_circle(500, 2));
    (nested ? train_nested : train_by_lines)(example, epochs);
  } catch (const std::exception& error) {
    std::cerr << "abyme_readme: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
}
