#include <abyme/data/batch.hpp>
#include <abyme/optim/adam.hpp>
#include <abyme/optim/tune.hpp>

#include <catch2/catch.hpp>

#include <support/error_of.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace tune_tests {
namespace {

// Time that passes only where a Machine says so.
struct FakeClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<FakeClock>;
  static inline duration time{};
  static time_point now() { return time_point(time); }
};

using Arguments = ab::CallArguments;

// Says how many milliseconds an operator takes.
class Machine {
public:
  using Cost = std::function<double(const std::string& name, Arguments arguments)>;
  explicit Machine(Cost cost) {
    now = std::move(cost);
    at::set_num_threads(1);  // threads that wait for each other cost time where others compute as well
    callback_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&spend).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~Machine() {
    at::removeCallback(callback_);
    at::set_num_threads(threads_);
  }

private:
  static inline Cost now;
  static std::unique_ptr<at::ObserverContext> spend(const at::RecordFunction& call) {
    if (!call.operator_name()) return nullptr;  // a function of the backward pass
    FakeClock::time +=
        std::chrono::microseconds(std::int64_t(1000 * now(call.name(), ab::observed_arguments(call))));
    return nullptr;
  }
  const int threads_ = at::get_num_threads();
  at::CallbackHandle callback_;
};

bool channels_last(const c10::IValue& argument) {
  return argument.toTensor().suggest_memory_format() == at::MemoryFormat::ChannelsLast;
}

// torch::nn::Linear calls addmm with the transposed weight, which is row-major where the weight is
// column-major.
double likes_columns(const std::string& name, Arguments arguments) {
  if (name != "aten::addmm") return 0;
  const at::Tensor& transposed = arguments[2].toTensor();
  if (transposed.size(0) < 8) return transposed.is_contiguous() ? 2.9 : 3;  // not worth a change
  return transposed.is_contiguous() ? 4 : 10;
}

torch::nn::Sequential small_mlp() {
  return torch::nn::Sequential(torch::nn::Linear(8, 4), torch::nn::ReLU(), torch::nn::Linear(4, 2));
}

std::string orders_of(const torch::nn::Module& model) {
  std::string all;
  for (const auto& [name, strides] : ab::memory_orders(model))
    all += fmt::format("{} [{}] ", name, fmt::join(strides, ", "));
  return all;
}

std::string printed(const ab::TuneReport& report) {
  std::ostringstream out;
  out << report;
  CHECK(fmt::format("{}", report) == out.str());
  return out.str();
}

using tests::error_of;

}  // namespace

TEST_CASE("tune keeps the faster order of each layer and tells it in a table") {
  auto model = small_mlp();
  const at::Tensor inputs = torch::rand({5, 8}), outputs = model->forward(inputs);
  const Machine machine(&likes_columns);
  CHECK(printed(ab::tune<FakeClock>(model, inputs)) ==
        "weight       memory order                       before         after\n"
        "0.weight     column-major, was row-major    10000.0 us     4000.0 us\n"
        "2.weight     row-major                       3000.0 us     3000.0 us\n"
        "whole model                                 13000.0 us     7000.0 us\n");
  CHECK(orders_of(*model) == "0.weight [1, 4] ");
  CHECK(torch::allclose(model->forward(inputs), outputs));

  CHECK(printed(ab::tune<FakeClock>(model, inputs)) ==
        "weight       memory order        before         after\n"
        "0.weight     column-major     4000.0 us     4000.0 us\n"
        "2.weight     row-major        3000.0 us     3000.0 us\n"
        "whole model                   7000.0 us     7000.0 us\n");

  ab::tune<FakeClock>(model, inputs, {.margin = 0.01});  // now the 3 % of the second layer count
  CHECK(orders_of(*model) == "0.weight [1, 4] 2.weight [1, 2] ");
}

TEST_CASE("tune goes back where the order that it finds is slower") {
  {
    auto model = small_mlp();
    ab::set_memory_orders(*model, {{"0.weight", {1, 4}}, {"2.weight", {1, 2}}});
    const Machine machine([](const std::string& name, Arguments arguments) {
      return name == "aten::addmm" && arguments[2].toTensor().is_contiguous() ? 5.0 : 1.0;
    });
    ab::tune<FakeClock>(model, torch::rand({5, 8}), {.training = false});
    CHECK(orders_of(*model).empty());
  }
  torch::nn::Sequential convolution(torch::nn::Conv2d(3, 4, 2));
  ab::set_memory_orders(*convolution, {{"0.weight", {12, 1, 6, 3}}});
  const Machine other([](const std::string& name, Arguments arguments) {
    return name == "aten::conv2d" && channels_last(arguments[1]) ? 5.0 : 1.0;
  });
  ab::tune<FakeClock>(convolution, torch::rand({5, 3, 8, 8}));
  CHECK(orders_of(*convolution).empty());
}

namespace {

// Two convolutions of three channels: what one takes depends on the order of its input and of its weight.
struct ConvNetImpl : torch::nn::Module {
  torch::nn::Conv2d first{register_module("first", torch::nn::Conv2d(3, 4, 2))};
  torch::nn::Conv2d second{register_module("second", torch::nn::Conv2d(4, 3, 2))};
  torch::nn::Linear last{register_module("last", torch::nn::Linear(108, 2))};
  at::Tensor forward(const at::Tensor& images) {  // [batch, 3, 8, 8]
    return last(torch::relu(second(torch::relu(first(images)))).flatten(1));
  }
};
TORCH_MODULE(ConvNet);

double likes_channels_last(const std::string& name, Arguments arguments, double conversion) {
  if (name != "aten::conv2d") return 0;
  const bool input = channels_last(arguments[0]), weight = channels_last(arguments[1]);
  return input != weight ? 1 + conversion : input ? 1 : 10;
}

}  // namespace

TEST_CASE("convolutions change their order together, and the batch with them where that pays") {
  const at::Tensor images = torch::rand({5, 3, 8, 8});
  const std::string others = "first.weight [12, 1, 6, 3] second.weight [16, 1, 8, 4] ";
  double conversion = 20;
  const Machine machine([&](const std::string& name, Arguments arguments) {
    return likes_channels_last(name, arguments, conversion);
  });
  ConvNet net;
  const at::Tensor outputs = net(images);
  // With the weights alone 22 ms for 20.
  ab::TuneReport report = ab::tune<FakeClock>(net, images);
  CHECK(printed(report) ==
        "weight         memory order                         before         after\n"
        "first.weight   channels-last, was contiguous    10000.0 us     1000.0 us\n"
        "second.weight  channels-last, was contiguous    10000.0 us     1000.0 us\n"
        "last.weight    row-major                            0.0 us        0.0 us\n"
        "whole model                                     20000.0 us     2000.0 us\n"
        "Faster with a batch in channels-last order: give the pass {.channels_last = true}.\n");
  CHECK(report.channels_last);
  CHECK(orders_of(*net) == others);
  CHECK(torch::allclose(net(images), outputs, 1e-4, 1e-5));

  conversion = 5;  // the weights alone: 7 ms
  net = ConvNet();
  report = ab::tune<FakeClock>(net, images, {.margin = 0.8});
  CHECK((report.before == 20e3 && report.after == 2e3 && report.channels_last));
  conversion = 0;  // the batch may stay
  net = ConvNet();
  report = ab::tune<FakeClock>(net, images);
  CHECK((report.before == 20e3 && report.after == 2e3 && !report.channels_last));
  CHECK(orders_of(*net) == others);

  conversion = 20;  // a function has no batch to convert
  net = ConvNet();
  report = ab::tune<FakeClock>(net, [&] { return net(images); });
  CHECK((report.before == 20e3 && report.after == 20e3 && !report.channels_last));
  CHECK(orders_of(*net).empty());
}

TEST_CASE("all that a model does with a weight counts") {
  struct NetImpl : torch::nn::Module {
    torch::nn::Linear fc{register_module("fc", torch::nn::Linear(8, 8))};
    at::Tensor forward(const at::Tensor& inputs) { return fc(fc(inputs)) + (fc->weight * fc->weight).sum(); }
  };
  double square = 0;
  const Machine machine([&](const std::string& name, Arguments arguments) {
    if (name == "aten::mul") return arguments[0].toTensor().is_contiguous() ? 0.0 : square;
    return likes_columns(name, arguments);
  });
  const auto tuned = [&] {
    const auto net = std::make_shared<NetImpl>();
    const ab::TuneReport report = ab::tune<FakeClock>(net, torch::rand({5, 8}), {.training = false});
    return std::pair(report.weights.at(0).before, report.weights.at(0).after);
  };
  CHECK(tuned() == std::pair(20e3, 8e3));  // called twice
  square = 5;
  CHECK(tuned() == std::pair(20e3, 13e3));
  square = 15;
  CHECK(tuned() == std::pair(20e3, 20e3));
}

TEST_CASE("an order is taken back where the model as a whole gets slower by it") {
  struct NetImpl : torch::nn::Module {
    torch::nn::Linear fc{register_module("fc", torch::nn::Linear(8, 4))};
    at::Tensor forward(const at::Tensor& inputs) { return fc(inputs) + fc->weight.contiguous().sum(); }
  };
  NetImpl net;
  const Machine machine([&](const std::string& name, Arguments arguments) {
    return name == "aten::clone" ? 50 : likes_columns(name, arguments);
  });
  CHECK(printed(ab::tune<FakeClock>(net, torch::rand({5, 8}))) ==
        "weight       memory order        before         after\n"
        "fc.weight    row-major       10000.0 us    10000.0 us\n"
        "whole model                  10000.0 us    10000.0 us\n");
  CHECK(orders_of(net).empty());
}

TEST_CASE("tune takes weights however a forward multiplies with them, and leaves what it can't lay out") {
  struct NetImpl : torch::nn::Module {
    at::Tensor matrix = register_parameter("matrix", torch::rand({8, 8}));
    at::Tensor times = register_parameter("times", torch::rand({8, 8}));
    at::Tensor linear = register_parameter("linear", torch::rand({8, 8}));
    at::Tensor frozen = register_parameter("frozen", torch::rand({8, 8}), false);
    at::Tensor batched = register_parameter("batched", torch::rand({8, 8}));
    at::Tensor added = register_parameter("added", torch::rand({5, 8}));     // no product
    at::Tensor sliced = register_parameter("sliced", torch::rand({16, 8}));  // a part of it
    at::Tensor partly = register_parameter("partly", torch::rand({8, 8}));   // so too, and as a whole
    at::Tensor listed = register_parameter("listed", torch::rand({8, 8}));   // also in a list
    at::Tensor row = register_parameter("row", torch::rand({1, 8}));         // has one order only
    at::Tensor unused = register_parameter("unused", torch::rand({8, 8}));
    at::Tensor flat = torch::rand({128});
    at::Tensor view = register_parameter("view", flat.slice(0, 0, 64).view({8, 8}));
    at::Tensor one = register_parameter("one", torch::rand({8, 8}));
    at::Tensor two = register_parameter("two", one.detach());  // two tensors, one memory
    torch::nn::LSTM lstm{register_module("lstm", torch::nn::LSTM(8, 8))};
    at::Tensor forward(at::Tensor x) {  // [5, 8]
      x = x.mm(matrix).matmul(times.t());
      x = at::linear(x, linear) + added + x.mm(frozen);
      x = x.view({5, 1, 8}).matmul(batched.t()).view({5, 8});
      x = x.mm(partly) + x.slice(1, 0, 4).mm(partly.slice(0, 0, 4));
      x = x.mm(listed) + at::cat({listed, listed}).sum();
      x = x.mm(sliced.slice(0, 0, 8)).mm(view).mm(one).mm(two);
      return std::get<0>(lstm(x.view({5, 1, 8}))).view({5, 8}).mm(row.t());
    }
  };
  NetImpl net;
  const Machine machine([](const std::string& name, Arguments arguments) {
    double time = 1;  // for each matrix of columns that an operator gets
    for (const c10::IValue& argument : arguments) {
      if (name != "aten::t" && argument.isTensor() && argument.toTensor().dim() == 2) {
        const at::Tensor& tensor = argument.toTensor();
        time += tensor.size(0) == 8 && tensor.size(1) == 8 && !tensor.is_contiguous() ? 100 : 0;
      }
    }
    return time;
  });
  std::string names;
  for (const ab::TunedWeight& each : ab::tune<FakeClock>(net, torch::rand({5, 8})).weights)
    names += each.name + " " + each.order + ", ";
  CHECK(
      names ==
      "matrix row-major, times column-major, linear column-major, frozen row-major, batched column-major, ");
  CHECK(net.frozen.requires_grad() == false);
}

namespace {

struct RandomNetImpl : torch::nn::Module {
  torch::nn::Conv2d conv{
      register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).bias(false)))};
  torch::nn::BatchNorm2d norm{register_module("norm", torch::nn::BatchNorm2d(4))};
  torch::nn::Dropout drop{register_module("drop", torch::nn::Dropout(0.5))};
  torch::nn::Linear fc{register_module("fc", torch::nn::Linear(144, 16))};
  torch::nn::Linear last{register_module("last", torch::nn::Linear(16, 3))};
  at::Tensor forward(const at::Tensor& images) {  // [batch, 3, 8, 8]
    return last(torch::relu(fc(drop(torch::relu(norm(conv(images)))).flatten(1))));
  }
};
TORCH_MODULE(RandomNet);

// Everything about a model that can be compared.
std::string state_of(const torch::nn::Module& model, const at::Tensor& held) {
  std::ostringstream all;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    all << name << ' ' << tensor.sizes() << tensor.requires_grad() << tensor.is_leaf() << ' '
        << tensor.detach().to(at::kDouble).flatten() << '\n';
  };
  all.precision(17);
  for (const auto& each : model.named_parameters()) {
    add(each.key(), each.value());
    add(each.key() + ".grad", each.value().grad().defined() ? each.value().grad() : torch::empty({0}));
  }
  for (const auto& each : model.named_buffers()) add(each.key(), each.value());
  for (const auto& each : model.named_modules()) all << each.key() << each.value()->is_training() << '\n';
  add("held", held);
  add("generator", at::globalContext().defaultGenerator(at::kCPU).get_state());
  return all.str();
}

double likes_the_other(const std::string& name, Arguments arguments) {
  if (name == "aten::conv2d") return channels_last(arguments[1]) ? 1 : 10;
  if (name == "aten::addmm") return arguments[2].toTensor().is_contiguous() ? 1 : 10;
  return 0;
}

const std::string all_others = "conv.weight [27, 1, 9, 3] fc.weight [1, 16] last.weight [1, 3] ";

}  // namespace

TEST_CASE("tune changes nothing but the order") {
  torch::manual_seed(3);
  RandomNet net;
  net->norm->eval();
  net->last->weight.requires_grad_(false);
  const at::Tensor images = torch::rand({5, 3, 8, 8});
  net(images).sum().backward();
  net->norm->train();
  const at::Tensor held = net->fc->weight;
  int hooks = 0;
  net->norm->weight.register_hook([&](const at::Tensor&) { ++hooks; });
  const Machine machine(&likes_the_other);
  for (const bool training : {true, false}) {
    ab::set_memory_orders(*net, {});
    const std::string before = state_of(*net, held);
    ab::tune<FakeClock>(net, images, {.training = training});
    CHECK(orders_of(*net) == all_others);
    CHECK(state_of(*net, held) == before);
    CHECK(held.grad().strides() == held.strides());
    CHECK(torch::rand({3}).defined());  // another state of the generator
  }
  CHECK(hooks > 0);  // these see the gradients of the trial runs
}

TEST_CASE("a model of any order trains alike, with optimizers made before and after, with gradients in the "
          "same order") {
  const at::Tensor images = torch::rand({5, 3, 8, 8}), targets = torch::randint(3, {5});
  const Machine machine(&likes_the_other);
  const auto trained = [&](auto make_optimizer, bool tuned) {
    torch::manual_seed(4);
    RandomNet net;
    net->drop->eval();  // it draws in memory order
    auto optimizer = make_optimizer(net->parameters());
    for (int step = 0; step < 20; ++step) {
      if (tuned && step == 7) {
        ab::tune<FakeClock>(net, images);
        CHECK(orders_of(*net) == all_others);
      }
      optimizer.zero_grad();
      torch::cross_entropy_loss(net(images), targets).backward();
      if (tuned && step > 7) {
        for (const at::Tensor& parameter : net->parameters())
          CHECK(parameter.grad().strides() == parameter.strides());
      }
      optimizer.step();
    }
    std::vector<at::Tensor> all;
    for (const at::Tensor& parameter : net->parameters()) all.push_back(parameter.detach().flatten());
    for (const at::Tensor& buffer : net->buffers()) all.push_back(buffer.flatten().to(at::kFloat));
    return torch::cat(all);
  };
  const auto difference = [&](auto make_optimizer) {
    return (trained(make_optimizer, true) - trained(make_optimizer, false))
        .abs()
        .max()
        .template item<double>();
  };
  using Parameters = std::vector<at::Tensor>;
  CHECK(difference([](const Parameters& all) {
          return torch::optim::SGD(all, torch::optim::SGDOptions(0.05).momentum(0.9));
        }) < 1e-4);
  CHECK(difference([](const Parameters& all) { return torch::optim::Adam(all, 1e-3); }) < 1e-4);
  CHECK(difference([](const Parameters& all) { return ab::optim::Adam(all, 1e-3); }) < 1e-4);
}

TEST_CASE("tied weights are measured once and stay tied") {
  struct NetImpl : torch::nn::Module {
    torch::nn::Linear one{register_module("one", torch::nn::Linear(8, 8))};
    torch::nn::Linear two{register_module("two", torch::nn::Linear(8, 8))};
    NetImpl() { two->weight = two->named_parameters(false)["weight"] = one->weight; }
    at::Tensor forward(const at::Tensor& x) { return two(one(x)); }
  };
  NetImpl net;
  const Machine machine(&likes_columns);
  const ab::TuneReport report = ab::tune<FakeClock>(net, torch::rand({5, 8}));
  CHECK(report.weights.size() == 1);
  CHECK((report.before == 20e3 && report.after == 8e3));
  CHECK(net.one->weight.is_same(net.two->weight));
}

TEST_CASE("tune takes any batch of which the inputs can be told, and models in any form") {
  const at::Tensor inputs = torch::rand({5, 8}), targets = torch::rand({5, 2});
  const Machine machine(&likes_columns);
  const auto check = [&](auto&& batch) {
    auto holder = small_mlp();
    CHECK(ab::tune<FakeClock>(holder, batch).after == 7e3);
    CHECK(ab::tune<FakeClock>(holder.ptr(), batch).after == 7e3);
    CHECK(ab::tune<FakeClock>(*holder, batch).after == 7e3);
    const auto shared = holder;
    CHECK(ab::tune<FakeClock>(shared, batch).after == 7e3);
  };
  check(inputs);
  check(ab::Batch{inputs, targets});
  check(torch::data::Example<>(inputs, targets));
  check(std::pair(inputs, targets));
  auto model = small_mlp();
  const auto loss = [&] { return torch::mse_loss(model->forward(inputs), targets); };
  CHECK(ab::tune<FakeClock>(model, loss).after == 7e3);
}

TEST_CASE("tune has nothing to do for a model without weights") {
  torch::nn::Sequential model((torch::nn::ReLU()));
  const Machine machine([](const std::string& name, Arguments) { return name == "aten::relu" ? 2 : 0; });
  CHECK(printed(ab::tune<FakeClock>(model, torch::rand({5, 8}))) ==
        "weight       memory order        before         after\n"
        "whole model                   2000.0 us     2000.0 us\n");
}

TEST_CASE("a batch that the model can't take is LibTorch's error, and the model stays as it was") {
  RandomNet net;
  const at::Tensor images = torch::rand({5, 3, 8, 8});
  const at::Tensor two_channels = torch::rand({5, 2, 8, 8}), larger = torch::rand({5, 3, 9, 9});
  const std::string before = state_of(*net, net->fc->weight);
  CHECK(
      error_of([&] { ab::tune(net, two_channels); }) ==
      "tune: Given groups=1, weight of size [4, 3, 3, 3], expected input[5, 2, 8, 8] to have 3 channels, but "
      "got 2 channels instead");
  CHECK(error_of([&] { ab::tune(net, larger); }) ==  // behind batch norm and dropout
        "tune: mat1 and mat2 shapes cannot be multiplied (5x196 and 144x16)");
  CHECK(error_of([&] { ab::tune(net, [&]() -> at::Tensor { throw std::runtime_error("no data"); }); }) ==
        "tune: no data");

  int call = 0;  // it fails in the middle, with the weights in another order
  const void* const memory = net->conv->weight.data_ptr();
  const auto fails = [&] {
    if (++call == 5) throw std::runtime_error("no data");
    return net(images);
  };
  CHECK_THROWS_WITH(ab::tune(net, fails), "no data");
  CHECK(state_of(*net, net->fc->weight) == before);
  CHECK(net->conv->weight.data_ptr() == memory);
}

TEST_CASE("options of tune are checked") {
  auto model = small_mlp();
  CHECK(error_of([&] {
          ab::tune(model, torch::rand({5, 8}), {.margin = 1});
        }) == "tune: margin must be from 0 to below 1, got 1; pass 0.05 for 5 %");
  CHECK(error_of([&] {
          ab::tune(model, torch::rand({5, 8}), {.rounds = 0});
        }) == "tune: rounds must be at least 1, got 0; pass 30");
}

}  // namespace tune_tests
