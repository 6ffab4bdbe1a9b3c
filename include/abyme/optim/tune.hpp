#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>

#include <abyme/core/error.hpp>
#include <abyme/optim/layer_weights.hpp>
#include <abyme/optim/memory_order.hpp>
#include <abyme/optim/timed_ways.hpp>
#include <abyme/optim/tune_report.hpp>
#include <abyme/optim/untouched.hpp>
#include <abyme/optim/weight_uses.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

struct TuneOptions {
  bool training = true;      ///< times forward and backward; otherwise forward, without gradients
  double margin = 0.05;      ///< an order must save this share of the time to take another's place
  std::int64_t rounds = 30;  ///< of each comparison, each of a few milliseconds; medians count
  /// After this time each comparison stops at three rounds.
  std::chrono::duration<double> budget = std::chrono::seconds(10);
};

/// See `tune`.
template <class Clock>
class Tuner {
public:
  /// \param forward runs the model, with the batch in channels-last order where it is told so
  /// \param convertible whether that is another order than the batch has
  Tuner(torch::nn::Module& model, std::function<at::Tensor(bool)> forward, bool convertible,
        const TuneOptions& options)
      : model_(model), forward_(std::move(forward)), convertible_(convertible), options_(options) {
    if (!(options.margin >= 0 && options.margin < 1))
      throw Error(
          fmt::format("tune: margin must be from 0 to below 1, got {}; pass 0.05 for 5 %", options.margin));
    if (options.rounds < 1)
      throw Error(fmt::format("tune: rounds must be at least 1, got {}; pass 30", options.rounds));
  }

  TuneReport operator()() {
    const Untouched untouched(model_);
    weights_ = layer_weights(model_);
    for (const at::Tensor& parameter : model_.parameters()) {
      if (parameter.defined() && parameter.requires_grad()) trained_.push_back(parameter);
      if (parameter.defined() && !parameter.is_cpu()) device_ = parameter.device();
    }
    const std::vector<WeightUses> uses = keep_layers(watch());
    Orders before;
    for (const LayerWeight& weight : weights_) before.data.push_back(weight.parameter.detach());
    struct Put {  // also where something throws
      Tuner& tuner;
      Orders orders;
      ~Put() { tuner.put(orders); }
    } last{*this, before};

    TuneReport report;
    Orders now = convolutions_together(before);
    put(now);
    others_one_by_one(report, uses, before, now);
    const TimedWays whole = compare_models(now == before ? std::vector{before} : std::vector{before, now});
    report.before = whole.microseconds.front();
    report.after = whole.microseconds.back();
    if (report.after < report.before) {
      report.channels_last = now.channels_last;
      last.orders = now;
      put(now);
      for (std::size_t i = 0; i < weights_.size(); ++i) {
        if (now.data[i].strides() != before.data[i].strides())
          lay_out(weights_[i].parameter, now.data[i].strides());  // the gradient that is there
      }
    } else {  // what layers gain alone can be lost between them
      report.after = report.before;
      for (TunedWeight& each : report.weights) {
        each.order = each.order_before;
        each.after = each.before;
      }
    }
    return report;
  }

private:
  struct Orders {  // of all weights: their memory, laid out so
    std::vector<at::Tensor> data;
    bool channels_last = false;  // of the batch
    bool operator==(const Orders& that) const {
      const auto alike = [](const at::Tensor& a, const at::Tensor& b) { return a.strides() == b.strides(); };
      return channels_last == that.channels_last && std::ranges::equal(data, that.data, alike);
    }
  };

  // What the model does with the weights, as they are laid out now.
  std::vector<WeightUses> watch(bool channels_last = false) {
    std::vector<at::Tensor> parameters;
    for (const LayerWeight& weight : weights_) parameters.push_back(weight.parameter);
    WatchWeights watched(parameters);
    const at::AutoGradMode mode(options_.training);
    const auto refused = [](const char* why) { return Error(fmt::format("tune: {}", why)); };
    try {
      forward_(channels_last);
    } catch (const c10::Error& error) {
      std::throw_with_nested(refused(error.what_without_backtrace()));
    } catch (const std::exception& error) {
      std::throw_with_nested(refused(error.what()));
    }
    std::vector<WeightUses> uses;
    for (const at::Tensor& parameter : parameters) uses.push_back(watched.of(parameter));
    return uses;
  }

  // Drops the weights that are in no layer of which the order could be chosen.
  std::vector<WeightUses> keep_layers(std::vector<WeightUses> all) {
    std::vector<LayerWeight> weights;
    std::vector<WeightUses> uses;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      if (!all[i].repeatable || !(weights_[i].convolution ? all[i].convolved : all[i].multiplied)) continue;
      weights.push_back(std::move(weights_[i]));
      uses.push_back(std::move(all[i]));
    }
    weights_ = std::move(weights);
    return uses;
  }

  // Convolutions change their order together: one alone would convert what it gets, and the next one back.
  Orders convolutions_together(const Orders& before) {
    if (std::ranges::none_of(weights_, &LayerWeight::convolution)) return before;
    std::vector<Orders> all{before};
    const auto add = [&](auto order, bool channels_last) {
      Orders orders{before.data, channels_last};
      for (std::size_t i = 0; i < weights_.size(); ++i) {
        if (weights_[i].convolution && before.data[i].strides() != weights_[i].*order)
          orders.data[i] = laid_out(before.data[i], weights_[i].*order);
      }
      if (std::ranges::find(all, orders) == all.end()) all.push_back(std::move(orders));
    };
    add(&LayerWeight::other, false);
    if (convertible_) add(&LayerWeight::other, true);
    add(&LayerWeight::plain, false);
    return all[compare_models(all).best];
  }

  // The other weights each by itself; a line of the report for every weight.
  void others_one_by_one(TuneReport& report, const std::vector<WeightUses>& uses_before, const Orders& before,
                         Orders& now) {
    const bool is_new = !(now == before);  // the convolutions, or the batch
    const std::vector<WeightUses> uses = is_new ? watch(now.channels_last) : uses_before;
    std::map<std::string, TimedWays> known;  // of layers alike
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const LayerWeight& weight = weights_[i];
      const auto way = [&](const WeightUses& of, at::IntArrayRef strides) {
        return TimedWay{.run = RepeatUses(of, weight.parameter, strides, options_.training)};
      };
      const at::IntArrayRef strides = before.data[i].strides();
      TimedWays times;
      if (weight.convolution) {
        std::vector<TimedWay> ways{way(uses_before[i], strides)};
        if (is_new) ways.push_back(way(uses[i], now.data[i].strides()));
        times = time_ways<Clock>(ways, timing());
        times.best = ways.size() - 1;
      } else {
        const auto& other = strides == weight.plain ? weight.other : weight.plain;
        const std::string layer = uses[i].signature();
        if (!known.contains(layer))
          known[layer] = time_ways<Clock>({way(uses[i], strides), way(uses[i], other)}, timing());
        times = known[layer];
        if (times.best == 1) now.data[i] = laid_out(before.data[i], other);
      }
      report.weights.push_back({weight.name, weight.order(now.data[i]), weight.order(before.data[i]),
                                times.microseconds.front(), times.microseconds[times.best]});
    }
  }

  // The model with its weights and the batch in these orders.
  TimedWays compare_models(const std::vector<Orders>& all) {
    std::vector<TimedWay> ways;
    for (const Orders& orders : all) {
      ways.push_back({.prepare = [this, &orders] { put(orders); },
                      .run = [this, &orders] { run_model(orders.channels_last); }});
    }
    return time_ways<Clock>(ways, timing());
  }

  // Hands gradients out, so that those of the parameters stay, and no optimizer that waits for them runs.
  void run_model(bool channels_last) {
    const at::AutoGradMode mode(options_.training);
    const at::Tensor output = forward_(channels_last);
    if (!options_.training || !output.requires_grad() || trained_.empty()) return;
    const auto gradients =
        torch::autograd::grad({output}, trained_, {at::ones_like(output)}, /*retain_graph=*/std::nullopt,
                              /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < trained_.size(); ++i) {
      if (gradients[i].defined() && !same_order(gradients[i], trained_[i]))
        laid_out(gradients[i], trained_[i].strides());  // as backward() would
    }
  }

  // Gives the weights this memory.
  void put(const Orders& orders) {
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      at::Tensor& parameter = weights_[i].parameter;
      if (!parameter.is_alias_of(orders.data[i])) parameter.set_data(orders.data[i]);
    }
  }

  Timing timing() const {
    const auto comparisons = double(weights_.size() + 2);
    return {options_.rounds, options_.margin, options_.budget / comparisons, [device = device_] {
              if (!device.is_cpu())
                c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
            }};
  }

  torch::nn::Module& model_;
  std::function<at::Tensor(bool)> forward_;
  bool convertible_;
  TuneOptions options_;
  at::Device device_ = at::kCPU;
  std::vector<LayerWeight> weights_;
  std::vector<at::Tensor> trained_;
};

/// The inputs of a batch: of an `ab::Batch`, a `torch::data::Example<>`, a pair of inputs and targets, or the
/// tensor itself.
template <class Batch>
at::Tensor batch_inputs(const Batch& batch) {
  if constexpr (std::is_convertible_v<const Batch&, at::Tensor>) return batch;
  else if constexpr (requires { batch.inputs; }) return batch.inputs;
  else if constexpr (requires { batch.first; }) return batch.first;
  else return batch.data;
}

/// Measures, on this machine and with the number of threads that is set, which memory order the weights of a
/// model are used fastest in, and lays them out so: those of linear layers (and of what else multiplies with
/// a matrix) row- or column-major, those of convolutions contiguous or channels-last. The gain is up to half
/// of the time, or nothing; it depends on the shapes and on the batch, so give one as you train with.
///
///     std::cout << ab::tune(model, batch);
///
/// Shapes, values, names, saved files and the tensors that are the parameters stay, so optimizers made before
/// go on; results differ by rounding only (dropout draws in memory order, so where it follows a convolution
/// it drops others). Gradients come in the order of their weights. The trial runs leave gradients, buffers,
/// modes and LibTorch's default random generators as they were; what else a `forward` of your own counts,
/// counts. `ab::memory_orders` tells the orders, `ab::set_memory_orders` puts them back.
///
/// Weights stay as they are where another order is no clear gain, where they share memory with another
/// tensor of the model, and in recurrent layers. Takes a few seconds (see the options), and memory for a
/// second copy of the weights.
///
/// \param model a module, its holder or pointer
/// \param batch what `model->forward` takes: a tensor, [batch, ...], or a batch with inputs; for another
/// model a function that runs it and returns a tensor, as in
/// `[&] { return model->forward(left, right); }`
/// \throws Error where the model can't take the batch
template <class Clock = std::chrono::steady_clock, class Model, class Batch>
TuneReport tune(Model&& model, Batch&& batch, const TuneOptions& options = {}) {
  auto& module = [&]() -> auto& {
    if constexpr (requires { *model.ptr(); }) return *model.ptr();  // a holder
    else if constexpr (requires { *model; }) return *model;
    else return model;
  }();
  if constexpr (std::is_invocable_r_v<at::Tensor, Batch&>) {
    return Tuner<Clock>(
        module, [&](bool) -> at::Tensor { return batch(); }, false, options)();
  } else {
    const at::Tensor inputs = batch_inputs(batch);
    const auto channels_last = at::MemoryFormat::ChannelsLast;
    const bool convertible = inputs.dim() == 4 && !inputs.is_contiguous(channels_last);
    const auto forward = [&](bool convert) -> at::Tensor {
      return module.forward(convert ? inputs.contiguous(channels_last) : inputs);
    };
    return Tuner<Clock>(module, forward, convertible, options)();
  }
}

}  // namespace abyme
