#include <abyme/data/batch.hpp>
#include <abyme/data/batch_size.hpp>

#include <catch2/catch.hpp>
#include <torch/torch.h>

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace batch_size_tests {
namespace {
struct Sentence {
  std::string text;
  torch::Tensor tokens;
  std::vector<int> shape;
};
struct Counted {
  std::int64_t batch_size() const { return 7; }
  torch::Tensor nodes;
};
struct Nothing {};
}  // namespace

TEST_CASE("the samples in a batch are the largest first dimension of its tensors", "[data]") {
  const auto tensor = [](auto... sizes) { return torch::zeros({sizes...}); };
  CHECK(ab::batch_size(tensor(3, 2)) == 3);
  CHECK(ab::batch_size(tensor(0, 2)) == 0);
  CHECK(ab::batch_size(torch::tensor(1.0)) == 1);
  CHECK(ab::batch_size(std::pair{tensor(3, 2), tensor(4, 1)}) == 4);
  CHECK(ab::batch_size(std::tuple{tensor(2), 5, tensor(1, 9)}) == 2);
  CHECK(ab::batch_size(std::map<std::string, torch::Tensor>{{"x", tensor(3, 2)}, {"y", tensor(4, 1)}}) == 4);
  CHECK(ab::batch_size(ab::Batch{tensor(6, 2), tensor(6)}) == 6);
  CHECK(ab::batch_size(torch::data::Example<>(tensor(5, 2), tensor(5))) == 5);
  CHECK(ab::batch_size(Sentence{"words", tensor(2, 8), {1, 2, 3, 4}}) == 2);
}

TEST_CASE("a batch may say itself how many samples it has", "[data]") {
  CHECK(ab::batch_size(Counted{torch::zeros({100, 2})}) == 7);
}

TEST_CASE("a list has its size, and of other batches nothing tells", "[data]") {
  CHECK(ab::batch_size(std::vector{1.0, 2.0, 3.0}) == 3);
  CHECK(ab::batch_size(std::vector<torch::data::Example<>>(8)) == 8);
  CHECK(ab::batch_size(std::string("a text is one sample")) == std::nullopt);
  CHECK(ab::batch_size(std::map<std::string, torch::Tensor>{}) == std::nullopt);
  CHECK(ab::batch_size(Nothing{}) == std::nullopt);
  CHECK(ab::batch_size(3) == std::nullopt);
}

}  // namespace batch_size_tests
