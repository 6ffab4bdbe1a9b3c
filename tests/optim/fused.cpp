#include <abyme/optim/adam.hpp>
#include <abyme/optim/sgd.hpp>

#include <catch2/catch.hpp>

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace ab = abyme;

namespace fused_tests {

namespace to = torch::optim;

namespace {

enum class Layout { plain, transposed };  // of the parameters of the optimizer under test

// Two sets of the same parameters, ours for abyme's optimizer, theirs for LibTorch's.
struct Twins {
  std::vector<at::Tensor> theirs, ours;

  explicit Twins(at::ScalarType dtype = at::kFloat, Layout layout = Layout::plain) {
    torch::manual_seed(0);
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{64, 32}, {32}, {3, 2, 5, 5}, {1}}) {
      const auto values = torch::randn(shape).to(dtype);
      theirs.push_back(values.clone().requires_grad_());
      ours.push_back(values.clone().requires_grad_());
    }
    if (layout == Layout::transposed) {
      ours[0].set_data(ours[0].detach().t().contiguous().t());
      ours[2].set_data(ours[2].detach().contiguous(at::MemoryFormat::ChannelsLast));
    }
  }

  // Every third time the last parameter has no gradient.
  void set_gradients(int step) {
    for (std::size_t i = 0; i < ours.size(); ++i) {
      if (i == 3 && step % 3 == 1) {
        ours[i].mutable_grad().reset();
        theirs[i].mutable_grad().reset();
        continue;
      }
      const auto gradient = torch::randn_like(theirs[i]);
      theirs[i].mutable_grad() = gradient;
      ours[i].mutable_grad() = gradient.clone();
    }
  }

  // The largest difference of a parameter, relative to its norm.
  double difference() const {
    double largest = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      largest =
          std::max(largest, (ours[i] - theirs[i]).norm().item<double>() / theirs[i].norm().item<double>());
    }
    return largest;
  }
};

template <class Ours, class Theirs, class Options>
double difference_after(int steps, const Options& options, Twins twins = Twins()) {
  Theirs their_optimizer(twins.theirs, options);
  Ours our_optimizer(twins.ours, options);
  for (int step = 0; step < steps; ++step) {
    twins.set_gradients(step);
    their_optimizer.step();
    our_optimizer.step();
  }
  return twins.difference();
}

template <class Options>
double adam(const Options& options, Twins twins = Twins()) {
  return difference_after<ab::optim::Adam, to::Adam>(1000, options, std::move(twins));
}
template <class Options>
double adamw(const Options& options, Twins twins = Twins()) {
  return difference_after<ab::optim::AdamW, to::AdamW>(1000, options, std::move(twins));
}
double sgd(const to::SGDOptions& options, Twins twins = Twins()) {
  return difference_after<ab::optim::SGD, to::SGD>(1000, options, std::move(twins));
}

std::string error_of(auto&& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a thousand steps of Adam and AdamW end where LibTorch's do, with every option") {
  CHECK(adam(to::AdamOptions(1e-3)) < 1e-6);
  CHECK(adam(to::AdamOptions(1e-2).weight_decay(0.1)) < 1e-6);
  CHECK(adam(to::AdamOptions(1e-3).amsgrad(true)) < 1e-6);
  CHECK(adam(to::AdamOptions(1e-3).betas({0.8, 0.99}).eps(1e-5).weight_decay(0.1).amsgrad(true)) < 1e-6);
  CHECK(adamw(to::AdamWOptions(1e-3)) < 1e-6);
  CHECK(adamw(to::AdamWOptions(1e-3).weight_decay(0.2).amsgrad(true)) < 1e-6);
  CHECK(adam(to::AdamOptions(1e-3), Twins(at::kDouble)) < 1e-15);
}

TEST_CASE("a thousand steps of SGD end where LibTorch's do, with every option") {
  CHECK(sgd(to::SGDOptions(0.01)) == 0);
  CHECK(sgd(to::SGDOptions(0.01).weight_decay(0.1)) == 0);
  CHECK(sgd(to::SGDOptions(0.01).momentum(0.9)) < 1e-6);
  CHECK(sgd(to::SGDOptions(0.01).momentum(0.9).dampening(0.3).weight_decay(0.01)) < 1e-6);
  CHECK(sgd(to::SGDOptions(0.01).momentum(0.9).nesterov(true)) < 1e-6);
}

TEST_CASE("the memory order of a parameter changes nothing, not even where it changes on the way") {
  CHECK(adam(to::AdamOptions(1e-3).amsgrad(true), Twins(at::kFloat, Layout::transposed)) < 1e-6);
  CHECK(sgd(to::SGDOptions(0.01).momentum(0.9), Twins(at::kFloat, Layout::transposed)) < 1e-6);

  Twins twins;
  to::Adam theirs(twins.theirs, to::AdamOptions(1e-3));
  ab::optim::Adam ours(twins.ours, to::AdamOptions(1e-3));
  for (int step = 0; step < 20; ++step) {
    if (step == 10) twins.ours[0].set_data(twins.ours[0].detach().t().contiguous().t());
    twins.set_gradients(step);
    theirs.step();
    ours.step();
  }
  CHECK(twins.difference() < 1e-6);
  CHECK(twins.ours[0].strides() == at::IntArrayRef({1, 64}));
}

TEST_CASE("groups have their own options, and a new rate holds from the next step on") {
  Twins twins;
  const auto groups = [](const std::vector<at::Tensor>& parameters) {
    std::vector<to::OptimizerParamGroup> made;
    made.emplace_back(std::vector<at::Tensor>{parameters[0], parameters[1]});
    made.emplace_back(std::vector<at::Tensor>{parameters[2], parameters[3]},
                      std::make_unique<to::AdamOptions>(to::AdamOptions(0.1).amsgrad(true)));
    return made;
  };
  to::Adam theirs(groups(twins.theirs), to::AdamOptions(1e-2));
  ab::optim::Adam ours(groups(twins.ours), to::AdamOptions(1e-2));
  for (int step = 0; step < 50; ++step) {
    twins.set_gradients(step);
    if (step == 25) {
      theirs.param_groups()[0].options().set_lr(0.5);
      ours.param_groups()[0].options().set_lr(0.5);
    }
    theirs.step();
    ours.step();
  }
  CHECK(twins.difference() < 1e-6);
}

TEST_CASE("an archive of the one is read by the other, and both go on alike") {
  Twins twins;
  to::Adam theirs(twins.theirs, to::AdamOptions(1e-3).amsgrad(true));
  ab::optim::Adam ours(twins.ours, to::AdamOptions(1e-3).amsgrad(true));
  for (int step = 0; step < 10; ++step) {
    twins.set_gradients(step);
    theirs.step();
    ours.step();
  }
  std::stringstream from_ours, from_theirs;
  torch::save(ours, from_ours);
  torch::save(theirs, from_theirs);
  to::Adam their_copy(twins.theirs, to::AdamOptions(0.5));
  ab::optim::Adam our_copy(twins.ours, to::AdamOptions(0.5));
  torch::load(their_copy, from_ours);
  torch::load(our_copy, from_theirs);
  CHECK(static_cast<to::AdamOptions&>(our_copy.param_groups()[0].options()).lr() == 1e-3);
  CHECK(static_cast<to::AdamOptions&>(our_copy.param_groups()[0].options()).amsgrad());
  for (int step = 10; step < 20; ++step) {
    twins.set_gradients(step);
    their_copy.step();
    our_copy.step();
  }
  CHECK(twins.difference() < 1e-6);
}

TEST_CASE("sparse gradients are treated as LibTorch treats them") {
  const auto sparse = torch::sparse_coo_tensor(torch::tensor({{1, 3}}), torch::tensor({2.0F, 4.0F}), {5});
  const auto dense = torch::ones({5}).requires_grad_();
  const auto table = torch::ones({5}).requires_grad_();
  dense.mutable_grad() = torch::ones({5});
  table.mutable_grad() = sparse;
  ab::optim::SGD sgd({dense, table}, to::SGDOptions(0.5));
  sgd.step();
  CHECK(dense.equal(torch::full({5}, 0.5)));
  CHECK(table.equal(torch::tensor({1.0F, 0.0F, 1.0F, -1.0F, 1.0F})));
  CHECK(dense.grad().defined());

  ab::optim::Adam adam({dense, table}, to::AdamOptions());
  CHECK(error_of([&] { adam.step(); }).find("Adam does not support sparse gradients") == 0);
  CHECK(dense.grad().defined());
}

TEST_CASE("maximize climbs: it is descent along the negative gradient") {
  const auto run = [](auto optimizer, at::Tensor parameter, double sign) {
    for (int step = 1; step < 20; ++step) {
      parameter.mutable_grad() = sign * torch::linspace(-1, step, 8);
      optimizer.step();
    }
    return parameter.detach();
  };
  const auto both = [&]<class Optimizer>(std::type_identity<Optimizer>, auto options) {
    const auto up = torch::ones({8}).requires_grad_(), down = torch::ones({8}).requires_grad_();
    return run(Optimizer({up}, options, {.maximize = true}), up, 1)
        .equal(run(Optimizer({down}, options), down, -1));
  };
  CHECK(both(std::type_identity<ab::optim::Adam>{}, to::AdamOptions(0.1)));
  CHECK(both(std::type_identity<ab::optim::AdamW>{}, to::AdamWOptions(0.1)));
  CHECK(both(std::type_identity<ab::optim::SGD>{}, to::SGDOptions(0.1).momentum(0.5)));
}

TEST_CASE("a learning rate in a tensor takes the place of the groups', and is read at each step") {
  const auto rate = torch::tensor(0.25F);
  const auto parameter = torch::ones({2}).requires_grad_();
  parameter.mutable_grad() = torch::ones({2});
  ab::optim::SGD sgd({parameter}, to::SGDOptions(100), {.learning_rate = rate});
  sgd.step();
  CHECK(parameter.equal(torch::full({2}, 0.75)));
  rate.fill_(0.5);
  sgd.step();
  CHECK(parameter.equal(torch::full({2}, 0.25)));
  CHECK(error_of([&] { ab::optim::SGD({parameter}, 1, {.learning_rate = torch::ones({2})}); }) ==
        "a learning rate given as a tensor must be one float32 number; make it with torch::tensor(0.001f)");
}

TEST_CASE("a closure computes the loss with gradients on, and step returns it") {
  const auto parameter = torch::full({1}, 3.0).requires_grad_();
  ab::optim::SGD sgd({parameter}, to::SGDOptions(0.5));
  const at::NoGradGuard no_grad;
  const auto loss = sgd.step([&] {
    const auto square = (parameter * parameter).sum();
    square.backward();
    return square;
  });
  CHECK(loss.item<float>() == 9);
  CHECK(parameter.item<float>() == 0);
}

TEST_CASE("gradients are the parameters': after zero_grad nobody holds them") {
  const auto parameter = torch::ones({4}).requires_grad_();
  ab::optim::Adam adam({parameter}, to::AdamOptions());
  parameter.mutable_grad() = torch::ones({4});
  const auto weak = c10::weak_intrusive_ptr<c10::TensorImpl>(parameter.grad().getIntrusivePtr());
  adam.step();
  adam.zero_grad();
  CHECK(weak.expired());
}

}  // namespace fused_tests
