#pragma once

#include <abyme/dialect/strategy.hpp>

#include <ATen/DeviceAccelerator.h>
#include <ATen/accelerator/Graph.h>
#include <c10/core/StreamGuard.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace abyme::tasks {

namespace reflect {

// A step is a graph of kernels, recorded once and replayed: the function is not called again.
class CudaGraphRunner : public StepRunner {
public:
  explicit CudaGraphRunner(int warm_up) : warm_up_(warm_up) {}

  Logs run(StepOnce& step) override {
    if (recorded_) return replay(step);
    const at::Device device = step.model()->parameters().at(0).device();
    if (!device.is_cuda())
      throw Error(fmt::format("cuda_graph: the model must be on a CUDA device, got it on {}; move it there",
                              device.str()));
    // What is recorded must run on a stream of its own, also before, so that memory lies ready.
    const c10::impl::VirtualGuardImpl devices(device.type());
    const c10::Stream own = devices.getStreamFromGlobalPool(device), outer = devices.getStream(device);
    devices.synchronizeStream(outer);
    const bool is_warm = warm_up_-- <= 0;
    Logs logs;
    {
      const c10::StreamGuard on_own(own);
      if (!is_warm) logs = once(step);
      else record(step);
    }
    devices.synchronizeStream(own);
    if (is_warm) return replay(step);
    if (step.has_gathered())
      throw Error(
          "cuda_graph: a step must not update the state's statistics, which are no part of a graph; log "
          "the metric of the batch by add_metric, and take its mean behind");
    return logs.detach();
  }

private:
  void record(StepOnce& step) {
    recorded_ = step.on_own_batch();
    graph_.emplace();
    graph_->capture_begin();
    logs_ = once(*recorded_).detach();
    graph_->capture_end();
  }
  static Logs once(StepOnce& step) {
    const at::AutoGradMode with_gradients(step.trains());
    // Gradients stay where they are: the graph writes there again.
    if (step.trains()) step.optimizer().zero_grad(/*set_to_none=*/false);
    Logs logs = step.compute();
    if (step.trains()) {
      sum_of_losses(logs).backward();
      step.optimizer().step();
    }
    return logs;
  }
  Logs replay(StepOnce& step) {
    const at::NoGradGuard no_grad;
    const std::vector<at::Tensor> from = step.batch(), to = recorded_->batch();
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (from[i].sizes() != to[i].sizes())
        throw Error(
            fmt::format("cuda_graph: all batches must have the shape of the recorded one, {}, got {}; take "
                        "{{.drop_last = true}}",
                        shape_text(to[i]), shape_text(from[i])));
      to[i].copy_(from[i], /*non_blocking=*/true);
    }
    graph_->replay();
    Logs logs;
    for (const auto& [collection, entries] : logs_) {
      for (const auto& [name, value] : entries) {
        const auto* tensor = std::get_if<at::Tensor>(&value);
        logs.add(collection, name, tensor ? Value(tensor->clone()) : value);
      }
    }
    return logs;
  }

  int warm_up_;
  std::unique_ptr<StepOnce> recorded_;  // its batch is where the graph reads
  std::optional<at::accelerator::Graph> graph_;
  Logs logs_;
};

}  // namespace reflect

/// A step is recorded as a CUDA graph after `warm_up` calls, and replayed from then on: no time between the
/// kernels of small models. Batches have one shape; the function does nothing that a graph can't hold, such
/// as reading a number or updating statistics, and is called no more: what has elapsed, and all that it
/// decides, stays what it was. Optimizers that keep their count on the device only. \throws Error where there
/// is no CUDA
inline Strategy cuda_graph(int warm_up = 3) {
  if (!at::hasCUDA())
    throw Error("cuda_graph: it needs a CUDA device, got none on this machine; take ab::tasks::eager()");
  return {"cuda_graph", [warm_up] { return std::make_unique<reflect::CudaGraphRunner>(warm_up); },
          /*gathers=*/false};
}

namespace reflect {
inline const bool cuda_graph_has_a_name =
    (register_strategy("cuda_graph", [] { return cuda_graph(); }), true);
}

}  // namespace abyme::tasks
