// A step of abyme's optimizers against one of LibTorch's own, for 100 parameters of 16, 1,024 and 65,536
// elements, on one thread. Both begin with the same parameters and must end with the same.

#include <torch/torch.h>

#include <abyme/optim/adam.hpp>
#include <abyme/optim/sgd.hpp>

#include "figure.hpp"

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

template <class Optimizer>
struct Side {
  std::vector<torch::Tensor> parameters;
  Optimizer optimizer;

  template <class Options>
  Side(std::int64_t elements, Options options) : parameters(make(elements)), optimizer(parameters, options) {}

  static std::vector<torch::Tensor> make(std::int64_t elements) {
    torch::manual_seed(1);
    std::vector<torch::Tensor> made;
    for (int i = 0; i < 100; ++i) {
      made.push_back(torch::randn({elements}).requires_grad_());
      made.back().mutable_grad() = torch::randn({elements});
    }
    return made;
  }
  double seconds(int steps) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < steps; ++i) optimizer.step();
    return bench::seconds_since(start) / steps;
  }
};

template <class Ours, class Stock, class Options>
void race(const std::string& name, Options options) {
  for (const std::int64_t elements : {16, 1'024, 65'536}) {
    Side<Ours> ours(elements, options);
    Side<Stock> theirs(elements, options);
    const int steps = elements > 10'000 ? 2 : 50;
    std::vector<double> our_seconds, their_seconds;
    for (int i = 0; i < 31; ++i) {
      const double a = ours.seconds(steps), b = theirs.seconds(steps);
      if (i == 0) continue;  // makes the state
      our_seconds.push_back(a);
      their_seconds.push_back(b);
    }
    bench::compare(fmt::format("{}_step_{}", name, elements), "torch::optim, 100 parameters of this size",
                   our_seconds, their_seconds, 1e6, "us a step");
    for (std::size_t i = 0; i < ours.parameters.size(); ++i) {
      if (!torch::allclose(ours.parameters[i], theirs.parameters[i], 1e-4, 1e-4))
        throw std::runtime_error(name + ": the parameters must agree with those of torch::optim");
    }
  }
}

}  // namespace

int main() {
  torch::set_num_threads(1);
  race<abyme::optim::SGD, torch::optim::SGD>("sgd", torch::optim::SGDOptions(1e-3).momentum(0.9));
  race<abyme::optim::Adam, torch::optim::Adam>("adam", torch::optim::AdamOptions(1e-3));
  race<abyme::optim::AdamW, torch::optim::AdamW>("adamw", torch::optim::AdamWOptions(1e-3));
}
