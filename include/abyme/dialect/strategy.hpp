#pragma once

#include <abyme/pass/autocast.hpp>
#include <abyme/write/logs.hpp>

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme::tasks {

/// One call of a managed step, as a strategy sees it: the types of model and batch erased.
class StepOnce {
public:
  virtual ~StepOnce() = default;
  /// Whether the optimizer is applied; otherwise nothing has a gradient.
  virtual bool trains() const = 0;
  /// Runs the function of the step, and returns what it logs.
  virtual Logs compute() = 0;
  virtual const std::shared_ptr<torch::nn::Module>& model() const = 0;
  virtual torch::optim::Optimizer& optimizer() = 0;
  /// The same step of a copy of the model, for an even share of the batch on that device. What it gathers in
  /// its statistics is told to this step by `merge`. \throws Error where the batch can't be split
  virtual std::unique_ptr<StepOnce> share(std::shared_ptr<torch::nn::Module> copy, std::size_t index,
                                          std::size_t count, at::Device device) = 0;
  virtual void merge(const StepOnce& share) = 0;
  /// Whether the function has updated statistics of the state.
  virtual bool has_gathered() const = 0;
  /// The same step with its batch in tensors of its own, and these.
  virtual std::unique_ptr<StepOnce> on_own_batch() = 0;
  virtual std::vector<at::Tensor> batch() const = 0;
};

/// The sum of all losses that a step has logged. \throws Error where there are none, or one has several
/// elements
inline at::Tensor sum_of_losses(const Logs& logs) {
  const Dict* losses = logs.collection("losses");
  if (!losses || losses->empty())
    throw Error("a training step: it must log a loss to be differentiated, got none; return "
                "ab::Logs().add_loss(\"loss\", loss)");
  at::Tensor sum;
  for (const auto& [name, value] : *losses) {
    const at::Tensor* loss = std::get_if<at::Tensor>(&value);
    if (!loss || loss->numel() != 1)
      throw Error(fmt::format(
          "a training step: a loss must be a tensor with one element, got {} for \"{}\"; take its "
          "mean or sum",
          to_text(value), name));
    sum = sum.defined() ? sum + *loss : *loss;
  }
  return sum;
}

/// How one step function is run; it lives as long as the function.
class StepRunner {
public:
  virtual ~StepRunner() = default;
  virtual Logs run(StepOnce& step) = 0;
};

/// How managed steps are run, a value: two of one name are the same.
struct Strategy {
  std::string name;
  std::function<std::unique_ptr<StepRunner>()> runner;
  bool gathers = true;  ///< whether a step may update the state's statistics
  friend bool operator==(const Strategy& a, const Strategy& b) { return a.name == b.name; }
};

namespace reflect {

// Runs the function, differentiates its losses, applies the optimizer.
class EagerRunner : public StepRunner {
public:
  explicit EagerRunner(std::optional<at::ScalarType> autocast) : autocast_(autocast) {}
  Logs run(StepOnce& step) override {
    const at::AutoGradMode with_gradients(step.trains());
    if (step.trains()) step.optimizer().zero_grad();
    Logs logs;
    {
      const auto& parameters = step.model()->parameters();
      const Autocast cast(autocast_, parameters.empty() ? at::kCPU : parameters[0].device().type());
      logs = step.compute();
    }
    if (step.trains()) {
      sum_of_losses(logs).backward();
      step.optimizer().step();
    }
    return logs.detach();
  }

private:
  std::optional<at::ScalarType> autocast_;
};

}  // namespace reflect

/// As it is written.
inline Strategy eager() {
  return {"eager", [] { return std::make_unique<reflect::EagerRunner>(std::nullopt); }};
}

/// The function in bfloat16, where LibTorch holds that to be sound; losses and gradients of the parameters
/// stay in their dtype. (float16 needs a loss scale: take `ab::SupervisedPass` with `.autocast =
/// torch::kHalf`.) \throws Error for another dtype
inline Strategy autocast(at::ScalarType dtype = at::kBFloat16) {
  if (dtype != at::kBFloat16)
    throw Error(
        fmt::format("autocast: the dtype must be BFloat16, got {}; float16 needs a loss scale, which an "
                    "ab::SupervisedPass has",
                    toString(dtype)));
  return {"autocast", [dtype] { return std::make_unique<reflect::EagerRunner>(dtype); }};
}

namespace reflect {
inline std::map<std::string, std::function<Strategy()>>& strategies() {
  static std::map<std::string, std::function<Strategy()>> all{{"eager", eager},
                                                              {"autocast", [] { return autocast(); }}};
  return all;
}
}  // namespace reflect

/// Makes a strategy of one's own known under a name. \throws Error where the name is taken
inline void register_strategy(const std::string& name, std::function<Strategy()> make) {
  if (!reflect::strategies().try_emplace(name, std::move(make)).second)
    throw Error(fmt::format("register_strategy: a name is given once, got \"{}\" again; take another", name));
}
/// The strategy of a name, made afresh. \throws Error where there is none
inline Strategy get_strategy(const std::string& name) {
  const auto& all = reflect::strategies();
  if (const auto found = all.find(name); found != all.end()) return found->second();
  std::string names;
  for (const auto& each : all) names.append(names.empty() ? "" : ", ").append(each.first);
  throw Error(fmt::format("get_strategy: it must be one of {}, got \"{}\"; register it, or take one of these",
                          names, name));
}

}  // namespace abyme::tasks
