#include <torch/torch.h>

#include <abyme/save/weights.hpp>

#include <catch2/catch.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"

namespace ab = abyme;

namespace weights_tests {

using tests::Folder;

namespace {

struct TwinImpl : torch::nn::Module {
  torch::nn::Conv2d conv{register_module("conv", torch::nn::Conv2d(2, 3, 3))};
  torch::nn::BatchNorm2d norm{register_module("norm", torch::nn::BatchNorm2d(3))};
  torch::nn::Linear fc{register_module("fc", torch::nn::Linear(3, 3))};
  explicit TwinImpl(bool tied = true) { register_parameter("tied", tied ? fc->weight : torch::ones({3, 3})); }
};
TORCH_MODULE(Twin);

std::vector<torch::Tensor> copies(const torch::nn::Module& model) {
  std::vector<torch::Tensor> all;
  for (const auto& each : ab::named_tensors(model)) all.push_back(each.tensor.detach().clone());
  return all;
}
bool equal(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& left, const auto& right) { return left.equal(right); });
}

void write(const std::string& path, std::vector<ab::NamedTensor> tensors) {
  ab::write_atomically(path, [&](ab::File& file) { ab::write_safetensors(file, tensors); });
}

template <class Model>
std::string error_of(Model&& model, const std::string& path) {
  return tests::error_of([&] { ab::load_weights(model, path); });
}

}  // namespace

TEST_CASE("weights that were saved are loaded: holders, pointers, modules", "[weights]") {
  const Folder folder;
  Twin model, loaded;
  model->norm->running_mean.fill_(0.25);
  ab::save_weights(model, folder / "deep/net.safetensors");
  CHECK_FALSE(equal(copies(*model), copies(*loaded)));
  CHECK(ab::load_weights(loaded, folder / "deep/net.safetensors").empty());
  CHECK(equal(copies(*model), copies(*loaded)));
  const auto shared = std::make_shared<TwinImpl>();
  ab::save_weights(*shared, folder / "shared");
  ab::load_weights(*model, folder / "shared");
  CHECK(equal(copies(*model), copies(*shared)));
  ab::save_weights(shared, folder / "shared");
  const TwinImpl constant;
  ab::save_weights(constant, folder / "constant");
  ab::load_weights(shared, folder / "constant");
  CHECK(equal(copies(*shared), copies(constant)));
}

TEST_CASE("values are copied in place: memory order, device, ties, gradients and optimizers stay",
          "[weights]") {
  const Folder folder;
  Twin model, saved;
  ab::save_weights(saved, folder / "net");
  model->conv->weight.set_data(model->conv->weight.contiguous(torch::MemoryFormat::ChannelsLast));
  const auto strides = model->conv->weight.strides().vec();
  const auto* const data = model->conv->weight.data_ptr();
  torch::optim::SGD optimizer(model->parameters(), 0.1);
  ab::load_weights(model, folder / "net");
  CHECK(model->conv->weight.equal(saved->conv->weight));
  CHECK(model->conv->weight.strides() == strides);
  CHECK(model->conv->weight.data_ptr() == data);
  CHECK(model->conv->weight.is_leaf());
  CHECK(model->conv->weight.requires_grad());
  CHECK(model->named_parameters()["tied"].is_same(model->fc->weight));
  CHECK(optimizer.param_groups()[0].params()[1].is_same(model->conv->weight));
}

TEST_CASE("all that differs is told in one error, and nothing is changed", "[weights]") {
  const Folder folder;
  Twin model;
  auto tensors = ab::named_tensors(*model);
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.detach().clone().fill_(7);
    if (name == "conv.weight") tensor = tensor.transpose(0, 1);
    if (name == "fc.bias") tensor = tensor.to(torch::kHalf);
    if (name == "norm.num_batches_tracked") tensor = tensor.to(torch::kInt).view({1});
    if (name == "norm.running_var") name = "norm.var";
  }
  tensors.push_back({"more", torch::ones({2})});
  write(folder / "net", tensors);
  const auto before = copies(*model);
  CHECK(error_of(model, folder / "net") ==
        "load_weights: the file " + (folder / "net") +
            " must hold the tensors of the model, got 6 that differ; pass {.partial = true} to load the "
            "others\n"
            "  conv.weight: shape must be [3, 2, 3, 3], got [2, 3, 3, 3]\n"
            "  fc.bias: dtype must be Float, got Half\n"
            "  norm.running_var: missing\n"
            "  norm.num_batches_tracked: shape must be [], got [1], and dtype must be Long, got Int\n"
            "  more: unexpected\n"
            "  norm.var: unexpected");
  CHECK(equal(copies(*model), before));

  CHECK(ab::load_weights(model, folder / "net", {.partial = true}).size() == 6);
  CHECK(model->conv->bias.equal(torch::full({3}, 7)));
  CHECK(model->fc->weight.equal(torch::full({3, 3}, 7)));
  CHECK(model->conv->weight.equal(before[1]));
}

TEST_CASE("tied weights need one of their names, and equal values under all that are there", "[weights]") {
  const Folder folder;
  Twin model;
  const auto without = [&](const std::string& left_out) {
    auto tensors = ab::named_tensors(*model);
    for (auto& [name, tensor] : tensors) tensor = torch::full_like(tensor, 3);
    std::erase_if(tensors, [&](const auto& each) { return each.name == left_out; });
    return tensors;
  };
  for (const std::string name : {"tied", "fc.weight"}) {  // as Python's save_model writes it
    write(folder / "net", without(name));
    {
      const torch::NoGradGuard no_grad;
      model->fc->weight.zero_();
    }
    CHECK(error_of(model, folder / "net") == "no error");
    CHECK(model->fc->weight.equal(torch::full({3, 3}, 3)));
  }
  auto tensors = without("none");
  for (auto& [name, tensor] : tensors) {
    if (name == "fc.weight") tensor = tensor + 1;
  }
  write(folder / "net", tensors);
  CHECK_THAT(error_of(model, folder / "net"),
             Catch::EndsWith("got 1 that differ; pass {.partial = true} to load the others\n"
                             "  fc.weight: values must be those of tied, to which it is tied, got others"));
  Twin apart(false);  // here they are two
  CHECK(error_of(apart, folder / "net") == "no error");
  CHECK(apart->fc->weight.equal(torch::full({3, 3}, 4)));
  CHECK(apart->named_parameters()["tied"].equal(torch::full({3, 3}, 3)));
}

TEST_CASE("ties are told in the metadata, and made again where the values agree", "[weights]") {
  const auto matrix = torch::arange(6, torch::kFloat).view({2, 3});
  const std::vector<ab::NamedTensor> tensors{
      {"a", matrix},          {"row", matrix[0]},    {"b", matrix.detach()}, {"row too", matrix[0]},
      {"turned", matrix.t()}, {"c", matrix.clone()}, {"d", matrix}};
  CHECK(ab::ties_text(tensors) == R"([["a","b","d"],["row","row too"]])");
  CHECK(ab::ties_text({tensors[0], tensors[1]}).empty());
  ab::Safetensors content{{{"ties", R"([["a","b","d","gone"],["x"],[]])"}, {"k", "v"}}, {}};
  for (const auto* name : {"a", "b", "c", "d"}) content.tensors.push_back({name, matrix.clone()});
  content.tensors[3].tensor[0][0] = 5;
  ab::tie_again(content);
  CHECK(content.metadata == std::map<std::string, std::string>{{"k", "v"}});
  CHECK(content.find("a")->is_same(*content.find("b")));
  CHECK_FALSE(content.find("a")->is_same(*content.find("c")));
  CHECK_FALSE(content.find("a")->is_same(*content.find("d")));
}

}  // namespace weights_tests
