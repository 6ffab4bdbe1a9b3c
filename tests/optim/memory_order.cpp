#include <abyme/core/ground.hpp>
#include <abyme/optim/memory_order.hpp>
#include <abyme/save/save_model.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"

#include <string>
#include <vector>

namespace ab = abyme;

namespace memory_order_tests {
namespace {

struct TiedNetImpl : torch::nn::Module {
  torch::nn::Conv2d conv{register_module("conv", torch::nn::Conv2d(3, 4, 2))};
  torch::nn::Linear fc{register_module("fc", torch::nn::Linear(4, 6))};
  TiedNetImpl() { register_module("tied", fc); }
};
TORCH_MODULE(TiedNet);

const std::vector<ab::MemoryOrder> other_orders{
    {"conv.weight", {12, 1, 6, 3}}, {"fc.weight", {1, 6}}, {"tied.weight", {1, 6}}};

std::string text(const std::vector<ab::MemoryOrder>& orders) {
  std::string all;
  for (const auto& [name, strides] : orders) all += fmt::format("{} [{}] ", name, fmt::join(strides, ", "));
  return all;
}
std::string orders_of(const TiedNet& net) { return text(ab::memory_orders(*net)); }

std::string refused(const std::vector<ab::MemoryOrder>& orders) {
  TiedNet net;
  try {
    ab::set_memory_orders(*net, orders);
  } catch (const ab::Error& error) {
    CHECK(orders_of(net).empty());
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("memory orders are set and told, and change nothing else") {
  TiedNet net;
  const at::Tensor conv = net->conv->weight, fc = net->fc->weight;  // as an optimizer holds them
  const at::Tensor conv_values = conv.detach().clone(), fc_values = fc.detach().clone();
  fc.mutable_grad() = torch::rand({6, 4});
  const at::Tensor gradient = fc.grad().clone();
  CHECK(orders_of(net).empty());

  ab::set_memory_orders(*net, other_orders);
  CHECK(orders_of(net) == text(other_orders));
  CHECK(conv.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(fc.strides() == at::IntArrayRef({1, 6}));
  CHECK(fc.grad().strides() == at::IntArrayRef({1, 6}));
  CHECK(net->named_parameters()["tied.weight"].is_same(fc));
  CHECK((fc.requires_grad() && fc.is_leaf()));
  CHECK(
      (torch::equal(conv, conv_values) && torch::equal(fc, fc_values) && torch::equal(fc.grad(), gradient)));

  const void* const memory = fc.data_ptr();
  ab::set_memory_orders(*net, ab::memory_orders(*net));  // nothing to do
  CHECK(fc.data_ptr() == memory);

  ab::set_memory_orders(*net, {});
  CHECK(orders_of(net).empty());
  CHECK((fc.is_contiguous() && fc.grad().is_contiguous() && torch::equal(fc, fc_values)));

  ab::set_memory_orders(*net, {{"fc.weight", {1, 6}}});  // one name of a tied one is enough
  CHECK(orders_of(net) == "fc.weight [1, 6] tied.weight [1, 6] ");
}

TEST_CASE("a saved model does not show the memory order") {
  const tests::Folder folder;
  TiedNet net;
  const auto save = [&](const std::string& name) {
    ab::Ground()("dig", ab::SaveModel(net, folder / name, {.overwrite = true})).dig();
    return tests::content(folder / (name + ".safetensors"));
  };
  const std::string before = save("before");
  ab::set_memory_orders(*net, other_orders);
  CHECK(save("after") == before);
}

TEST_CASE("memory orders of another model are refused, and none is set") {
  CHECK(
      refused({{"fc.weight", {1, 6}}, {"fc2.weight", {1, 6}}}) ==
      "set_memory_orders: an order must be of a dense parameter of the model, got one of \"fc2.weight\"; use "
      "the orders of the same model");
  const auto shape = [](const std::string& strides) {
    return "set_memory_orders: the strides of \"fc.weight\" must lay out shape [6, 4] without gaps, got [" +
           strides + "]; use the orders of the same model";
  };
  CHECK(refused({{"conv.weight", {12, 1, 6, 3}}, {"fc.weight", {1, 4}}}) == shape("1, 4"));
  CHECK(refused({{"fc.weight", {1, 7}}}) == shape("1, 7"));
  CHECK(refused({{"fc.weight", {-1, 6}}}) == shape("-1, 6"));
  CHECK(refused({{"fc.weight", {1}}}) == shape("1"));
  CHECK(refused({{"fc.weight", {4, 1}}}) == "no error");
}

}  // namespace memory_order_tests
