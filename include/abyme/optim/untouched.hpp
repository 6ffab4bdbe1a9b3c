#pragma once

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <abyme/data/generator_state.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace abyme {

/// Puts back what a trial run of a model changes: buffers, the default random generators.
class Untouched {
public:
  explicit Untouched(const torch::nn::Module& model) {
    std::vector<at::Device> devices{at::kCPU};
    const auto add = [&](const at::Tensor& tensor) {
      if (std::ranges::find(devices, tensor.device()) == devices.end()) devices.push_back(tensor.device());
    };
    for (const at::Tensor& parameter : model.parameters()) {
      if (parameter.defined()) add(parameter);
    }
    for (const at::Tensor& buffer : model.buffers()) {
      if (!buffer.defined()) continue;
      add(buffer);
      buffers_.emplace_back(buffer, buffer.detach().clone());
    }
    for (const at::Device device : devices) {
      const at::Generator generator = at::globalContext().defaultGenerator(device);
      generators_.emplace_back(generator, generator_state(generator));
    }
  }
  ~Untouched() {
    const at::NoGradGuard no_grad;
    for (auto& [buffer, values] : buffers_) buffer.copy_(values);
    for (const auto& [generator, state] : generators_) set_generator_state(generator, state);
  }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;

private:
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;
  std::vector<std::pair<at::Generator, at::Tensor>> generators_;
};

}  // namespace abyme
