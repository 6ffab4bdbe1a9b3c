// Files for read_back.py, beside this file, and those that it makes.

#include <torch/torch.h>

#include <abyme/save/snapshot_file.hpp>
#include <abyme/save/weights.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"

#include <cstdlib>
#include <limits>

namespace ab = abyme;

namespace read_back_tests {
namespace {

std::filesystem::path folder_or(const tests::Folder& fresh) {
  const char* given = std::getenv("ABYME_READ_BACK");  // where read_back.py wants it
  return given ? std::filesystem::path(given) : fresh.path();
}

struct TwinImpl : torch::nn::Module {  // read_back.py has its twin
  torch::nn::Linear first{register_module("first", torch::nn::Linear(3, 4))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(4))};
  torch::nn::Linear second{
      register_module("second", torch::nn::Linear(torch::nn::LinearOptions(4, 3).bias(false)))};
  torch::Tensor tied = register_parameter("tied", first->bias);
  torch::Tensor forward(const torch::Tensor& inputs) { return second(norm(first(inputs))) + tied[0]; }
};
TORCH_MODULE(Twin);

}  // namespace

TEST_CASE("tensors of all kinds, for another program to read", "[.read_back]") {
  const tests::Folder fresh;
  const std::string path = folder_or(fresh) / "tensors.safetensors";
  const auto counted = [](at::ScalarType dtype) { return torch::arange(-3, 9, dtype); };
  const auto tied = torch::arange(5, torch::kFloat64) / 3;
  const std::vector<ab::NamedTensor> tensors{
      {"bool", torch::arange(7) % 3 == 1},
      {"u8", torch::arange(200, 212, torch::kUInt8)},
      {"i8", counted(torch::kInt8)},
      {"i16", counted(torch::kInt16)},
      {"i32", counted(torch::kInt32)},
      {"i64", torch::tensor({std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
                             std::numeric_limits<std::int64_t>::max()})},
      {"f16", counted(torch::kFloat16) / 4},
      {"bf16", counted(torch::kBFloat16) / 4},
      {"f32", torch::arange(12, torch::kFloat32).view({2, 3, 2}) / 7},
      {"f64", tied},
      {"tied", tied},
      {"transposed", torch::arange(6, torch::kFloat32).view({2, 3}).t()},
      {"every second", torch::arange(8, torch::kInt32).slice(0, 1, 8, 2)},
      {"scalar", torch::tensor(0.1, torch::kFloat64)},
      {"empty", torch::empty({0, 3})},
      {"a \"quoted\\name\"\n", torch::tensor(1.0F)},
      {"größe.重み", torch::tensor(2.0F)},
  };
  ab::write_atomically(path, [&](ab::File& file) {
    ab::write_safetensors(file, tensors, {{"format", "pt"}, {"note", "a \"quoted\" one\n"}});
  });
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("a model with weights that another program wrote, and what is made of it", "[.read_back]") {
  const tests::Folder fresh;
  const auto folder = folder_or(fresh);
  Twin model;
  if (std::filesystem::exists(folder / "python.safetensors"))
    ab::load_weights(model, folder / "python.safetensors");
  model->eval();
  ab::save_weights(model, folder / "weights.safetensors");
  const torch::NoGradGuard no_grad;
  const auto outputs = model(torch::arange(6, torch::kFloat).view({2, 3}) / 4);
  auto tensors = ab::named_tensors(*model);
  for (auto& [name, tensor] : tensors) name = "model." + name;
  tensors.push_back({"outputs", outputs});
  ab::write_snapshot_file(folder / "snapshot.safetensors", tensors,
                          {{"abyme", "1"}, {"frames", R"(["a\n"])"}});
  CHECK(ab::read_snapshot_file(folder / "snapshot.safetensors").find("outputs")->equal(outputs));
}

TEST_CASE("tensors of all kinds that another program wrote", "[.read_back]") {
  const tests::Folder fresh;
  const auto folder = folder_or(fresh);
  for (const std::string name : {"rules", "package"}) {
    const auto path = folder / ("kinds_" + name + ".safetensors");
    if (!std::filesystem::exists(path)) continue;
    const ab::Safetensors content = ab::read_safetensors(path);
    CHECK(content.metadata == std::map<std::string, std::string>{{"note", "a \"quoted\" one\n größe"}});
    ab::write_atomically(folder / ("kinds_" + name + "_back.safetensors"), [&](ab::File& file) {
      ab::write_safetensors(file, content.tensors, content.metadata);
    });
  }
}

}  // namespace read_back_tests
