#include <abyme/data/prefetch.hpp>

#include <abyme/data/tensor_batches.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>

#include "support/trace.hpp"  // behind LibTorch, which has a CHECK of its own

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace ab = abyme;

namespace prefetch_tests {

using Ints = std::vector<int>;

namespace {

Ints numbers(int count) {
  Ints all;
  for (int i = 0; i < count; ++i) all.push_back(i);
  return all;
}

template <class Range>
auto all_of(Range&& range) {
  Ints batches;
  for (const auto& batch : range) batches.push_back(batch);
  return batches;
}

}  // namespace

TEST_CASE("order and batches are those of the source, at any depth, in each pass") {
  for (const std::int64_t depth : {1, 2, 7, 1000}) {
    auto ahead = ab::prefetch(numbers(100), {.depth = depth});
    for (int pass = 0; pass < 3; ++pass) CHECK(all_of(ahead) == numbers(100));
    CHECK(ahead.total() == 100);
  }
  CHECK(all_of(ab::prefetch(Ints{})).empty());
  CHECK_THROWS_WITH(ab::prefetch(Ints{}, {.depth = 0}), "prefetch: depth must be at least 1, got 0");
}

TEST_CASE(
    "a shuffled source is drawn as it would be without, and no batch is written over while it is held") {
  const auto data = torch::arange(1000).unsqueeze(1).to(torch::kFloat);
  const auto make = [&] { return ab::TensorBatches(data, data, {.batch_size = 7, .seed = 5}); };
  auto plain = make();
  auto ahead = ab::prefetch(make(), {.depth = 3});
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<at::Tensor> kept, expected;
    for (const ab::Batch& batch : plain) expected.push_back(batch.inputs.clone());
    for (const ab::Batch& batch : ahead) kept.push_back(batch.inputs);
    CHECK(torch::cat(kept).equal(torch::cat(expected)));
  }
}

TEST_CASE("an exception of the source comes out where its batch would have come; the next pass goes well") {
  bool broken = true;
  auto ahead = ab::prefetch(ab::map(numbers(10), [&](int each) {
    if (broken && each == 3) throw std::runtime_error("no third");
    return each;
  }));
  Ints seen;
  CHECK_THROWS_WITH(
      [&] {
        for (const int each : ahead) seen.push_back(each);
      }(),
      "no third");
  CHECK(seen == Ints{0, 1, 2});
  broken = false;
  CHECK(all_of(ahead) == numbers(10));
}

TEST_CASE("left in the middle, the thread stops: at a new pass, and with the range") {
  std::atomic<int> drawn = 0;
  auto counted = ab::map(numbers(1000), [&](int each) { return ++drawn, each; });
  {
    auto ahead = ab::prefetch(counted, {.depth = 4});
    auto at = ahead.begin();
    CHECK(*++at == 1);
    CHECK(*ahead.begin() == 0);
  }
  const int then = drawn;
  CHECK(then <= 2 * (2 + 4 + 1));  // per pass: those taken, those ready, the one that waits
  CHECK(all_of(counted) == numbers(1000));
  CHECK(drawn == then + 1000);
}

TEST_CASE("what holds in the run holds in the thread: gradients off, denormals flushed") {
  const at::NoGradGuard no_grad;
  const ab::FlushDenormals flush;
  const auto tiny = torch::full({1}, 1e-39F);
  auto ahead = ab::prefetch(
      ab::map(Ints{0}, [&](int) { return std::pair(at::GradMode::is_enabled(), (tiny * 1).item<float>()); }));
  for (const auto& [gradients, product] : ahead) {
    CHECK_FALSE(gradients);
    CHECK(product == 0);
  }
}

TEST_CASE("a looper draws from it, and knows its total") {
  tests::Trace trace;
  ab::DataLooper data(ab::prefetch(numbers(3)));
  data("start", trace("start", "total")).at("iteration_end", [&](ab::DataLooper::Node& node) {
    trace.add(std::to_string(node.batch<int>()));
  });
  ab::IterationLooper epochs(2);
  epochs("iteration_end", data);
  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
  CHECK_THAT(trace, tests::happened("start 3\n 0\n 1\n 2\n start 3\n 0\n 1\n 2"));
}

}  // namespace prefetch_tests
