#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace options_tests {

using Lines = std::vector<std::string>;

namespace {

struct MlpImpl : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(6, 8))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(8, 3))};
  torch::Tensor forward(const torch::Tensor& x) { return second(torch::tanh(first(x))); }
};
TORCH_MODULE(Mlp);

Mlp some_mlp() {
  torch::manual_seed(1);
  return Mlp();
}

// 50 samples: batches of 16, 16, 16 and 2, or others.
ab::TensorBatches some_data(std::int64_t batch_size = 16) {
  const auto generator = at::detail::createCPUGenerator(7);
  return {torch::randn({50, 6}, generator),
          torch::randint(3, {50}, generator, torch::kLong),
          {.batch_size = batch_size, .shuffle = false}};
}
std::vector<ab::Batch> in_list(ab::TensorBatches data) {
  std::vector<ab::Batch> batches;
  for (const ab::Batch& batch : data) batches.push_back(batch);
  return batches;
}

torch::optim::SGD momentum(Mlp& model) {
  return torch::optim::SGD(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
}

torch::Tensor loss_of(Mlp& model, const ab::Batch& batch) {
  return torch::cross_entropy_loss(model->forward(batch.inputs), batch.targets);
}

template <class Data, class Pass>
void train(Data& data, const Pass& pass, std::int64_t epochs = 3) {
  ab::DataLooper batches(data);
  batches("iteration_end", pass);
  ab::IterationLooper looper(epochs);
  looper("iteration_end", batches);
  ab::Ground()("dig", looper).dig();
}

bool same(const Mlp& a, const Mlp& b) {
  const auto others = b->named_parameters();
  for (const auto& each : a->named_parameters()) {
    if (!each.value().equal(others[each.key()])) return false;
  }
  return true;
}
bool close(const Mlp& a, const Mlp& b, double tolerance = 1e-6) {
  const auto others = b->named_parameters();
  for (const auto& each : a->named_parameters()) {
    if (!each.value().allclose(others[each.key()], tolerance, tolerance)) return false;
  }
  return true;
}

struct CrossEntropy {
  torch::Tensor operator()(const torch::Tensor& outputs, const torch::Tensor& targets) const {
    return torch::cross_entropy_loss(outputs, targets);
  }
};

// The faults of a pass of these options below batches.
template <class... Optimizer>
Lines faults_of(ab::PassOptions options, Optimizer&... optimizer) {
  Mlp model;
  auto data = some_data();
  ab::DataLooper batches(data);
  batches("iteration_end", ab::SupervisedPass(model, optimizer..., CrossEntropy(), options));
  Lines lines;
  for (const ab::Fault& fault : ab::faults(ab::Ground()("dig", batches))) lines.push_back(fault.message);
  return lines;
}

}  // namespace

TEST_CASE("accumulated batches make one step, in which each sample counts once", "[options]") {
  // By hand: the batches of a window as one.
  const auto by_hand = [](const std::vector<std::int64_t>& windows) {
    Mlp model = some_mlp();
    auto sgd = momentum(model);
    const auto all = in_list(some_data(50))[0];
    for (int epoch = 0; epoch < 3; ++epoch) {
      std::int64_t first = 0;
      for (const std::int64_t size : windows) {
        sgd.zero_grad();
        loss_of(model, {all.inputs.narrow(0, first, size), all.targets.narrow(0, first, size)}).backward();
        sgd.step();
        first += size;
      }
    }
    return model;
  };
  const auto by_tree = [](std::int64_t accumulate) {
    Mlp model = some_mlp();
    auto sgd = momentum(model);
    auto data = some_data();
    train(data, ab::SupervisedPass(model, sgd, CrossEntropy(), {.accumulate = accumulate}));
    return model;
  };
  CHECK(close(by_tree(2), by_hand({32, 18})));
  CHECK(close(by_tree(3), by_hand({48, 2})));
  CHECK(close(by_tree(9), by_hand({50})));
  CHECK(same(by_tree(1), by_hand({16, 16, 16, 2})));
  CHECK_FALSE(close(by_tree(2), by_hand({48, 2})));
}

TEST_CASE(
    "with accumulation, step fires behind the last batch of a window only, and gradients stay until then",
    "[options]") {
  Mlp model = some_mlp();
  auto sgd = momentum(model);
  auto data = some_data();
  ab::DataLooper batches(data);
  Lines lines;
  const auto note = [&](std::string what) {
    return [&, what] {
      lines.push_back(what + (model->first->weight.grad().defined() ? " with gradients" : ""));
    };
  };
  ab::SupervisedPass pass(model, sgd, CrossEntropy(), {.accumulate = 3});
  pass("start", note("start"))("backward", note("backward"))("step", note("step"))("end", note("end"));
  ab::Ground()("dig", batches("iteration_end", pass)).dig();
  CHECK(lines == Lines{"start", "backward with gradients", "end with gradients",                 //
                       "start with gradients", "backward with gradients", "end with gradients",  //
                       "start with gradients", "backward with gradients", "step with gradients",
                       "end with gradients",  //
                       "start", "backward with gradients", "step with gradients", "end with gradients"});
}

TEST_CASE("accumulation asks for data of a known size", "[options]") {
  Mlp model;
  auto sgd = momentum(model);
  const auto list = in_list(some_data());
  int drawn = 0;
  const auto unsized = [&] {
    return list | std::views::filter([&](const ab::Batch&) { return ++drawn > 0; });
  };
  ab::DataLooper batches(unsized());
  ab::SupervisedPass pass(model, sgd, CrossEntropy(), {.accumulate = 3});
  const auto faults = ab::faults(ab::Ground()("dig", batches("iteration_end", pass)));
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].message == "accumulate must know which batch is the last, got data of DataLooper that has "
                             "no size; give it one, or limit it with ab::take");
}

TEST_CASE("gradients are clipped as LibTorch's own functions do it", "[options]") {
  const auto by_hand = [](auto clip) {
    Mlp model = some_mlp();
    auto sgd = momentum(model);
    std::vector<double> norms;
    for (int epoch = 0; epoch < 3; ++epoch) {
      for (const ab::Batch& batch : in_list(some_data())) {
        sgd.zero_grad();
        loss_of(model, batch).backward();
        norms.push_back(clip(model));
        sgd.step();
      }
    }
    return std::pair{model, norms};
  };
  const auto by_tree = [](ab::PassOptions options) {
    Mlp model = some_mlp();
    auto sgd = momentum(model);
    auto data = some_data();
    std::vector<double> norms;
    train(data, ab::SupervisedPass(model, sgd, CrossEntropy(),
                                   options)("step", [&](ab::SupervisedPass::Node& pass) {
            const auto norm = pass.gradient_norm();
            norms.push_back(norm.defined() ? norm.item().toDouble() : -1);
          }));
    return std::pair{model, norms};
  };
  SECTION("by norm: some steps are above the limit, some below") {
    const auto [model, norms] =
        by_hand([](Mlp& each) { return torch::nn::utils::clip_grad_norm_(each->parameters(), 0.45); });
    const auto [in_tree, norms_in_tree] = by_tree({.clip_norm = 0.45});
    CHECK(close(model, in_tree));
    CHECK(norms.size() == norms_in_tree.size());
    int above = 0;
    for (std::size_t i = 0; i < norms.size(); ++i) {
      CHECK(norms_in_tree[i] == Approx(norms[i]).epsilon(1e-5));
      above += norms[i] > 0.45;
    }
    CHECK((above > 0 && above < int(norms.size())));
  }
  SECTION("by value") {
    const auto [model, norms] = by_hand([](Mlp& each) {
      torch::nn::utils::clip_grad_value_(each->parameters(), 0.02);
      return -1.0;
    });
    const auto [in_tree, norms_in_tree] = by_tree({.clip_value = 0.02});
    CHECK(same(model, in_tree));
    CHECK(norms == norms_in_tree);
  }
  SECTION("by value, then by norm") {
    const auto [model, norms] = by_hand([](Mlp& each) {
      torch::nn::utils::clip_grad_value_(each->parameters(), 0.05);
      return torch::nn::utils::clip_grad_norm_(each->parameters(), 0.1);
    });
    CHECK(close(model, by_tree({.clip_norm = 0.1, .clip_value = 0.05}).first));
  }
}

TEST_CASE("averaged weights follow their formula, and stand in for the weights below Averaged", "[options]") {
  Mlp model = some_mlp();
  auto sgd = momentum(model);
  auto data = some_data(), test = some_data();

  Mlp twin = some_mlp();  // by hand: the average is a model of its own
  auto twin_sgd = momentum(twin);
  std::vector<torch::Tensor> average;
  std::vector<float> losses_by_hand;
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (const ab::Batch& batch : in_list(some_data())) {
      twin_sgd.zero_grad();
      loss_of(twin, batch).backward();
      twin_sgd.step();
      torch::NoGradGuard no_grad;
      const auto weights = twin->parameters();
      for (std::size_t i = 0; i < weights.size(); ++i) {
        if (average.size() == i) average.push_back(weights[i].detach().clone());
        else average[i] += (weights[i] - average[i]) * 0.2;
      }
    }
    torch::NoGradGuard no_grad;
    Mlp averaged;
    for (std::size_t i = 0; i < average.size(); ++i) averaged->parameters()[i].copy_(average[i]);
    for (const ab::Batch& batch : in_list(some_data()))
      losses_by_hand.push_back(loss_of(averaged, batch).item<float>());
  }

  ab::DataLooper train_data(data), test_data(test);
  ab::SupervisedPass train_pass(model, sgd, CrossEntropy(), {.average = 0.8});
  ab::SupervisedPass test_pass(model, CrossEntropy());
  std::vector<float> losses;
  train_data("iteration_end", train_pass);
  test_data("iteration_end", test_pass("end", [&](ab::SupervisedPass::Node& pass) {
              losses.push_back(pass.loss().item<float>());
            }));
  ab::IterationLooper epochs(3);
  ab::Ground ground;
  SECTION("evaluated after each epoch") {
    ground("dig", epochs("iteration_end", train_data, ab::Averaged(train_pass)("dig", test_data)));
    ground.dig();
    REQUIRE(losses.size() == losses_by_hand.size());
    for (std::size_t i = 0; i < losses.size(); ++i)
      CHECK(losses[i] == Approx(losses_by_hand[i]).epsilon(1e-5));
    CHECK(same(model, twin));
  }
  SECTION("a break below it puts the weights back") {
    ab::Averaged averaged(train_pass);
    averaged(
        "dig", [&] { CHECK_FALSE(same(model, twin)); }, ab::Break(), test_data);
    ground("dig", epochs("iteration_end", train_data)("end", averaged));
    ground.dig();
    CHECK(losses.empty());
    CHECK(same(model, twin));
  }
  SECTION("before the first step they are the weights") {
    ground("dig", ab::Averaged(train_pass)("dig", test_data), epochs);
    epochs("iteration_end", train_data);
    ground.dig();
    CHECK(losses[0] == loss_of(*std::make_unique<Mlp>(some_mlp()), in_list(some_data())[0]).item<float>());
  }
  SECTION("a pass without an average is a fault") {
    ground("dig", ab::Averaged(test_pass)("dig", test_data));
    CHECK(ab::faults(ground)[0].message == "its pass must keep an average, got SupervisedPass without; pass "
                                           "{.average = 0.999} there");
  }
}

TEST_CASE("a step that is not finite is left out, or stops the run with names", "[options]") {
  auto batches = in_list(some_data());
  const auto clean = batches;
  batches[1].inputs = batches[1].inputs.clone();
  batches[1].inputs[0][0] = std::numeric_limits<float>::quiet_NaN();

  const auto by_hand = [&](auto make_optimizer) {  // without the bad batch
    Mlp model = some_mlp();
    auto optimizer = make_optimizer(model);
    for (int epoch = 0; epoch < 3; ++epoch) {
      for (std::size_t i = 0; i < clean.size(); ++i) {
        if (i == 1) continue;
        optimizer.zero_grad();
        loss_of(model, clean[i]).backward();
        optimizer.step();
      }
    }
    return model;
  };
  const auto stock = [](Mlp& model) { return torch::optim::Adam(model->parameters()); };
  const auto fused = [](Mlp& model) { return ab::optim::Adam(model->parameters()); };
  const auto skipping = [&](auto make_optimizer) {
    Mlp model = some_mlp();
    auto optimizer = make_optimizer(model);
    ab::SupervisedPass pass(model, optimizer, CrossEntropy(), {.non_finite = ab::NonFinite::skip});
    train(batches, pass);
    CHECK(pass->skipped == 3);
    return model;
  };
  CHECK(same(skipping(stock), by_hand(stock)));
  CHECK(same(skipping(fused), by_hand(fused)));

  Mlp model = some_mlp();
  auto sgd = momentum(model);
  const auto message = [&](ab::PassOptions options) -> std::string {
    try {
      train(batches, ab::SupervisedPass(model, sgd, CrossEntropy(), options).named("train_pass"));
    } catch (const ab::Error& error) {
      return error.what();
    }
    return "none";
  };
  CHECK(message({.non_finite = ab::NonFinite::stop}) ==
        "IterationLooper/iteration_end[0]/DataLooper/iteration_end[0]/train_pass: the loss and all gradients "
        "must be finite, got a loss of nan and NaN or infinity in the gradient of first.weight, first.bias, "
        "second.weight and 1 more; lower the learning rate, pass .clip_norm, or leave such steps out with "
        ".non_finite = ab::NonFinite::skip");
  for (const auto& weight : model->parameters()) CHECK(weight.isfinite().all().item().toBool());
  CHECK(message({}) == "none");
  CHECK_FALSE(model->first->weight.isfinite().all().item().toBool());
}

TEST_CASE("a fused optimizer leaves out a step where a tensor says so, as if it had not been asked",
          "[options]") {
  const auto trained = [](auto make, bool with_skips) {
    Mlp model = some_mlp();
    auto optimizer = make(model);
    const auto batches = in_list(some_data());
    for (std::size_t i = 0; i < 12; ++i) {
      const bool skipped = i == 0 || i == 5;  // the first, too
      if (skipped && !with_skips) continue;
      optimizer.zero_grad();
      loss_of(model, batches[i % 4]).backward();
      if (with_skips) optimizer.skip_where(torch::full({1}, skipped ? 1.f : 0.f));
      optimizer.step();
      if (skipped) optimizer.step_was_skipped();
    }
    return model;
  };
  const auto adam = [](Mlp& model) { return ab::optim::Adam(model->parameters()); };
  const auto sgd = [](Mlp& model) {
    return ab::optim::SGD(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9).dampening(0.3));
  };
  CHECK(same(trained(adam, true), trained(adam, false)));
  CHECK(same(trained(sgd, true), trained(sgd, false)));
}

TEST_CASE("flags put in one step are read in the next, once", "[options]") {
  ab::optim::LateFlags flags;
  CHECK_FALSE(flags.take().defined());
  flags.put(torch::tensor({true, false}));
  CHECK(flags.take().equal(torch::tensor({true, false})));
  CHECK_FALSE(flags.take().defined());
  flags.put(torch::tensor({false, true, true}));
  flags.forget();
  CHECK_FALSE(flags.take().defined());
}

TEST_CASE("autocast holds around the step function only", "[options]") {
  Mlp model = some_mlp();
  auto sgd = momentum(model);
  auto data = some_data();
  Lines lines;
  const auto note = [&](ab::SupervisedPass::Node& pass) {
    lines.push_back(std::string(toString(pass.outputs().scalar_type())) +
                    (at::autocast::is_autocast_enabled(at::kCPU) ? " on" : " off"));
  };
  train(data, ab::SupervisedPass(model, sgd, CrossEntropy(), {.autocast = torch::kBFloat16})("forward", note),
        1);
  train(data, ab::SupervisedPass(model, CrossEntropy(), {.autocast = torch::kHalf})("forward", note), 1);
  CHECK(lines == Lines{"BFloat16 off", "BFloat16 off", "BFloat16 off", "BFloat16 off", "Half off", "Half off",
                       "Half off", "Half off"});

  Mlp by_hand = some_mlp();
  auto sgd_by_hand = momentum(by_hand);
  for (const ab::Batch& batch : in_list(some_data())) {
    sgd_by_hand.zero_grad();
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
    auto loss = loss_of(by_hand, batch);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    loss.backward();
    sgd_by_hand.step();
  }
  CHECK(same(model, by_hand));
  CHECK(model->first->weight.scalar_type() == torch::kFloat);
}

TEST_CASE("float16 scales the loss: halved by an overflow, whose step is left out, doubled after an interval",
          "[options]") {
  auto batches = in_list(some_data());
  batches[2].inputs = batches[2].inputs * 1e38;  // overflows
  Mlp model = some_mlp();
  auto sgd = momentum(model);
  std::vector<double> scales;
  ab::SupervisedPass pass(model, sgd, CrossEntropy(),
                          {.autocast = torch::kHalf, .loss_scale = 1024, .loss_scale_interval = 5});
  train(batches, pass("step", [&] { scales.push_back(pass->scale().item().toDouble()); }));
  // Batch 2 of 4 overflows: 2 good, 1 bad, 3 good, 1 bad, ... : never 5 good ones in a row.
  CHECK(scales == std::vector<double>{1024, 1024, 512, 512, 512, 512, 256, 256, 256, 256, 128, 128});
  CHECK(pass->skipped == 3);
  CHECK(model->first->weight.isfinite().all().item().toBool());

  // A run without overflow: the interval passes twice, and the scale alone changes nothing but roundings.
  const auto trained = [](double scale) {
    Mlp each = some_mlp();
    auto optimizer = momentum(each);
    auto data = some_data();
    ab::SupervisedPass scaled(each, optimizer, CrossEntropy(),
                              {.autocast = torch::kHalf, .loss_scale = scale, .loss_scale_interval = 5});
    train(data, scaled);
    CHECK(scaled->scale().item().toDouble() == scale * 4);
    CHECK(scaled->skipped == 0);
    return each;
  };
  CHECK(close(trained(1), trained(1024), 2e-3));
}

TEST_CASE("LBFGS gets a function that computes the loss anew", "[options]") {
  const auto batch = in_list(some_data(50))[0];
  Mlp by_hand = some_mlp(), by_tree = some_mlp();
  const auto options = torch::optim::LBFGSOptions(0.5).max_iter(6);
  torch::optim::LBFGS hand(by_hand->parameters(), options), tree(by_tree->parameters(), options);
  std::vector<float> losses_by_hand, losses;
  for (int i = 0; i < 4; ++i) {
    losses_by_hand.push_back(hand.step([&] {
                                   hand.zero_grad();
                                   auto loss = loss_of(by_hand, batch);
                                   loss.backward();
                                   return loss;
                                 })
                                 .item<float>());
  }
  auto data = some_data(50);
  train(data,
        ab::SupervisedPass(by_tree, tree, CrossEntropy())(
            "end", [&](ab::SupervisedPass::Node& pass) { losses.push_back(pass.loss().item<float>()); }),
        4);
  CHECK(same(by_hand, by_tree));
  CHECK(losses == losses_by_hand);
}

TEST_CASE("a step inside backward updates the same, and frees each gradient", "[options]") {
  const auto trained = [](auto make_optimizer, ab::PassOptions options) {
    Mlp model = some_mlp();
    auto optimizer = make_optimizer(model);
    auto data = some_data();
    train(data, ab::SupervisedPass(model, optimizer, CrossEntropy(), options)("backward", [&] {
            for (const auto& parameter : model->parameters())
              CHECK(parameter.grad().defined() == !options.step_in_backward);
          }));
    loss_of(model, in_list(some_data())[0]).backward();  // no hook is left behind
    for (const auto& parameter : model->parameters()) CHECK(parameter.grad().defined());
    return model;
  };
  const auto stock = [](Mlp& model) { return torch::optim::Adam(model->parameters()); };
  const auto fused = [](Mlp& model) { return ab::optim::AdamW(model->parameters()); };
  CHECK(same(trained(stock, {.step_in_backward = true}), trained(stock, {})));
  CHECK(same(trained(fused, {.step_in_backward = true}), trained(fused, {})));
  CHECK(same(trained(momentum, {.clip_value = 0.02, .step_in_backward = true}),
             trained(momentum, {.clip_value = 0.02})));
}

TEST_CASE("gradients are handed over, or zeroed where they are", "[options]") {
  for (const bool in_place : {false, true}) {
    Mlp model = some_mlp();
    auto sgd = momentum(model);
    auto data = some_data();
    Lines lines;
    train(data,
          ab::SupervisedPass(model, sgd, CrossEntropy(), {.zero_in_place = in_place})(
              "start",
              [&] {
                const auto& gradient = model->first->weight.grad();
                lines.push_back(!gradient.defined()                           ? "none"
                                : gradient.equal(torch::zeros_like(gradient)) ? "zero"
                                                                              : "left");
              }),
          1);
    CHECK(lines ==
          (in_place ? Lines{"none", "zero", "zero", "zero"} : Lines{"none", "none", "none", "none"}));
  }
}

TEST_CASE("channels-last orders weights and inputs, and changes no result", "[options]") {
  struct NetImpl : torch::nn::Module {
    torch::nn::Conv2d conv{register_module("conv", torch::nn::Conv2d(3, 4, 3))};
    torch::nn::Linear linear{register_module("linear", torch::nn::Linear(4 * 4 * 4, 3))};
    torch::Tensor forward(const torch::Tensor& x) { return linear(torch::relu(conv(x)).flatten(1)); }
  };
  const auto trained = [](bool channels_last) {
    torch::manual_seed(1);
    auto model = std::make_shared<NetImpl>();
    torch::optim::SGD sgd(model->parameters(), 0.1);
    ab::TensorBatches data(torch::randn({20, 3, 6, 6}), torch::randint(3, {20}),
                           {.batch_size = 8, .shuffle = false});
    Lines lines;
    train(data,
          ab::SupervisedPass(model, sgd, CrossEntropy(), {.channels_last = channels_last})(
              "step",
              [&](ab::SupervisedPass::Node& pass) {
                for (const auto& tensor :
                     {pass.inputs(), model->conv->weight, torch::Tensor(model->conv->weight.grad())})
                  lines.push_back(tensor.is_contiguous(at::MemoryFormat::ChannelsLast) ? "last" : "first");
              }),
          1);
    CHECK(lines.size() == 9);
    for (const auto& line : lines) CHECK(line == (channels_last ? "last" : "first"));
    return model;
  };
  const auto one = trained(false), other = trained(true);
  CHECK(one->conv->weight.allclose(other->conv->weight, 1e-5, 1e-6));
  CHECK(one->linear->weight.allclose(other->linear->weight, 1e-5, 1e-6));
}

TEST_CASE("options that don't go together are told before the first batch", "[options]") {
  Mlp model;
  auto sgd = momentum(model);
  torch::optim::LBFGS lbfgs(model->parameters());
  CHECK(faults_of({}, sgd) == Lines{});
  CHECK(faults_of({.channels_last = true, .autocast = torch::kBFloat16}) == Lines{});
  CHECK(faults_of({.accumulate = 0, .clip_norm = 0., .clip_value = -1., .average = 1.}, sgd) ==
        Lines{"clip_norm must be greater than 0, got 0; leave it out for none",
              "clip_value must be greater than 0, got -1; leave it out for none",
              "accumulate must be at least 1, got 0; pass 1 for a step each batch",
              "average must be a decay from 0 to less than 1, got 1; pass 0.999"});
  CHECK(faults_of({.autocast = torch::kLong, .loss_scale = 0, .loss_scale_interval = 0}, sgd) ==
        Lines{"loss_scale must be greater than 0, got 0; leave it out for none",
              "loss_scale_interval must be at least 1, got 0; pass 2000",
              "autocast must be torch::kBFloat16 or torch::kHalf, got Long; pass one of them"});
  CHECK(
      faults_of({.clip_norm = 1., .average = 0.9}) ==
      Lines{"clip_norm is for a training pass, got one without an optimizer; pass that, or leave the option "
            "out",
            "average is for a training pass, got one without an optimizer; pass that, or leave the option "
            "out"});
  CHECK(faults_of({.accumulate = 2, .clip_norm = 1., .step_in_backward = true}, sgd) ==
        Lines{"step_in_backward updates a parameter before all gradients are there, got it with accumulate; "
              "leave one of them out",
              "step_in_backward updates a parameter before all gradients are there, got it with clip_norm; "
              "leave one of them out"});
  CHECK(faults_of({.accumulate = 2}, lbfgs) ==
        Lines{"a closure computes the loss of its one batch anew, got it with accumulate; leave one of them "
              "out"});
  CHECK(
      faults_of({.non_finite = ab::NonFinite::skip, .autocast = torch::kHalf}, sgd) ==
      Lines{"autocast in float16 leaves out the steps whose gradients are not finite by itself, got it with "
            "non_finite; leave one of them out"});
}

TEST_CASE("channels-last needs a batch that abyme knows", "[options]") {
  struct Own {
    torch::Tensor x, y;
  };
  std::vector<Own> list(3);
  Mlp model;
  ab::DataLooper data(list);
  data("iteration_end",
       ab::Pass(model, [&](const Own& own) { return model->forward(own.x).sum(); }, {.channels_last = true}));
  const auto faults = ab::faults(ab::Ground()("dig", data));
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].message == "channels_last needs a batch that abyme knows, got one of a type of your own; "
                             "convert its inputs in the step function, or use ab::Batch");
}

}  // namespace options_tests
