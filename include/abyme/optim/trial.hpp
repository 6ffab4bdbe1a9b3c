#pragma once

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
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
      at::Generator generator = at::globalContext().defaultGenerator(device);
      const std::scoped_lock lock(generator.mutex());
      generators_.emplace_back(generator, generator.get_state());
    }
  }
  ~Untouched() {
    const at::NoGradGuard no_grad;
    for (auto& [buffer, values] : buffers_) buffer.copy_(values);
    for (auto& [generator, state] : generators_) {
      const std::scoped_lock lock(generator.mutex());
      generator.set_state(state);
    }
  }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;

private:
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;
  std::vector<std::pair<at::Generator, at::Tensor>> generators_;
};

/// Something that can be done in several ways: `prepare` is not timed, `run` is.
struct Way {
  std::function<void()> prepare = [] {};
  std::function<void()> run;
};

/// How to compare ways.
struct Trial {
  std::int64_t rounds = 30;
  double margin = 0.05;                  ///< share of the time that a way must save to be better
  std::chrono::duration<double> budget;  ///< after this time it stops at three rounds
  std::function<void()> wait;            ///< until the device has done what it was told
};

struct Times {
  std::size_t best = 0;              ///< the way that takes least, the first one where none is clearly better
  std::vector<double> microseconds;  ///< of each way, the median
};

/// Times ways in turn, so that what else the machine does hits all of them. Of two, one is better where the
/// median of their ratios, round by round, is below 1 by the margin, and three quarters of them are below 1.
template <class Clock>
Times compare(const std::vector<Way>& ways, const Trial& trial) {
  const auto timed = [&trial](const Way& way, std::int64_t calls) {
    way.prepare();
    trial.wait();
    const auto start = Clock::now();
    for (std::int64_t call = 0; call < calls; ++call) way.run();
    trial.wait();
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / double(calls);
  };
  double longest = 0;
  for (const Way& way : ways) {
    timed(way, 1);  // the first call of all makes caches and plans
    longest = std::max(longest, timed(way, 1));
  }
  const std::int64_t calls = longest > 0 ? std::clamp<std::int64_t>(std::int64_t(2000 / longest), 1, 100) : 1;
  std::vector<std::vector<double>> times(ways.size());
  const auto start = Clock::now();
  for (std::int64_t round = 0; round < trial.rounds; ++round) {
    if (round >= 3 && Clock::now() - start > trial.budget) break;
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const std::size_t way = round % 2 == 0 ? i : ways.size() - 1 - i;
      times[way].push_back(timed(ways[way], calls));
    }
  }
  Times result;
  for (std::size_t way = 1; way < ways.size(); ++way) {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < times[way].size(); ++round) {
      const double other = times[result.best][round];
      ratios.push_back(other > 0 ? times[way][round] / other : 1);
    }
    std::ranges::sort(ratios);
    if (ratios[ratios.size() / 2] < 1 - trial.margin && ratios[ratios.size() * 3 / 4] < 1) result.best = way;
  }
  for (std::vector<double>& each : times) {
    std::ranges::sort(each);
    result.microseconds.push_back(each[each.size() / 2]);
  }
  return result;
}

}  // namespace abyme
