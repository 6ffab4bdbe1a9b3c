#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace pass_tests {

using Lines = std::vector<std::string>;

namespace {

struct NetImpl : torch::nn::Module {
  explicit NetImpl(double drop = 0.5) : dropout(register_module("dropout", torch::nn::Dropout(drop))) {}
  torch::nn::Linear first{register_module("first", torch::nn::Linear(6, 8))};
  torch::nn::Dropout dropout;
  torch::nn::Linear second{register_module("second", torch::nn::Linear(8, 3))};
  int switches = 0;  // of the mode

  torch::Tensor forward(const torch::Tensor& x) {
    return torch::log_softmax(second(dropout(torch::relu(first(x)))), 1);
  }
  void train(bool on = true) override {
    ++switches;
    torch::nn::Module::train(on);
  }
};
TORCH_MODULE(Net);

ab::TensorBatches some_batches(std::int64_t samples = 50, std::int64_t batch_size = 16) {
  const auto generator = at::detail::createCPUGenerator(7);
  return {torch::randn({samples, 6}, generator),
          torch::randint(3, {samples}, generator, torch::kLong),
          {.batch_size = batch_size, .seed = 3}};
}

torch::optim::SGD momentum(Net& net) {
  return torch::optim::SGD(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
}

// A ground over a looper over batches over what hangs on each.
template <class... Children>
ab::Ground tree(ab::TensorBatches& batches, std::int64_t epochs, const Children&... each_batch) {
  ab::DataLooper data(batches);
  data("iteration_end", each_batch...);
  ab::IterationLooper looper(epochs);
  looper("iteration_end", data);
  return ab::Ground()("dig", looper);
}

}  // namespace

TEST_CASE("a training pass fires start, forward, loss, backward, step, end; an evaluating one leaves out two",
          "[pass]") {
  Net net;
  auto sgd = momentum(net);
  auto batches = some_batches(4, 4);
  Lines lines;
  const auto note = [&](std::string what) {
    return [&lines, &net, what](ab::Pass::Node& pass) {
      const auto& weight = net->second->weight;
      lines.push_back(what + (pass.loss().defined() ? " loss" : "") +
                      (pass.loss().defined() && pass.loss().requires_grad() ? " graph" : "") +
                      (weight.grad().defined() ? " gradient" : ""));
    };
  };
  const auto watch = [&](const ab::Pass& pass) {
    return pass("start", note("start"))("forward", note("forward"))("loss", note("loss"))(
        "backward", note("backward"))("step", note("step"))("end", note("end"));
  };
  const auto step = [&](const ab::Batch& batch) {
    return torch::nll_loss(net->forward(batch.inputs), batch.targets);
  };

  SECTION("training, twice: gradients are none at the start, the graph is gone from backward on") {
    tree(batches, 2, watch(ab::Pass(net, sgd, step))).dig();
    CHECK(lines == Lines{"start", "forward loss graph", "loss loss graph", "backward loss gradient",
                         "step loss gradient", "end loss gradient", "start", "forward loss graph",
                         "loss loss graph", "backward loss gradient", "step loss gradient",
                         "end loss gradient"});
  }
  SECTION("evaluating: no graph, no backward, no step") {
    tree(batches, 1, watch(ab::Pass(net, step))).dig();
    CHECK(lines == Lines{"start", "forward loss", "loss loss", "end loss"});
  }
  SECTION("evaluating leaves gradients as they are") {
    net->second->weight.mutable_grad() = torch::ones_like(net->second->weight);
    tree(batches, 1, ab::Pass(net, step)).dig();
    CHECK(net->second->weight.grad().equal(torch::ones_like(net->second->weight)));
  }
}

TEST_CASE("100 steps of a tree with an evaluation inside equal a loop written by hand, bit for bit",
          "[pass]") {
  const auto train_by_hand = [] {
    torch::manual_seed(1);
    Net net;
    auto sgd = momentum(net);
    auto batches = some_batches(400, 16), test = some_batches(50, 16);
    std::vector<float> losses;
    for (int epoch = 0; epoch < 4; ++epoch) {
      net->train();
      for (const ab::Batch& batch : batches) {
        sgd.zero_grad();
        torch::Tensor loss = torch::nll_loss(net->forward(batch.inputs), batch.targets);
        loss.backward();
        sgd.step();
        losses.push_back(loss.item<float>());
      }
      net->eval();
      torch::NoGradGuard no_grad;
      for (const ab::Batch& batch : test) {
        losses.push_back(torch::nll_loss(net->forward(batch.inputs), batch.targets).item<float>());
      }
    }
    return std::pair{losses, net};
  };
  const auto train_a_tree = [] {
    torch::manual_seed(1);
    Net net;
    auto sgd = momentum(net);
    auto batches = some_batches(400, 16), test = some_batches(50, 16);
    std::vector<float> losses;
    const auto note = [&](ab::SupervisedPass::Node& pass) { losses.push_back(pass.loss().item<float>()); };
    const torch::nn::NLLLoss criterion;
    ab::DataLooper train_data(batches), test_data(test);
    train_data("iteration_end", ab::SupervisedPass(net, sgd, criterion)("end", note));
    test_data("iteration_end", ab::SupervisedPass(net, criterion)("end", note));
    ab::IterationLooper epochs(4);
    epochs("iteration_start", train_data, test_data);
    ab::Ground()("dig", epochs).dig();
    return std::pair{losses, net};
  };
  const auto [by_hand, net_by_hand] = train_by_hand();
  const auto [by_tree, net_by_tree] = train_a_tree();
  CHECK(by_hand.size() == 4 * (25 + 4));
  CHECK(by_hand == by_tree);
  for (const auto& parameter : net_by_hand->named_parameters()) {
    CHECK(parameter.value().equal(net_by_tree->named_parameters()[parameter.key()]));
  }
}

TEST_CASE("a run that is stopped in the step function goes no further in the pass", "[pass]") {
  Net net;
  auto sgd = momentum(net);
  auto batches = some_batches();
  const torch::Tensor before = net->first->weight.detach().clone();
  ab::Run* run = nullptr;
  ab::Pass pass(net, sgd, [&](const ab::Batch& batch) {
    run->stop("enough");
    return net->forward(batch.inputs).sum();
  });
  SECTION("nothing hangs on it") {}
  SECTION("something does behind it") {
    pass("backward", [] { FAIL("it must not run"); })("end", [] { FAIL("it must not run"); });
  }
  CHECK(tree(
            batches, 1, [&](ab::Run& own) { run = &own; }, pass)
            .dig()
            .reason == "enough");
  CHECK_FALSE(net->first->weight.grad().defined());
  CHECK(net->first->weight.equal(before));
}

TEST_CASE("gradients are on or off around the pass's own computation only", "[pass]") {
  Net net;
  auto sgd = momentum(net);
  auto batches = some_batches(4, 4);
  std::vector<bool> in_events, in_steps;
  const auto see = [&] { in_events.push_back(torch::GradMode::is_enabled()); };
  const auto step = [&](const ab::Batch& batch) {
    in_steps.push_back(torch::GradMode::is_enabled());
    return torch::nll_loss(net->forward(batch.inputs), batch.targets);
  };
  const auto ground =
      tree(batches, 1, ab::Pass(net, step)("start", see)("forward", see)("loss", see)("end", see),
           ab::Pass(net, sgd, step)("start", see)("forward", see)("backward", see)("end", see));
  SECTION("with gradients on outside") {
    ground.dig();
    CHECK(in_events == std::vector<bool>(8, true));
  }
  SECTION("with gradients off outside, it trains all the same") {
    torch::NoGradGuard no_grad;
    ground.dig();
    CHECK(in_events == std::vector<bool>(8, false));
  }
  CHECK(in_steps == std::vector<bool>{false, true});
  CHECK(torch::GradMode::is_enabled());
}

TEST_CASE("the mode is switched only where it differs, and every module gets its own back", "[pass]") {
  Net net;
  auto sgd = momentum(net);
  auto batches = some_batches(48, 16), test = some_batches(32, 16);
  const auto step = [&](const ab::Batch& batch) {
    return torch::nll_loss(net->forward(batch.inputs), batch.targets);
  };
  ab::DataLooper train_data(batches), test_data(test);
  train_data("iteration_end", ab::Pass(net, sgd, step));
  test_data("iteration_end", ab::Pass(net, step));
  ab::IterationLooper epochs(2);
  epochs("iteration_end", train_data, test_data);
  ab::Ground ground;
  ground("dig", epochs);

  SECTION("from training mode: to evaluation and back, once an epoch") {
    ground.dig();
    CHECK(net->switches == 3 + 1);  // eval, train, eval; and back at the end
    CHECK(net->is_training());
  }
  SECTION("a module frozen inside stays so while its model trains, and at the end") {
    net->dropout->eval();
    int trained = 0;
    train_data("iteration_end", [&] {
      CHECK(net->second->is_training());
      CHECK_FALSE(net->dropout->is_training());
      ++trained;
    });
    ground.dig();
    CHECK(trained == 2 * 3);
    CHECK(net->is_training());
    CHECK(net->first->is_training());
    CHECK_FALSE(net->dropout->is_training());
  }
  SECTION("also after an error") {
    net->eval();
    net->second->train();
    test_data("end", [] { throw std::runtime_error("stop here"); });
    CHECK_THROWS_AS(ground.dig(), ab::Error);
    CHECK_FALSE(net->is_training());
    CHECK_FALSE(net->first->is_training());
    CHECK(net->second->is_training());
  }
}

TEST_CASE("what a step function returns beside the loss is shown under its name", "[pass]") {
  Net net;
  auto batches = some_batches(20, 16);
  struct Result {
    torch::Tensor loss;
    torch::Tensor correct;
    std::int64_t tokens;
    std::string note;
  };
  const auto step = [&](const ab::Batch& batch) {
    const auto outputs = net->forward(batch.inputs);
    return Result{torch::nll_loss(outputs, batch.targets), outputs.argmax(1).eq(batch.targets).sum(),
                  5 * batch.inputs.size(0), "fine"};
  };
  ab::Pass pass(net, step);
  ab::Stats correct("correct"), tokens("tokens"), size("batch_size");
  pass("end", correct, tokens, size);
  tree(batches, 1, pass).dig();
  torch::NoGradGuard no_grad;
  net->eval();
  std::int64_t expected = 0;
  for (const ab::Batch& batch : batches)
    expected += net->forward(batch.inputs).argmax(1).eq(batch.targets).sum().item<std::int64_t>();
  CHECK(*correct->average() * 2 == double(expected));
  CHECK(*tokens->last() == 5 * 4);
  CHECK(*size->max() == 16);
  CHECK(*size->last() == 4);
  CHECK(pass.get("note").as<std::string>() == "fine");
}

TEST_CASE("the tensors that a training pass shows hold no graph after backward, views neither", "[pass]") {
  Net net;
  auto sgd = momentum(net);
  auto batches = some_batches(4, 4);
  struct Result {
    torch::Tensor loss, outputs, view;
  };
  const auto step = [&](const ab::Batch& batch) {
    const auto outputs = net->forward(batch.inputs);
    return Result{torch::nll_loss(outputs, batch.targets), outputs, outputs.view({-1})};
  };
  ab::Pass pass(net, sgd, step);
  bool graph_before = false;
  pass("loss", [&] { graph_before = pass.get("view").as<torch::Tensor>().requires_grad(); });
  tree(batches, 1, pass).dig();
  CHECK(graph_before);
  for (const char* name : {"loss", "outputs", "view"})
    CHECK_FALSE(pass.get(name).as<torch::Tensor>().requires_grad());
}

TEST_CASE("mistakes with a pass are told", "[pass]") {
  Net net;
  auto sgd = momentum(net);
  auto batches = some_batches(4, 4);
  const auto message = [](const ab::Ground& ground) -> std::string {
    try {
      ground.dig();
      return "none";
    } catch (const ab::Error& error) {
      return error.what();
    }
  };
  SECTION("a loss with more than one element") {
    CHECK(message(
              tree(batches, 1,
                   ab::Pass(net, sgd, [&](const ab::Batch& batch) { return net->forward(batch.inputs); }))) ==
          "IterationLooper/iteration_end[0]/DataLooper/iteration_end[0]/Pass: the loss must have one "
          "element, got Tensor[4, 3]; "
          "take its mean or its sum");
  }
  SECTION("data of another type than the step function takes, before the first batch") {
    CHECK(message(tree(batches, 1,
                       ab::Pass(net, [](const torch::data::Example<>& batch) { return batch.data; }))) ==
          "the tree has 1 fault\n  IterationLooper/iteration_end[0]/DataLooper/iteration_end[0]/Pass: data "
          "must be of type "
          "torch::data::Example<>, got DataLooper.data, which is abyme::Batch; take that type, or map the "
          "source to yours");
  }
  SECTION("a field that it does not show") {
    ab::Pass pass(net, [&](const ab::Batch& batch) { return net->forward(batch.inputs).mean(); });
    pass("end", ab::Stats("accuracy"));
    CHECK(message(tree(batches, 1, pass)) ==
          "the tree has 1 fault\n  "
          "IterationLooper/iteration_end[0]/DataLooper/iteration_end[0]/Pass/end[0]/Stats: value must be a "
          "field of Pass, got \"accuracy\"; it shows loss, batch_size, model, optimizer, data, last, "
          "skipped, gradient_norm, scale, accumulate, clip_norm, clip_value, average, non_finite, "
          "channels_last, "
          "autocast, loss_scale, loss_scale_interval, closure, step_in_backward, zero_in_place");
  }
  SECTION("no data looper above") {
    CHECK(message(ab::Ground()("dig", ab::Pass(net, [&](const ab::Batch& batch) { return batch.inputs; }))) ==
          "the tree has 1 fault\n  Pass: data must be a field of Ground, got \"data\"; it shows reason, "
          "completed");
  }
  SECTION("an exception of the step function: the path, and the original inside") {
    const auto ground = tree(batches, 1, ab::Pass(net, [&](const ab::Batch&) -> torch::Tensor {
                               throw std::out_of_range("no such token");
                             }));
    try {
      ground.dig();
      FAIL("no error");
    } catch (const ab::Error& error) {
      CHECK(std::string(error.what()) ==
            "IterationLooper/iteration_end[0]/DataLooper/iteration_end[0]/Pass: no such token");
      CHECK_THROWS_AS(std::rethrow_if_nested(error), std::out_of_range);
    }
  }
}

TEST_CASE("models and optimizers: holders and shared_ptr are shared, rvalues owned, lvalues borrowed",
          "[pass]") {
  struct Plain : torch::nn::Module {
    std::shared_ptr<int> alive = std::make_shared<int>(1);
    torch::Tensor weight = register_parameter("weight", torch::ones({1}));
    torch::Tensor forward(const torch::Tensor& x) { return weight * x.sum(); }
  };
  const auto criterion = [](const torch::Tensor& outputs, const torch::Tensor&) { return outputs.mean(); };
  std::weak_ptr<int> watch;
  SECTION("an rvalue lives as long as the tree") {
    auto batches = some_batches(4, 4);
    {
      ab::Ground ground;
      {
        Plain model;
        watch = model.alive;
        auto sgd = std::make_unique<torch::optim::SGD>(model.parameters(), 0.1);
        ground = tree(batches, 1, ab::SupervisedPass(std::move(model), std::move(sgd), criterion));
      }
      CHECK_FALSE(watch.expired());
      ground.dig();
    }
    CHECK(watch.expired());
  }
  SECTION("an lvalue and a shared_ptr are the user's own model") {
    auto batches = some_batches(4, 4);
    Plain borrowed;
    auto shared = std::make_shared<Plain>();
    torch::optim::SGD first(borrowed.parameters(), 0.1);
    auto second = std::make_shared<torch::optim::SGD>(shared->parameters(), 0.1);
    tree(batches, 1, ab::SupervisedPass(borrowed, first, criterion),
         ab::SupervisedPass(shared, second, criterion))
        .dig();
    CHECK(borrowed.weight.item<float>() != 1);
    CHECK(borrowed.weight.equal(shared->weight));
  }
}

TEST_CASE("a pass shows its model and its optimizer", "[pass]") {
  Net net;
  auto sgd = momentum(net);
  const auto step = [&](const ab::Batch& batch) { return net->forward(batch.inputs).mean(); };
  const ab::Pass trains(net, sgd, step), evaluates(net, step);
  const auto model = trains.get("model").as<ab::Opaque>();
  CHECK(model.address == net.get());
  CHECK(*model.type == ab::type_id<torch::nn::Module>);
  const auto optimizer = trains.get("optimizer").as<ab::Opaque>();
  CHECK(optimizer.address == &sgd);
  CHECK(*optimizer.type == ab::type_id<torch::optim::Optimizer>);
  CHECK(evaluates.get("model").as<ab::Opaque>().address == net.get());
  CHECK(std::get<ab::Opaque>(evaluates.get("optimizer")()).address == nullptr);
  CHECK_THROWS_AS(evaluates.get("optimizer").as<ab::Opaque>(), ab::Error);
}

}  // namespace pass_tests
