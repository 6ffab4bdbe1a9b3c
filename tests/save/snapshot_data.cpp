#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/every_boundary.hpp"

#include <memory>
#include <vector>

namespace ab = abyme;

namespace snapshot_data_tests {
namespace {

const auto data = [](std::int64_t seed) {
  const auto generator = at::detail::createCPUGenerator(std::uint64_t(seed));
  return std::pair(torch::randn({6, 4}, generator), torch::randn({6, 3}, generator));
};
ab::TensorBatches batches(std::int64_t seed) {
  const auto [inputs, targets] = data(seed);
  return {inputs, targets, {.batch_size = 2, .seed = std::uint64_t(seed)}};
}
struct Rows : torch::data::Dataset<Rows> {
  explicit Rows(std::int64_t seed) : rows(data(seed)) {}
  torch::data::Example<> get(std::size_t i) override {
    const auto row = static_cast<std::int64_t>(i);
    return {rows.first[row], rows.second[row]};
  }
  torch::optional<std::size_t> size() const override { return 6; }
  std::pair<torch::Tensor, torch::Tensor> rows;
};
auto loader(std::int64_t seed, std::size_t workers = 0) {
  return std::shared_ptr(torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      Rows(seed).map(torch::data::transforms::Stack<>()),
      torch::data::DataLoaderOptions(2).workers(workers)));
}

// Every kind of data, one behind the other; numbers are drawn beside them, by dropout and by a callable.
struct AllData : tests::Resumable {
  AllData(bool takes, std::uint64_t seed) : Resumable(takes, seed) {
    net = torch::nn::Sequential(torch::nn::Linear(4, 3), torch::nn::Dropout(0.2));
    optimizer = std::make_shared<torch::optim::SGD>(net->parameters(), 0.1);
    ab::TextFile log("files/log.txt");
    ab::Pass pass(net, optimizer, [this](const ab::Batch& batch) {
      return torch::mse_loss(net->forward(batch.inputs), batch.targets);
    });
    ab::Pass loader_pass(net, optimizer, [this](const torch::data::Example<>& batch) {
      return torch::mse_loss(net->forward(batch.data), batch.target);
    });
    pass.named("pass");
    loader_pass.named("loader_pass");
    const auto add = [&](const char* name, ab::DataLooper looper, auto train) {
      looper.named(name)
          .at("start", [] { torch::rand({7}); })
          .at("iteration_start", here())
          .at("iteration_end", train, here(), ab::Print(log, "{} {}", name, ab::caller("counter")),
              [] { torch::rand({1}); })
          .at("end", here());
      train("end", ab::Print(log, "{} {}", name, ab::caller("loss")));
      loopers.push_back(looper);
    };
    const auto mapped = [](const ab::Batch& batch) {
      return ab::Batch{batch.inputs + 0.1 * torch::rand_like(batch.inputs), batch.targets};
    };
    for (const auto seed_of_list : {8, 9}) {
      auto [inputs, targets] = data(seed_of_list);
      list.push_back({inputs, targets});
    }
    add("mapped", ab::DataLooper(ab::map(batches(1), mapped)), pass);
    add("prefetched", ab::DataLooper(ab::prefetch(batches(2))), pass);
    add("combined",
        ab::DataLooper(ab::chain(ab::take(batches(3), 2), ab::split(ab::repeat(batches(4), 2), 1, 2))), pass);
    add("list", ab::DataLooper(list), pass);
    add("loader", ab::DataLooper(loader(5)), loader_pass);
    add("repeated", ab::DataLooper(ab::repeat(loader(6), 2)), loader_pass);
    add("workers", ab::DataLooper(loader(7, 2)), loader_pass);
    ab::IterationLooper epochs(2);
    for (const ab::DataLooper& looper : loopers) epochs("iteration_end", looper, here());
    ground("dig", epochs);
    look_at_the_end();
  }

  torch::nn::Sequential net{nullptr};
  std::shared_ptr<torch::optim::SGD> optimizer;
  std::vector<ab::Batch> list;
  std::vector<ab::DataLooper> loopers;
};

}  // namespace

TEST_CASE("a run goes on in the middle of every kind of data", "[snapshot]") {
  tests::check_every_boundary<AllData>(100);
}

}  // namespace snapshot_data_tests
