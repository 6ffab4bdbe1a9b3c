// How long a step is held up by a snapshot, which copies the tensors and leaves the writing to a thread,
// against torch::save of the same model and optimizer; and how many bytes a second that is.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include "figure.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <stdlib.h>

namespace ab = abyme;

int main() {
  torch::set_num_threads(1);
  std::string folder = (std::filesystem::temp_directory_path() / "abyme_bench_XXXXXX").string();
  if (!::mkdtemp(folder.data())) throw std::runtime_error("no temporary folder");

  torch::nn::Sequential model(torch::nn::Linear(784, 2048), torch::nn::ReLU(), torch::nn::Linear(2048, 1024),
                              torch::nn::ReLU(), torch::nn::Linear(1024, 10));
  ab::optim::Adam optimizer(model->parameters());
  ab::TensorBatches data(torch::rand({64, 784}), torch::randint(10, {64}), {.batch_size = 8});
  const auto criterion = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return torch::cross_entropy_loss(outputs, targets);
  };
  double bytes = 0;  // of parameters and of Adam's two averages
  for (const auto& parameter : model->parameters()) bytes += 3 * double(parameter.nbytes());

  ab::Snapshot snapshots(folder + "/snapshots");
  std::vector<double> ours, theirs, rates;
  std::int64_t count = 0;
  std::chrono::steady_clock::time_point start;
  const auto begin = [&] { start = std::chrono::steady_clock::now(); };
  const auto end = [&] {
    ours.push_back(bench::seconds_since(start));
    rates.push_back(bytes / ours.back());
    const auto written = fmt::format("{}/snapshots/{:08}.safetensors", folder, ++count);
    while (!std::filesystem::exists(written)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the folder is flushed
  };
  const auto save = [&] {
    const auto from = std::chrono::steady_clock::now();
    torch::save(model, folder + "/model.pt");
    torch::save(optimizer, folder + "/optimizer.pt");
    theirs.push_back(bench::seconds_since(from));
  };
  ab::DataLooper batches(data);
  batches("iteration_end", ab::SupervisedPass(model, optimizer, criterion), begin, snapshots, end, save);
  ab::IterationLooper epochs(3);
  epochs("iteration_end", batches);
  ab::Ground()("dig", epochs).dig();
  std::filesystem::remove_all(folder);

  ours.erase(ours.begin());  // the first one makes the memory that the others use again
  theirs.erase(theirs.begin());
  rates.erase(rates.begin());
  bench::compare("snapshot_held_up", "torch::save of the same model and optimizer", ours, theirs, 1e3,
                 "ms a snapshot");
  bench::figure("snapshot_copied", bench::spread(rates), 1e-9, "GB/s");
}
