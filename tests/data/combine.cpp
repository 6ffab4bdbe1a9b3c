#include <torch/torch.h>

#include <abyme/data/combine.hpp>

#include <abyme/data/tensor_batches.hpp>

#include <catch2/catch.hpp>

#include <support/error_of.hpp>

#include <cstdint>
#include <limits>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace combine_tests {
namespace {

template <class Range>
auto all_of(Range&& range) {
  std::vector<ab::reflect::BatchOf<std::remove_reference_t<Range>>> batches;
  for (const auto& batch : range) batches.push_back(batch);
  return batches;
}
using Ints = std::vector<int>;

using tests::error_of;

}  // namespace

TEST_CASE("map gives what its function makes of each batch, of any type, again in each pass") {
  auto doubled = ab::map(Ints{1, 2, 3}, [](int each) { return std::to_string(2 * each); });
  for (int pass = 0; pass < 2; ++pass) CHECK(all_of(doubled) == std::vector<std::string>{"2", "4", "6"});
  CHECK(doubled.total() == 3);
  CHECK(all_of(ab::map(Ints{}, [](int each) { return each; })).empty());
}

TEST_CASE("a mapped batch is let go before the next is drawn, so that its buffer can be used for it") {
  const auto rows = torch::arange(20);
  auto pairs = ab::map(ab::TensorBatches(rows, rows, {.batch_size = 2}),
                       [](const ab::Batch& batch) { return std::pair(batch.inputs, batch.targets); });
  std::set<const void*> buffers;
  for (const auto& [inputs, targets] : pairs) buffers.insert(inputs.data_ptr());
  CHECK(buffers.size() == 1);
}

TEST_CASE("take gives the first batches, and never draws one more") {
  int drawn = 0;
  auto counted = ab::map(Ints{1, 2, 3}, [&](int each) { return ++drawn, each; });
  CHECK(all_of(ab::take(counted, 2)) == Ints{1, 2});
  CHECK(drawn == 2);
  CHECK(all_of(ab::take(counted, 9)) == Ints{1, 2, 3});
  CHECK(all_of(ab::take(counted, 0)).empty());
  CHECK(ab::take(counted, 2).total() == 2);
  CHECK(ab::take(counted, 9).total() == 3);
  CHECK(error_of([&] { ab::take(counted, -1); }) == "take: count must be at least 0, got -1");
}

TEST_CASE("repeat goes through the data again and again, in a new order each time where it is shuffled") {
  CHECK(all_of(ab::repeat(Ints{1, 2}, 3)) == Ints{1, 2, 1, 2, 1, 2});
  CHECK(all_of(ab::repeat(Ints{1, 2}, 0)).empty());
  CHECK(all_of(ab::repeat(Ints{}, 3)).empty());
  CHECK(ab::repeat(Ints{1, 2}, 3).total() == 6);
  constexpr auto forever = std::numeric_limits<std::int64_t>::max();
  CHECK(all_of(ab::take(ab::repeat(Ints{1, 2}, forever), 5)) == Ints{1, 2, 1, 2, 1});
  CHECK(ab::repeat(Ints{1, 2}, forever).total() == std::nullopt);
  CHECK(all_of(ab::repeat(Ints{}, forever)).empty());
  CHECK(ab::repeat(Ints{}, forever).total() == 0);

  const auto numbers = torch::arange(6);
  ab::TensorBatches twice(numbers, numbers, {.batch_size = 6, .seed = 3});
  std::vector<at::Tensor> epochs, repeated;
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const ab::Batch& batch : twice) epochs.push_back(batch.inputs);
  }
  for (const ab::Batch& batch :
       ab::repeat(ab::TensorBatches(numbers, numbers, {.batch_size = 6, .seed = 3}), 2))
    repeated.push_back(batch.inputs);
  REQUIRE(repeated.size() == 2);
  CHECK(repeated[0].equal(epochs[0]));
  CHECK(repeated[1].equal(epochs[1]));
  CHECK_FALSE(repeated[0].equal(repeated[1]));
}

TEST_CASE("chain puts ranges of any kind one behind the other") {
  std::list<int> more{3, 4};
  auto chained = ab::chain(Ints{1, 2}, Ints{}, more, ab::take(Ints{5, 6}, 1));
  for (int pass = 0; pass < 2; ++pass) CHECK(all_of(chained) == Ints{1, 2, 3, 4, 5});
  CHECK(chained.total() == 5);
  more.push_back(9);  // an lvalue is borrowed
  CHECK(all_of(chained) == Ints{1, 2, 3, 4, 9, 5});
}

TEST_CASE("split shares the batches out: each worker has its own, none is lost") {
  const Ints data{0, 1, 2, 3, 4, 5, 6};
  CHECK(all_of(ab::split(data, 0, 3)) == Ints{0, 3, 6});
  CHECK(all_of(ab::split(data, 1, 3)) == Ints{1, 4});
  CHECK(all_of(ab::split(data, 2, 3)) == Ints{2, 5});
  CHECK(ab::split(data, 0, 3).total() == 3);
  CHECK(ab::split(data, 2, 3).total() == 2);
  CHECK(all_of(ab::split(data, 0, 1)) == data);
  CHECK(all_of(ab::split(data, 8, 9)).empty());
  CHECK(ab::split(data, 8, 9).total() == 0);
  CHECK(error_of([&] { ab::split(data, 3, 3); }) ==
        "split: rank must be from 0 to world_size - 1 = 2, got 3");
  CHECK(error_of([&] { ab::split(data, 0, 0); }) == "split: world_size must be at least 1, got 0");
}

TEST_CASE("a pass that is left in the middle starts anew") {
  auto chained = ab::chain(ab::repeat(Ints{1, 2}, 2), ab::map(Ints{7}, [](int each) { return each; }));
  auto at = chained.begin();
  ++at;
  ++at;
  CHECK(*at == 1);
  CHECK(all_of(chained) == Ints{1, 2, 1, 2, 7});
}

}  // namespace combine_tests
