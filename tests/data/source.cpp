#include <torch/torch.h>

#include <abyme/data/source.hpp>

#include <abyme/data/batch.hpp>
#include <abyme/data/prefetch.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <ranges>
#include <sstream>
#include <vector>

namespace ab = abyme;

namespace source_tests {

namespace data = torch::data;
using Numbers = std::vector<std::int64_t>;

namespace {

/// Sample i is ([i], i).
struct Samples : data::datasets::Dataset<Samples> {
  explicit Samples(std::size_t count) : count(count) {}
  data::Example<> get(std::size_t i) override {
    return {torch::full({1}, static_cast<double>(i)), torch::tensor(static_cast<std::int64_t>(i))};
  }
  std::optional<std::size_t> size() const override { return count; }
  std::size_t count;
};

/// The same as a stream, which only tells its next samples, as a ChunkDataset.
struct Stream : data::datasets::StatefulDataset<Stream, std::vector<data::Example<>>, std::size_t> {
  explicit Stream(std::size_t count) : samples(count) {}
  std::optional<std::vector<data::Example<>>> get_batch(std::size_t size) override {
    if (at == samples.count) return std::nullopt;
    std::vector<data::Example<>> batch;
    for (; batch.size() < size && at < samples.count; ++at) batch.push_back(samples.get(at));
    return batch;
  }
  void reset() override { at = 0; }
  std::optional<std::size_t> size() const override { return std::nullopt; }
  void save(torch::serialize::OutputArchive&) const override {}
  void load(torch::serialize::InputArchive&) override {}
  Samples samples;
  std::size_t at = 0;
};

data::DataLoaderOptions by_three(std::size_t workers) { return data::DataLoaderOptions(3).workers(workers); }
auto in_order(std::size_t workers) {
  return data::make_data_loader<data::samplers::SequentialSampler>(
      Samples(10).map(data::transforms::Stack<>()), by_three(workers));
}
auto shuffled(std::size_t workers) {
  return data::make_data_loader(Samples(10).map(data::transforms::Stack<>()), by_three(workers));
}
auto stream() { return data::make_data_loader(Stream(10).map(data::transforms::Stack<>()), by_three(0)); }

void add(Numbers& numbers, const data::Example<>& batch) {
  const auto targets = batch.target.flatten();
  numbers.insert(numbers.end(), targets.data_ptr<std::int64_t>(),
                 targets.data_ptr<std::int64_t>() + targets.numel());
}
template <class Range>
Numbers targets_of(Range&& range) {
  Numbers numbers;
  for (const data::Example<>& batch : range) add(numbers, batch);
  return numbers;
}
Numbers sorted(Numbers numbers) {
  std::ranges::sort(numbers);
  return numbers;
}

/// The batches that a looper sees in two epochs.
template <class Batch, class Data>
std::vector<Batch> looped(Data&& range) {
  std::vector<Batch> seen;
  ab::DataLooper batches(std::forward<Data>(range));
  batches("iteration_end", [&](ab::DataLooper::Node& node) { seen.push_back(node.batch<Batch>()); });
  ab::IterationLooper epochs(2);
  epochs("iteration_end", batches);
  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
  return seen;
}

const Numbers ten{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
const Numbers ten_twice{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

}  // namespace

TEST_CASE("a looper takes loaders of torch::data, owned, shared and borrowed") {
  for (const std::size_t workers : {0U, 2U}) {
    CHECK(targets_of(looped<data::Example<>>(in_order(workers))) == ten_twice);
    const auto seen = targets_of(looped<data::Example<>>(shuffled(workers)));
    CHECK(sorted({seen.begin(), seen.begin() + 10}) == ten);
    CHECK(sorted({seen.begin() + 10, seen.end()}) == ten);
    const auto lent = in_order(workers);
    CHECK(targets_of(looped<data::Example<>>(*lent)) == ten_twice);
    CHECK(targets_of(looped<data::Example<>>(std::shared_ptr(in_order(workers)))) == ten_twice);
  }
  CHECK(targets_of(looped<data::Example<>>(stream())) == ten_twice);
}

TEST_CASE("loaders of torch::data combine, and start anew in the middle of a pass") {
  for (const std::size_t workers : {0U, 2U}) {
    auto ahead = ab::prefetch(in_order(workers));
    auto doubled = ab::map(in_order(workers), [](const data::Example<>& batch) {
      return data::Example<>(batch.data, batch.target * 2);
    });
    auto some = ab::take(in_order(workers), 2);
    auto some_ahead = ab::prefetch(ab::take(in_order(workers), 2), {.device = torch::kCPU});
    auto share = ab::split(in_order(workers), 1, 3);
    for (int pass = 0; pass < 3; ++pass) {
      CHECK(targets_of(ahead) == ten);
      CHECK(targets_of(doubled) == Numbers{0, 2, 4, 6, 8, 10, 12, 14, 16, 18});
      CHECK(targets_of(some) == Numbers{0, 1, 2, 3, 4, 5});
      CHECK(targets_of(some_ahead) == Numbers{0, 1, 2, 3, 4, 5});
      CHECK(targets_of(share) == Numbers{3, 4, 5});
      ahead.begin();
    }
    CHECK(targets_of(ab::repeat(in_order(workers), 2)) == ten_twice);
    CHECK(targets_of(ab::chain(in_order(workers), ab::take(in_order(workers), 1))) ==
          Numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2});
  }
  auto streamed = ab::prefetch(stream());
  for (int pass = 0; pass < 2; ++pass) CHECK(targets_of(streamed) == ten);
}

TEST_CASE("any C++ range is a source, its batches as references or values") {
  using Ints = std::vector<int>;
  const Ints numbers{1, 2, 3}, twice{1, 2, 3, 1, 2, 3};
  CHECK(looped<int>(numbers) == twice);
  CHECK(looped<int>(std::list<int>{1, 2, 3}) == twice);
  CHECK(looped<int>(std::array{1, 2, 3}) == twice);
  CHECK(looped<int>(std::views::iota(1, 4)) == twice);
  CHECK(looped<int>(numbers | std::views::transform([](int each) { return 10 * each; })) ==
        Ints{10, 20, 30, 10, 20, 30});
  CHECK(looped<int>(numbers | std::views::filter([](int each) { return each != 2; })) == Ints{1, 3, 1, 3});
  std::istringstream text("1 2 3");
  CHECK(looped<int>(std::ranges::istream_view<int>(text)) == numbers);  // it has one pass only
  CHECK(looped<int>(ab::prefetch(numbers | std::views::transform([](int each) { return 10 * each; }))) ==
        Ints{10, 20, 30, 10, 20, 30});
}

}  // namespace source_tests
