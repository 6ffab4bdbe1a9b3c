#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <cstring>
#include <memory>
#include <set>

namespace ab = abyme;

namespace save_model_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

struct NetImpl : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(2, 3))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(3))};
  torch::nn::Linear second{
      register_module("second", torch::nn::Linear(torch::nn::LinearOptions(3, 3).bias(false)))};
  NetImpl() { second->weight = second->register_parameter("tied", first->weight); }  // under two names
};
TORCH_MODULE(Net);

nlohmann::json header_of(const std::string& path) {
  const std::string file = content(path);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  return nlohmann::json::parse(file.substr(8, length));
}

ab::Ground ground_over(const ab::SaveModel& save, int digs = 1) {
  ab::IterationLooper loop(digs);
  return ab::Ground()("dig", loop("iteration_end", save));
}

std::string error_of(const ab::Ground& ground) {
  return tests::error_of([&] { ground.dig(); });
}

const std::string date = "\\d{4}-\\d\\d-\\d\\d_\\d\\d-\\d\\d-\\d\\d";

}  // namespace

TEST_CASE("parameters and buffers are saved under the names of PyTorch's state_dict", "[save_model]") {
  const Folder folder;
  Net net;
  ground_over(ab::SaveModel(net, folder / "deep/net", {.date = false})).dig();
  CHECK(folder.files() == Files{"deep/net.safetensors"});
  const auto header = header_of(folder / "deep/net.safetensors");
  std::set<std::string> names;
  for (const auto& [name, entry] : header.items()) names.insert(name);
  CHECK(header["__metadata__"]["format"] == "pt");
  CHECK(header["__metadata__"]["ties"] == R"([["first.weight","second.tied"]])");
  CHECK(names == std::set<std::string>{"__metadata__", "first.bias", "first.weight", "norm.bias",
                                       "norm.num_batches_tracked", "norm.running_mean", "norm.running_var",
                                       "norm.weight", "second.tied", "second.weight"});
  CHECK(header["norm.num_batches_tracked"]["dtype"] == "I64");
  CHECK(header["first.weight"]["shape"] == std::vector{3, 2});
  const auto data = content(folder / "deep/net.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, data.data(), 8);
  for (const auto& each : ab::named_tensors(*net)) {
    const auto first = 8 + length + header[each.name]["data_offsets"][0].get<std::size_t>();
    CHECK(std::memcmp(data.data() + first, each.tensor.data_ptr(), each.tensor.nbytes()) == 0);
  }
}

TEST_CASE("LibTorch's own archive is read by torch::load, with equal weights and buffers", "[save_model]") {
  const Folder folder;
  Net net, loaded;
  net->norm->running_mean.fill_(0.25);
  ground_over(ab::SaveModel(net, folder / "net", {.date = false, .archive = true})).dig();
  CHECK(folder.files() == Files{"net.pt"});
  CHECK_FALSE(loaded->first->weight.equal(net->first->weight));
  torch::load(loaded, folder / "net.pt");
  const auto parameters = loaded->named_parameters(), buffers = loaded->named_buffers();
  for (const auto& each : net->named_parameters()) CHECK(each.value().equal(parameters[each.key()]));
  for (const auto& each : net->named_buffers()) CHECK(each.value().equal(buffers[each.key()]));
}

TEST_CASE("what is saved are the weights of that moment", "[save_model]") {
  const Folder folder;
  torch::nn::Linear model(1, 1);
  ab::IterationLooper loop(2);
  ab::SaveModel save(model, folder / "net", {.date = false, .archive = true, .prefix = loop.get("counter")});
  loop(
      "iteration_end",
      [&](ab::IterationLooper::Node& node) {
        const torch::NoGradGuard no_grad;
        model->weight.fill_(double(node.counter));
      },
      save);
  ab::Ground()("dig", loop).dig();
  for (const int epoch : {1, 2}) {
    torch::nn::Linear loaded(1, 1);
    torch::load(loaded, folder / fmt::format("{}_net.pt", epoch));
    CHECK(loaded->weight.item<int>() == epoch);
  }
}

TEST_CASE("a name has the prefix, the date and the name itself, in this order", "[save_model]") {
  const Folder folder;
  torch::nn::Linear model(1, 1);
  const auto name_of = [&](ab::SaveModelOptions options, const std::string& name = "net") {
    const ab::SaveModel save(model, folder / name, std::move(options));
    ground_over(save).dig();
    CHECK(std::filesystem::exists(*save->path));
    return std::filesystem::path(*save->path).lexically_relative(folder.path()).string();
  };
  CHECK_THAT(name_of({}), Catch::Matches(date + "_net.safetensors"));
  CHECK_THAT(name_of({.prefix = 0}), Catch::Matches("0_" + date + "_net.safetensors"));
  CHECK_THAT(name_of({.archive = true, .prefix = ab::caller("counter")}),
             Catch::Matches("1_" + date + "_net.pt"));
  CHECK(name_of({.date = false, .prefix = "best"}) == "best_net.safetensors");
  CHECK(name_of({.overwrite = true}) == "net.safetensors");
  CHECK(name_of({.overwrite = true}, "sub/net.safetensors") == "sub/net.safetensors");
  CHECK(name_of({.overwrite = true}, "v1.2") == "v1.2.safetensors");
  CHECK(name_of({.date = false}, "x.pt") == "x.pt.safetensors");
}

TEST_CASE("nothing is overwritten, also within a second, whoever took the name", "[save_model]") {
  const Folder folder;
  torch::nn::Linear model(1, 1);
  SECTION("without a date") {
    tests::put(folder / "net-2.safetensors", "somebody else's");
    const ab::SaveModel save(model, folder / "net", {.date = false});
    const auto ground = ground_over(save, 3);
    ground.dig();
    ground.dig();
    CHECK(folder.files() == Files{"net-2.safetensors", "net-3.safetensors", "net-4.safetensors",
                                  "net-5.safetensors", "net-6.safetensors", "net-7.safetensors",
                                  "net.safetensors"});
    CHECK(content(folder / "net-2.safetensors") == "somebody else's");
  }
  SECTION("while it is written") {
    struct Slow : torch::nn::Module {  // another program takes the first name while this one writes
      std::string taken;
      explicit Slow(std::string taken) : taken(std::move(taken)) {}
      void save(torch::serialize::OutputArchive& archive) const override {
        if (!std::filesystem::exists(taken)) tests::put(taken, "somebody else's");
        torch::nn::Module::save(archive);
      }
    };
    ground_over(ab::SaveModel(Slow(folder / "net.pt"), folder / "net", {.date = false, .archive = true}))
        .dig();
    CHECK(content(folder / "net.pt") == "somebody else's");
    CHECK(folder.files() == Files{"net-2.pt", "net.pt"});
  }
  SECTION("with a date") {
    ground_over(ab::SaveModel(model, folder / "net"), 20).dig();
    CHECK(folder.files().size() == 20);
  }
}

TEST_CASE("told to overwrite, there is one file, whole at each moment", "[save_model]") {
  const Folder folder;
  torch::nn::Linear model(1, 1);
  tests::put(folder / "net.pt", "old");
  ground_over(ab::SaveModel(model, folder / "net", {.overwrite = true, .archive = true}), 3).dig();
  CHECK(folder.files() == Files{"net.pt"});
  torch::nn::Linear loaded(1, 1);
  torch::load(loaded, folder / "net.pt");
  CHECK(loaded->weight.equal(model->weight));
}

TEST_CASE("before_save and after_save stand around it; its path is a field", "[save_model]") {
  const Folder folder;
  torch::nn::Linear model(1, 1);
  ab::SaveModel save(model, folder / "net", {.date = false});
  Files seen;
  const auto see = [&](const char* event) {
    return [&, event](ab::SaveModel::Node& node) {
      seen.push_back(fmt::format("{} {} {}", event,
                                 node.path ? std::filesystem::path(*node.path).filename().string() : "none",
                                 folder.files().size()));
    };
  };
  save("before_save", see("before"))("after_save", see("after"));
  const auto ground = ground_over(save, 2);
  ground.dig();
  ground.dig();
  CHECK(seen == Files{"before none 0", "after net.safetensors 1", "before net.safetensors 1",
                      "after net-2.safetensors 2", "before none 2", "after net-3.safetensors 3",
                      "before net-3.safetensors 3", "after net-4.safetensors 4"});
  CHECK(save.get("path").as<std::string>() == folder / "net-4.safetensors");
  CHECK(save.get("name").as<std::string>() == folder / "net");
}

TEST_CASE("saving touches neither gradients nor mode nor graph", "[save_model]") {
  const Folder folder;
  Net net;
  net->first->weight.mutable_grad() = torch::ones({3, 2});
  net->first->eval();
  ground_over(ab::SaveModel(net, folder / "net")).dig();
  CHECK(net->is_training());
  CHECK_FALSE(net->first->is_training());
  CHECK(net->first->weight.grad().equal(torch::ones({3, 2})));
  CHECK(net->first->weight.requires_grad());
}

TEST_CASE("a model is shared where it is a holder or a shared_ptr, owned as an rvalue, borrowed as an lvalue",
          "[save_model]") {
  const Folder folder;
  struct Plain : torch::nn::Module {
    torch::Tensor weight = register_parameter("weight", torch::ones({1}));
  };
  Plain borrowed;
  const auto shared = std::make_shared<Plain>();
  const auto weak = [&] {
    auto gone = std::make_shared<Plain>();
    std::weak_ptr<Plain> watch = gone;
    ground_over(ab::SaveModel(gone, folder / "gone", {.date = false})).dig();
    return watch;
  }();
  CHECK(weak.expired());
  ab::Ground()(
      "dig", ab::SaveModel(borrowed, folder / "borrowed", {.date = false}),
      ab::SaveModel(shared, folder / "shared", {.date = false}),
      ab::SaveModel(Plain(), folder / "owned", {.date = false}),
      ab::SaveModel(torch::nn::Sequential(torch::nn::Linear(1, 1)), folder / "holder", {.date = false}))
      .dig();
  CHECK(folder.files() == Files{"borrowed.safetensors", "gone.safetensors", "holder.safetensors",
                                "owned.safetensors", "shared.safetensors"});
  CHECK(header_of(folder / "holder.safetensors").contains("0.weight"));
}

TEST_CASE("a disk that is full leaves the old file and no half of a new one; the error has the path",
          "[save_model]") {
  const Folder folder;
  torch::nn::Linear model(100, 100);
  const bool archive = GENERATE(false, true);
  const std::string name = archive ? "net.pt" : "net.safetensors";
  tests::put(folder / name, "old");
  const ab::SaveModel save(model, folder / "net", {.overwrite = true, .archive = archive});
  std::string error;
  {
    const tests::FullDisk full(10'000);
    error = error_of(ground_over(save));
  }
  CHECK_THAT(error, Catch::StartsWith("IterationLooper/iteration_end[0]/SaveModel: "));
  CHECK_THAT(error, Contains("File too large"));
  CHECK(folder.files() == Files{name});
  CHECK(content(folder / name) == "old");
  CHECK_FALSE(save->path);
}

TEST_CASE("names that are none, and two nodes that replace one file, are faults", "[save_model]") {
  torch::nn::Linear model(1, 1);
  for (const char* name : {"", "models/", "models/..", "."}) {
    const auto faults = ab::faults(ground_over(ab::SaveModel(model, name)));
    REQUIRE(faults.size() == 1);
    CHECK(faults[0].message ==
          fmt::format("name must be that of a file, got \"{}\"; pass one, as in \"models/net\"", name));
  }
  CHECK_THAT(error_of(ground_over(ab::SaveModel(model, [] { return std::string("a/"); }))),
             Contains("SaveModel: name must be that of a file, got \"a/\""));
  ab::Ground ground;
  const ab::SaveModelOptions replace{.overwrite = true};
  ground("dig", ab::SaveModel(model, "net", replace),
         ab::SaveModel(model, "net", {.overwrite = true, .prefix = "a"}), ab::SaveModel(model, "net"),
         ab::SaveModel(model, "net"));
  CHECK(ab::faults(ground).empty());
  ground("dig", ab::SaveModel(model, "./net.safetensors", replace));
  REQUIRE(ab::faults(ground).size() == 1);
  CHECK_THAT(ab::faults(ground)[0].message,
             Contains("a file is written by one node, got \"./net.safetensors\""));
}

}  // namespace save_model_tests
