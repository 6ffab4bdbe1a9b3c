// An epoch of 8,000 digits in batches of 32 from each source against torch::data's way to the same batches.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include "digits.hpp"
#include "figure.hpp"

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;
namespace data = torch::data;

namespace {

constexpr std::int64_t batch_size = 32;

struct Epoch {
  double seconds = 0;  // a batch
  std::int64_t labels = 0, samples = 0;
};

/// Goes once over a range; what it touches of a batch makes sure that it is there.
template <class Range, class Labels>
Epoch run(Range& range, Labels labels) {
  Epoch epoch;
  std::int64_t batches = 0;
  const auto start = std::chrono::steady_clock::now();
  for (const auto& batch : range) {
    ++batches;
    const torch::Tensor& these = labels(batch);
    epoch.samples += these.size(0);
    epoch.labels += *these.template const_data_ptr<std::int64_t>();  // of the first
  }
  epoch.seconds = bench::seconds_since(start) / double(batches);
  return epoch;
}

template <class Ours, class Theirs>
void race(const std::string& name, const char* against, bool same_order, Ours& ours, Theirs& theirs) {
  std::vector<double> our_seconds, their_seconds;
  for (int i = 0; i < 22; ++i) {
    const Epoch a = run(ours, [](const ab::Batch& batch) -> const torch::Tensor& { return batch.targets; });
    const Epoch b = run(theirs, [](const auto& batch) -> const torch::Tensor& { return batch.target; });
    if (a.samples != b.samples || (same_order && a.labels != b.labels))
      throw std::runtime_error(name + ": both must give the same batches");
    if (i == 0) continue;
    our_seconds.push_back(a.seconds);
    their_seconds.push_back(b.seconds);
  }
  bench::compare(name, against, our_seconds, their_seconds, 1e6, "us a batch");
  bench::figure(name + "_batches", 1 / bench::spread(our_seconds).median, "batches/s");
}

}  // namespace

int main() {
  torch::set_num_threads(1);
  const auto digits = bench::digits();
  const torch::Tensor images = digits.images.flatten(1).to(torch::kFloat).div_(255), labels = digits.labels;
  const auto dataset = [&] { return bench::Items(images, labels).map(data::transforms::Stack<>()); };
  const auto negative = [](const torch::Tensor& x) { return x.neg(); };

  ab::TensorBatches shuffled(images, labels, {.batch_size = batch_size});
  auto random = data::make_data_loader<data::samplers::RandomSampler>(dataset(), batch_size);
  race("loader_shuffled", "DataLoader, an item a call, Stack", false, shuffled, *random);

  ab::TensorBatches ordered(images, labels, {.batch_size = batch_size, .shuffle = false});
  auto sequential = data::make_data_loader<data::samplers::SequentialSampler>(dataset(), batch_size);
  race("loader_ordered", "DataLoader, an item a call, Stack", true, ordered, *sequential);

  auto mapped = ab::map(ab::TensorBatches(images, labels, {.batch_size = batch_size, .shuffle = false}),
                        [&](const ab::Batch& batch) {
                          return ab::Batch{negative(batch.inputs), batch.targets};
                        });
  const data::transforms::Lambda<data::Example<>> negate(
      [&](data::Example<> item) { return data::Example<>(negative(item.data), item.target); });
  auto lambda = data::make_data_loader<data::samplers::SequentialSampler>(
      bench::Items(images, labels).map(negate).map(data::transforms::Stack<>()), batch_size);
  race("loader_mapped", "DataLoader, each item mapped by Lambda", true, mapped, *lambda);

  auto prefetched = ab::prefetch(ab::TensorBatches(images, labels, {.batch_size = batch_size}), {.depth = 2});
  auto worker = data::make_data_loader<data::samplers::RandomSampler>(
      dataset(), data::DataLoaderOptions(batch_size).workers(1));
  race("loader_prefetched", "DataLoader with one worker", false, prefetched, *worker);
}
