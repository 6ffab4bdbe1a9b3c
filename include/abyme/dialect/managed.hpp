#pragma once

#include <abyme/data/to_device.hpp>
#include <abyme/dialect/strategy.hpp>
#include <abyme/dialect/task.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/stats/metrics/any_metric.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme::tasks {

/// Named metrics that gather over steps, in the order in which they were added.
class Statistics {
public:
  /// \throws Error where the name is taken
  template <metrics::Metric M>
  void add(std::string name, M metric) {
    for (const Statistic& each : all_) {
      if (each.name == name)
        throw Error(fmt::format("Statistics: names are given once, got \"{}\" again; take another", name));
    }
    all_.push_back({std::move(name), metrics::AnyMetric(metric), metrics::AnyMetric(metric), false});
  }
  /// The metric of that name, to be updated; a managed step that has updated it logs its value under
  /// "stateful_metrics". \throws Error where there is none
  metrics::AnyMetric& operator[](std::string_view name) {
    for (Statistic& each : all_) {
      if (each.name != name) continue;
      each.is_updated = true;
      return each.metric;
    }
    std::string names;
    for (const Statistic& each : all_) names.append(names.empty() ? "" : ", ").append(each.name);
    throw Error(
        fmt::format("Statistics: a metric must be one of {}, got \"{}\"; add it where the state is made",
                    names.empty() ? "none" : names, name));
  }
  void reset() {
    for (Statistic& each : all_) each.metric = each.first;
  }
  /// The values of those that were asked for since the last call.
  Logs take_updated() {
    Logs logs;
    for (Statistic& each : all_) {
      if (std::exchange(each.is_updated, false))
        logs.add_stateful_metric(each.name, to_value(each.metric.value()));
    }
    return logs;
  }
  /// Whether one was asked for since the values were taken.
  bool any_updated() const {
    return std::any_of(all_.begin(), all_.end(), [](const Statistic& each) { return each.is_updated; });
  }
  /// Adds what `other`, which began empty, has gathered.
  void merge(const Statistics& other) {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (!other.all_[i].is_updated) continue;
      all_[i].metric.merge(other.all_[i].metric);
      all_[i].is_updated = true;
    }
  }

  void save(Kept& kept) const {
    for (const Statistic& each : all_) keep(kept, each.name, each.metric);
  }
  void load(const Kept& kept) {
    for (Statistic& each : all_) {
      if (kept.data.find(each.name)) put_back(kept, each.name, each.metric);
    }
  }

private:
  struct Statistic {
    std::string name;
    metrics::AnyMetric metric, first;
    bool is_updated;
  };
  std::vector<Statistic> all_;
};

/// A state that knows how its steps are run: `Managed`, or any struct with these members.
template <class State>
concept ManagedLike = std::copy_constructible<State> && requires(State& state) {
  { state.model } -> ModelLike;
  { *state.optimizer } -> std::convertible_to<torch::optim::Optimizer&>;
  { state.strategy } -> std::convertible_to<const Strategy&>;
  { ++state.step };
  { state.statistics } -> std::convertible_to<const Statistics&>;
};

/// A state that knows how its steps are run, for functions of one's own: made by `ab::tasks::managed(model,
/// optimizer)`.
template <class Model>
struct Managed {
  Model model;  ///< a module holder; a copy of the state has the same model and optimizer
  std::shared_ptr<torch::optim::Optimizer> optimizer;
  Strategy strategy = eager();
  std::int64_t step = 0;  ///< how often the optimizer was applied
  Statistics statistics = {};

  /// The same with another strategy.
  Managed with_strategy(Strategy other) const {
    Managed copy = *this;
    copy.strategy = std::move(other);
    return copy;
  }
  Managed with_strategy(const std::string& name) const { return with_strategy(get_strategy(name)); }
};

/// `torch::nn::Sequential` and all that `TORCH_MODULE` makes.
template <class Model>
concept ModuleHolderLike = ModelLike<Model> && requires(const std::remove_cvref_t<Model>& model) {
  typename std::remove_cvref_t<Model>::ContainedType;
  model.ptr();
};

/// \param model a module holder, which is shared; \param optimizer as in a pass: an rvalue is owned, an
/// lvalue borrowed
template <ModuleHolderLike Model, OptimizerLike Optimizer>
Managed<std::remove_cvref_t<Model>> managed(Model&& model, Optimizer&& optimizer,
                                            Strategy strategy = eager()) {
  return {std::forward<Model>(model), own_or_borrow(std::forward<Optimizer>(optimizer)), std::move(strategy)};
}

namespace reflect {

template <class State, class Batch, class F>
class StepOf final : public StepOnce {
  using Model = decltype(State::model);

public:
  StepOf(F& function, State& state, const Batch& batch, const Elapsed& elapsed, bool trains)
      : function_(function),
        state_(state),
        batch_(batch),
        elapsed_(elapsed),
        trains_(trains),
        model_(state.model.ptr()) {}

  bool trains() const override { return trains_; }
  Logs compute() override {
    if constexpr (std::invocable<F&, State&, const Batch&, const Elapsed&>)
      return function_(state_, batch_, elapsed_);
    else if constexpr (std::invocable<F&, State&, const Batch&>) return function_(state_, batch_);
    else return function_(state_);
  }
  const std::shared_ptr<torch::nn::Module>& model() const override { return model_; }
  torch::optim::Optimizer& optimizer() override { return *state_.optimizer; }

  std::unique_ptr<StepOnce> share(std::shared_ptr<torch::nn::Module> copy, std::size_t index,
                                  std::size_t count, at::Device device) override {
    State state = state_;
    state.model = Model(std::dynamic_pointer_cast<typename Model::ContainedType>(std::move(copy)));
    state.statistics.reset();
    state.statistics.take_updated();
    Batch batch = batch_;
    abyme::reflect::each_tensor(batch, [&](at::Tensor& tensor) {
      const std::int64_t size = tensor.dim() > 0 ? tensor.size(0) : 1, shares = std::int64_t(count);
      if (tensor.dim() == 0 || size % shares != 0)
        throw Error(
            fmt::format("data_parallel: a batch is split evenly over the devices, got {} samples for {}; "
                        "choose the batch size so, and {{.drop_last = true}}",
                        size, shares));
      tensor = tensor.narrow(0, std::int64_t(index) * (size / shares), size / shares).to(device);
    });
    return std::make_unique<Owning>(function_, std::move(state), std::move(batch), elapsed_, trains_);
  }
  void merge(const StepOnce& share) override {
    state_.statistics.merge(static_cast<const Owning&>(share).state.statistics);
  }
  bool has_gathered() const override { return state_.statistics.any_updated(); }
  std::unique_ptr<StepOnce> on_own_batch() override {
    Batch batch = batch_;
    abyme::reflect::each_tensor(batch, [](at::Tensor& tensor) { tensor = tensor.clone(); });
    return std::make_unique<Owning>(function_, state_, std::move(batch), elapsed_, trains_);
  }
  std::vector<at::Tensor> batch() const override {
    std::vector<at::Tensor> all;
    Batch shared = batch_;
    abyme::reflect::each_tensor(shared, [&](at::Tensor& tensor) { all.push_back(tensor); });
    return all;
  }

private:
  class Owning final : public StepOnce {
  public:
    Owning(F& function, State made_state, Batch made_batch, const Elapsed& elapsed, bool trains)
        : state(std::move(made_state)),
          own_batch(std::move(made_batch)),
          own_elapsed(elapsed),
          step(function, state, own_batch, own_elapsed, trains) {}
    bool trains() const override { return step.trains(); }
    Logs compute() override { return step.compute(); }
    const std::shared_ptr<torch::nn::Module>& model() const override { return step.model(); }
    torch::optim::Optimizer& optimizer() override { return step.optimizer(); }
    std::unique_ptr<StepOnce> share(std::shared_ptr<torch::nn::Module> copy, std::size_t index,
                                    std::size_t count, at::Device device) override {
      return step.share(std::move(copy), index, count, device);
    }
    void merge(const StepOnce& share) override { step.merge(share); }
    bool has_gathered() const override { return step.has_gathered(); }
    std::unique_ptr<StepOnce> on_own_batch() override { return step.on_own_batch(); }
    std::vector<at::Tensor> batch() const override { return step.batch(); }

    State state;
    Batch own_batch;
    Elapsed own_elapsed;
    StepOf step;
  };

  F& function_;
  State& state_;
  const Batch& batch_;
  const Elapsed& elapsed_;
  bool trains_;
  std::shared_ptr<torch::nn::Module> model_;
};

// A module's mode, put back behind: what is frozen inside stays so.
class Mode {
public:
  Mode(torch::nn::Module& module, bool training) {
    if (module.is_training() == training) return;
    for (const auto& each : module.modules()) before_.emplace_back(each, each->is_training());
    module.train(training);
  }
  ~Mode() {
    for (const auto& [module, training] : before_) {  // parents first: a module sets all below it
      if (module->is_training() != training) module->train(training);
    }
  }
  Mode(const Mode&) = delete;
  Mode& operator=(const Mode&) = delete;

private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> before_;
};

// What runs a step function: made anew for each strategy, and for each copy of the function.
class RunnerOf {
public:
  RunnerOf() = default;
  RunnerOf(const RunnerOf&) {}
  RunnerOf& operator=(const RunnerOf&) {
    runner_.reset();
    return *this;
  }
  StepRunner& operator()(const Strategy& strategy) {
    if (!runner_ || name_ != strategy.name) {
      runner_ = strategy.runner();
      name_ = strategy.name;
    }
    return *runner_;
  }

private:
  std::unique_ptr<StepRunner> runner_;
  std::string name_;
};

}  // namespace reflect

/// A step function of a `Managed` state, see `train_step` and `step`.
template <class F, bool Trains>
class ManagedStep {
public:
  ManagedStep()
    requires std::default_initializable<F>
  = default;
  explicit ManagedStep(F function) : function_(std::move(function)) {}

  template <ManagedLike State, class Batch>
  Logs operator()(State& state, const Batch& batch, const Elapsed& elapsed = {}) {
    const reflect::Mode mode(*state.model, Trains);
    reflect::StepOf<State, Batch, F> step(function_, state, batch, elapsed, Trains);
    Logs logs = runner_(state.strategy).run(step);
    if (Trains) ++state.step;
    return logs.merge(state.statistics.take_updated());
  }

private:
  F function_;
  reflect::RunnerOf runner_;
};

namespace reflect {
template <>
inline constexpr bool is_code<Strategy> = true;
template <class F, bool Trains>
inline constexpr bool is_code<ManagedStep<F, Trains>> = true;
}  // namespace reflect

/// A step function that trains a `Managed` state: `function`, of the first of (state, batch, elapsed),
/// returns `ab::Logs` with at least one loss; the sum of all its losses is differentiated, and the optimizer
/// applied, as the state's strategy says. The model is in training mode meanwhile, and put back.
///
///     auto train = ab::tasks::train_step([](auto& state, const ab::Batch& batch) {
///       const auto outputs = state.model->forward(batch.inputs);
///       state.statistics["accuracy"].update(outputs, batch.targets);
///       return ab::Logs().add_loss("loss", torch::cross_entropy_loss(outputs, batch.targets), {.metric =
///       true});
///     });
///     ab::tasks::loop(ab::tasks::managed(model, optimizer), data, {train});
///
/// What the function updates of the state's statistics is logged under "stateful_metrics", behind the step.
/// \throws Error where no loss is logged, or one has several elements
template <class F>
ManagedStep<F, true> train_step(F function) {
  return ManagedStep<F, true>(std::move(function));
}

/// The same without gradients, optimizer and loss, in evaluation mode.
template <class F>
ManagedStep<F, false> step(F function) {
  return ManagedStep<F, false>(std::move(function));
}

}  // namespace abyme::tasks
