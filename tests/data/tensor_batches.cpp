#include <torch/torch.h>

#include <abyme/data/tensor_batches.hpp>

#include <catch2/catch.hpp>

#include <limits>
#include <ranges>
#include <vector>

namespace ab = abyme;

namespace tensor_batches_tests {

using Rows = std::vector<std::int64_t>;

namespace {

static_assert(std::ranges::input_range<ab::TensorBatches>);
static_assert(!std::copy_constructible<ab::TensorBatches>);

/// Inputs [n, 2] float whose row i is (i, -i), targets i.
ab::TensorBatches counting(std::int64_t n, ab::TensorBatchesOptions options) {
  const auto rows = torch::arange(n);
  return {torch::stack({rows, -rows}, 1).to(torch::kFloat), rows, options};
}

Rows numbers(const at::Tensor& tensor) {
  const auto flat = tensor.to(torch::kLong).contiguous();
  return {flat.data_ptr<std::int64_t>(), flat.data_ptr<std::int64_t>() + flat.numel()};
}

/// One epoch: the targets in order of their coming. Each input must be that of its target.
Rows epoch(ab::TensorBatches& source) {
  Rows all;
  for (const ab::Batch& batch : source) {
    const auto rows = batch.targets.to(torch::kFloat);
    CHECK(torch::equal(batch.inputs, torch::stack({rows, -rows}, 1)));
    for (const auto row : numbers(batch.targets)) all.push_back(row);
  }
  return all;
}

std::vector<std::int64_t> lengths(ab::TensorBatches& source) {
  std::vector<std::int64_t> all;
  for (const auto& batch : source) all.push_back(batch.targets.size(0));
  return all;
}

}  // namespace

TEST_CASE("each epoch has the order that Python's generator of the same seed draws") {
  // g = torch.Generator().manual_seed(7); [torch.randperm(10, generator=g).tolist() for _ in range(3)]
  auto source = counting(10, {.batch_size = 3, .seed = 7});
  CHECK(epoch(source) == Rows{5, 0, 3, 4, 1, 7, 9, 6, 8, 2});
  CHECK(epoch(source) == Rows{1, 8, 9, 5, 7, 4, 0, 3, 6, 2});
  CHECK(epoch(source) == Rows{3, 7, 6, 2, 9, 0, 5, 4, 1, 8});

  auto large = counting(40'000, {.batch_size = 1'000, .seed = 1});
  const auto order = epoch(large);
  CHECK(Rows(order.begin(), order.begin() + 4) == Rows{15845, 23214, 4822, 3791});
  CHECK(Rows(order.end() - 4, order.end()) == Rows{16749, 29066, 17583, 10834});

  auto high_seed = counting(7, {.seed = (std::uint64_t{1} << 63) + 5});
  CHECK(epoch(high_seed) == Rows{1, 0, 4, 2, 6, 5, 3});
}

TEST_CASE("the default seed is 0, and other generators neither disturb nor are disturbed") {
  auto source = counting(5, {.batch_size = 2});
  torch::manual_seed(3);
  const auto undisturbed = torch::rand(2);
  torch::manual_seed(3);
  CHECK(epoch(source) == Rows{4, 0, 1, 3, 2});
  CHECK(torch::equal(torch::rand(2), undisturbed));
  CHECK(epoch(source) == Rows{3, 4, 0, 1, 2});
}

TEST_CASE("begin after a part of an epoch starts a fresh one with the next order") {
  auto source = counting(10, {.batch_size = 3, .seed = 7});
  for (const auto& batch : source) {
    CHECK(numbers(batch.targets) == Rows{5, 0, 3});
    break;
  }
  CHECK(epoch(source) == Rows{1, 8, 9, 5, 7, 4, 0, 3, 6, 2});
}

TEST_CASE("without shuffle the batches are the data in its order, uncopied") {
  const auto images = torch::arange(14).reshape({7, 2}), labels = torch::arange(7);
  ab::TensorBatches source(images, labels, {.batch_size = 4, .shuffle = false});
  auto it = source.begin();
  CHECK(it->inputs.data_ptr() == images.data_ptr());
  CHECK(numbers((*it).targets) == Rows{0, 1, 2, 3});
  ++it;
  CHECK(numbers(it->inputs) == Rows{8, 9, 10, 11, 12, 13});
  CHECK(it->inputs.sizes() == at::IntArrayRef{3, 2});
  ++it;
  CHECK(it == source.end());
}

TEST_CASE("the last batch is kept or dropped") {
  auto kept = counting(10, {.batch_size = 4}), dropped = counting(10, {.batch_size = 4, .drop_last = true});
  CHECK(lengths(kept) == std::vector<std::int64_t>{4, 4, 2});
  CHECK(kept.size() == 3);
  CHECK(kept.samples() == 10);
  CHECK(lengths(dropped) == std::vector<std::int64_t>{4, 4});
  CHECK(dropped.size() == 2);
  CHECK(dropped.samples() == 10);

  auto exact = counting(8, {.batch_size = 4}), one = counting(3, {.batch_size = 4}),
       none = counting(3, {.batch_size = 4, .drop_last = true}),
       huge = counting(3, {.batch_size = std::numeric_limits<std::int64_t>::max()});
  CHECK(lengths(exact) == std::vector<std::int64_t>{4, 4});
  CHECK(lengths(one) == std::vector<std::int64_t>{3});
  CHECK(lengths(none).empty());
  CHECK(none.size() == 0);
  CHECK(lengths(huge) == std::vector<std::int64_t>{3});
  CHECK(huge.size() == 1);
}

TEST_CASE("no samples give no batches") {
  for (const bool shuffle : {false, true}) {
    auto source = counting(0, {.shuffle = shuffle});
    CHECK(lengths(source).empty());
    CHECK(source.size() == 0);
    CHECK(source.samples() == 0);
  }
}

TEST_CASE("dtypes and shapes stay as they are") {
  for (const auto dtype : {torch::kByte, torch::kInt, torch::kDouble, torch::kHalf}) {
    ab::TensorBatches source(torch::zeros({5, 1, 2, 3}, dtype), torch::zeros({5, 4}, torch::kBool),
                             {.batch_size = 2});
    CHECK(source.begin()->inputs.scalar_type() == dtype);
    CHECK(source.begin()->inputs.sizes() == at::IntArrayRef{2, 1, 2, 3});
    CHECK(source.begin()->targets.scalar_type() == torch::kBool);
    CHECK(source.begin()->targets.sizes() == at::IntArrayRef{2, 4});
  }
}

TEST_CASE("a kept tensor outlives the draw") {
  auto source = counting(4, {.batch_size = 2, .seed = 7});
  auto it = source.begin();
  const ab::Batch kept = *it;
  const auto rows = numbers(kept.targets);
  ++it;
  CHECK(numbers(kept.targets) == rows);
  CHECK(numbers(it->targets) != rows);
}

TEST_CASE("a moved source goes on with the next order") {
  auto source = counting(10, {.batch_size = 3, .seed = 7});
  epoch(source);
  auto moved = std::move(source);
  CHECK(epoch(moved) == Rows{1, 8, 9, 5, 7, 4, 0, 3, 6, 2});
}

TEST_CASE("what cannot be batched is refused when the source is made") {
  const auto make = [](at::Tensor inputs, at::Tensor targets, ab::TensorBatchesOptions options = {}) {
    ab::TensorBatches(inputs, targets, options);
  };
  const auto rows = torch::zeros({3, 2});
  CHECK_THROWS_WITH(make(rows, torch::zeros(2)),
                    "TensorBatches: inputs and targets must hold the same number of "
                    "samples, got 3 and 2; give one target for each input");
  CHECK_THROWS_WITH(
      make(rows, torch::zeros(3), {.batch_size = 0}),
      "TensorBatches: batch_size must be at least 1, got 0; pass inputs.size(0) for one batch an epoch");
  CHECK_THROWS_WITH(make(torch::tensor(1.0), rows),
                    "TensorBatches: inputs must be [samples, ...], got a tensor "
                    "without dimensions; unsqueeze a single sample");
  CHECK_THROWS_WITH(make(rows, torch::tensor(1.0)),
                    "TensorBatches: targets must be [samples, ...], got a tensor "
                    "without dimensions; unsqueeze a single sample");
  CHECK_THROWS_WITH(make(rows, {}), "TensorBatches: targets must be [samples, ...], got an undefined tensor; "
                                    "unsqueeze a single sample");
  CHECK_THROWS_WITH(
      make(rows, torch::zeros(3, torch::kMeta)),
      "TensorBatches: inputs and targets must be on one device, got cpu and meta; move one with "
      ".to(device)");
  CHECK_THROWS_WITH(make(rows.to_sparse(), torch::zeros(3)),
                    "TensorBatches: inputs must be dense, got Sparse; make them so with .to_dense()");
  CHECK_THROWS_AS(make(rows, torch::zeros(2)), ab::Error);
}

}  // namespace tensor_batches_tests
