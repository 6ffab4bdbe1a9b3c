#pragma once

#include <abyme/dialect/strategy.hpp>

#include <ATen/ops/cat.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace abyme::tasks {

namespace reflect {

// A share of each batch on each device, in a thread each; the first one works on the model itself.
class DataParallelRunner : public StepRunner {
public:
  explicit DataParallelRunner(std::vector<at::Device> devices) : devices_(std::move(devices)) {}

  Logs run(StepOnce& step) override {
    const auto& model = step.model();
    if (copies_of_.lock() != model) make_copies(model);
    std::vector<std::unique_ptr<StepOnce>> shares;
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      if (i > 0) copy_to(*copies_[i - 1], *model);
      shares.push_back(step.share(i == 0 ? model : copies_[i - 1], i, devices_.size(), devices_[i]));
    }
    if (step.trains()) step.optimizer().zero_grad();
    std::vector<Logs> logs(shares.size());
    std::vector<std::exception_ptr> errors(shares.size());
    const auto compute = [&](std::size_t i) {
      try {
        const at::AutoGradMode with_gradients(step.trains());
        logs[i] = shares[i]->compute();
        if (step.trains()) sum_of_losses(logs[i]).backward();
      } catch (...) {
        errors[i] = std::current_exception();
      }
    };
    // Devices of one kind have a queue each, so that one thread could feed them all; backward() waits for its
    // own.
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < shares.size(); ++i) threads.emplace_back(compute, i);
    compute(0);
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors) {
      if (error) std::rethrow_exception(error);
    }
    if (step.trains()) {
      average_gradients(*model);
      step.optimizer().step();
      average_buffers(*model);
    }
    for (const auto& share : shares) step.merge(*share);
    return joined(logs);
  }

private:
  void make_copies(const std::shared_ptr<torch::nn::Module>& model) {
    const std::vector<at::Tensor> parameters = model->parameters();
    if (!parameters.empty() && parameters[0].device() != devices_[0])
      throw Error(
          fmt::format("data_parallel: the model must be on the first device, {}, got it on {}; move it there",
                      devices_[0].str(), parameters[0].device().str()));
    copies_.clear();
    for (std::size_t i = 1; i < devices_.size(); ++i) copies_.push_back(model->clone(devices_[i]));
    copies_of_ = model;
  }
  static void copy_to(torch::nn::Module& copy, const torch::nn::Module& model) {
    const at::NoGradGuard no_grad;
    if (copy.is_training() != model.is_training()) copy.train(model.is_training());
    const auto from = model.parameters(), to = copy.parameters(), from_buffers = model.buffers(),
               to_buffers = copy.buffers();
    for (std::size_t i = 0; i < from.size(); ++i) {
      to[i].copy_(from[i], /*non_blocking=*/true);
      to[i].mutable_grad() = at::Tensor();
    }
    for (std::size_t i = 0; i < from_buffers.size(); ++i) to_buffers[i].copy_(from_buffers[i], true);
  }
  void average_gradients(torch::nn::Module& model) const {
    const at::NoGradGuard no_grad;
    const auto own = model.parameters();
    for (std::size_t p = 0; p < own.size(); ++p) {
      at::Tensor sum = own[p].grad();
      for (const auto& copy : copies_) {
        const at::Tensor other = copy->parameters()[p].grad();
        if (other.defined())
          sum = sum.defined() ? sum.add_(other.to(own[p].device())) : other.to(own[p].device());
      }
      if (sum.defined()) own[p].mutable_grad() = sum.div_(double(devices_.size()));
    }
  }
  void average_buffers(torch::nn::Module& model) const {
    const at::NoGradGuard no_grad;
    const auto own = model.buffers();
    for (std::size_t b = 0; b < own.size(); ++b) {
      if (!own[b].is_floating_point()) continue;  // counters are the same on all
      for (const auto& copy : copies_) own[b].add_(copy->buffers()[b].to(own[b].device()));
      own[b].div_(double(devices_.size()));
    }
  }
  // Losses and metrics are means, outputs are joined, of all else the first device's is taken.
  static Logs joined(const std::vector<Logs>& logs) {
    Logs all;
    for (const auto& [collection, entries] : logs[0]) {
      for (const auto& [name, first] : entries) {
        std::vector<at::Tensor> tensors;
        double sum = 0;
        for (const Logs& each : logs) {
          const Dict* there = each.collection(collection);
          const Value* value = there ? there->find(name) : nullptr;
          if (!value)
            throw Error(
                fmt::format("data_parallel: all shares of a batch log the same entries, got \"{}\" from some "
                            "only; log it always",
                            name));
          if (const auto* tensor = std::get_if<at::Tensor>(value))
            tensors.push_back(tensor->detach().to(std::get<at::Tensor>(first).device()));
          else sum += number(*value).value_or(0);
        }
        const bool is_mean = collection == "losses" || collection == "metrics";
        if (is_mean && !tensors.empty()) all.add(collection, name, at::stack(tensors).mean(0));
        else if (is_mean && number(first)) all.add(collection, name, sum / double(logs.size()));
        else if (collection == "outputs" && !tensors.empty()) all.add(collection, name, at::cat(tensors));
        else all.add(collection, name, first);
      }
    }
    return all.detach();
  }

  std::vector<at::Device> devices_;
  std::weak_ptr<torch::nn::Module> copies_of_;
  std::vector<std::shared_ptr<torch::nn::Module>> copies_;
};

}  // namespace reflect

/// Each device computes an even share of the batch on a copy of the model; gradients and buffers are
/// averaged, so that a loss which is a mean gives what one device gives for the whole batch. The model, with
/// modules that LibTorch can clone, is on the first device. Logged losses and metrics are means over the
/// devices, outputs joined. The function of the step is called by a thread for each device at once: what it
/// changes besides its state must bear that. \param devices all CUDA devices of the machine unless given.
/// \throws Error where there are none, or a batch can't be split evenly
inline Strategy data_parallel(std::vector<at::Device> devices = {}) {
  if (devices.empty()) {
    const auto count = at::hasCUDA() ? at::globalContext().getAcceleratorHooksInterface().deviceCount() : 0;
    for (c10::DeviceIndex i = 0; i < count; ++i) devices.emplace_back(at::kCUDA, i);
    if (devices.empty())
      throw Error("data_parallel: it needs CUDA devices, got none on this machine; name the devices, or take "
                  "ab::tasks::eager()");
  }
  std::string name = "data_parallel";
  for (const at::Device& device : devices) name += " " + device.str();
  return {std::move(name), [devices] { return std::make_unique<reflect::DataParallelRunner>(devices); }};
}

namespace reflect {
inline const bool data_parallel_has_a_name =
    (register_strategy("data_parallel", [] { return data_parallel(); }), true);
}

}  // namespace abyme::tasks
