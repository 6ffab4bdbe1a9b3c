#pragma once

#include <torch/torch.h>

#include "../../examples/mnist/digits.hpp"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace bench {

/// 8,000 digits: the first of those in the folder that ABYME_MNIST_DIR names, otherwise drawn ones. Images
/// [8000, 28, 28] uint8 and labels [8000] int64.
inline abyme::LabelledImages digits() {
  constexpr std::int64_t count = 8'000;
  const char* folder = std::getenv("ABYME_MNIST_DIR");
  if (!folder || !*folder) return draw_digits(count, 1);
  const std::filesystem::path path(folder);
  const auto all =
      abyme::read_labelled_idx(path / "train-images-idx3-ubyte", path / "train-labels-idx1-ubyte");
  return {all.images.slice(0, 0, count), all.labels.slice(0, 0, count)};
}

/// A dataset as LibTorch's own examples have it: an item a call.
struct Items : torch::data::datasets::Dataset<Items> {
  torch::Tensor inputs, targets;
  Items(torch::Tensor inputs, torch::Tensor targets)
      : inputs(std::move(inputs)), targets(std::move(targets)) {}
  torch::data::Example<> get(std::size_t index) override {
    const auto row = std::int64_t(index);
    return {inputs[row], targets[row]};
  }
  torch::optional<std::size_t> size() const override { return std::size_t(inputs.size(0)); }
};

}  // namespace bench
