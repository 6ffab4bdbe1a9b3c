#include <torch/torch.h>

#include <abyme/data/row_buffers.hpp>

#include <abyme/data/tensor_batches.hpp>

#include <catch2/catch.hpp>

#include <c10/core/CPUAllocator.h>

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

namespace ab = abyme;

namespace row_buffers_tests {
namespace {

/// LibTorch's allocator of the CPU, which counts.
struct CountingAllocator final : c10::Allocator {
  at::DataPtr allocate(std::size_t bytes) override {
    ++count;
    return real->allocate(bytes);
  }
  at::DeleterFnPtr raw_deleter() const override { return real->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  c10::Allocator* real = c10::GetCPUAllocator();
  int count = 0;
};
struct Counting {
  Counting() { c10::SetCPUAllocator(&allocator, 100); }
  ~Counting() { c10::SetCPUAllocator(allocator.real, 100); }
  CountingAllocator allocator;
};

/// Rows (i, -i) float with the targets i.
ab::TensorBatches counting_rows(std::int64_t n, ab::TensorBatchesOptions options) {
  const auto rows = torch::arange(n);
  return {torch::stack({rows, -rows}, 1).to(torch::kFloat), rows, options};
}
at::Tensor expected(const ab::Batch& batch) {
  return torch::stack({batch.targets, -batch.targets}, 1).to(torch::kFloat);
}

}  // namespace

TEST_CASE("a batch is not written over while a view, a storage, a graph or a copy of the handle holds it") {
  const std::vector<std::function<std::function<at::Tensor()>(const at::Tensor&)>> holders{
      [](const at::Tensor& t) { return [t] { return t; }; },
      [](const at::Tensor& t) { return [row = t[0]] { return row; }; },
      [](const at::Tensor& t) { return [flat = t.detach().view(-1)] { return flat; }; },
      [](const at::Tensor& t) {
        return [storage = t.storage()] { return torch::empty({0}).set_(storage, 0, {6}, {1}); };
      },
      [](const at::Tensor& t) {
        return [inner = torch::from_blob(t.data_ptr(), {6}, [t](void*) {})] { return inner; };
      },
      [](const at::Tensor& t) {  // the product needs the batch for its gradient
        const auto weight = torch::ones({2, 1}, torch::requires_grad());
        return [weight, sum = t.matmul(weight).sum()] {
          weight.mutable_grad() = at::Tensor();
          sum.backward({}, /*retain_graph=*/true);
          return weight.grad();
        };
      }};
  for (const bool shuffle : {true, false}) {
    for (const auto& hold : holders) {
      auto source = counting_rows(60, {.batch_size = 3, .shuffle = shuffle});
      std::vector<std::function<at::Tensor()>> held;
      std::vector<at::Tensor> then;
      if (!shuffle && &hold == &holders[3]) continue;  // a view shares the storage of the whole data
      for (const ab::Batch& batch : source) {
        held.push_back(hold(batch.inputs));
        then.push_back(held.back()().clone());
      }
      for (std::size_t i = 0; i < held.size(); ++i) CHECK(held[i]().equal(then[i]));
    }
  }
}

TEST_CASE("in the steady state no memory is taken for a batch") {
  const auto images = torch::rand({64, 3, 4, 4});
  for (const auto& data : {images, images.contiguous(at::MemoryFormat::ChannelsLast),
                           images.transpose(0, 1).contiguous().transpose(0, 1), images.to(torch::kByte)}) {
    for (const bool shuffle : {true, false}) {
      ab::TensorBatches source(data, torch::arange(64), {.batch_size = 5, .shuffle = shuffle});
      at::Tensor before;
      std::set<const void*> handles;
      const auto epoch = [&] {
        for (const ab::Batch& batch : source) {
          handles.insert(batch.inputs.unsafeGetTensorImpl());
          before = batch.inputs;  // a field of the user's holds one
        }
      };
      epoch();
      epoch();
      const std::size_t known = handles.size();
      const Counting counting;
      auto at = source.begin();  // draws the order of the epoch
      const int begun = counting.allocator.count;
      for (; at != source.end(); ++at) before = at->inputs;
      CHECK(counting.allocator.count == begun);
      epoch();
      CHECK(handles.size() == known);
      CHECK(known <= 4);
    }
  }
}

TEST_CASE("a batch has the memory order of the data, where its rows are packed") {
  const auto images = torch::rand({6, 3, 4, 4}), labels = torch::arange(6);
  const auto drawn = [&](const at::Tensor& data) {
    ab::TensorBatches source(data, labels, {.batch_size = 4});
    const ab::Batch batch = *source.begin();
    CHECK(batch.inputs.equal(data.index_select(0, batch.targets)));
    return batch.inputs.strides().vec();
  };
  using Strides = std::vector<std::int64_t>;
  CHECK(drawn(images) == Strides{48, 16, 4, 1});
  CHECK(drawn(images.contiguous(at::MemoryFormat::ChannelsLast)) == Strides{48, 1, 12, 3});
  CHECK(drawn(images.transpose(1, 3)) == Strides{48, 1, 4, 16});
  // The rows of these are not: strides as of a new tensor.
  CHECK(drawn(images.transpose(0, 1).contiguous().transpose(0, 1)) == Strides{48, 16, 4, 1});
  CHECK(drawn(images.slice(2, 1, 3)) == Strides{24, 8, 4, 1});
  CHECK(drawn(torch::ones({1, 2}).expand({6, 2})) == Strides{2, 1});
  CHECK(drawn(torch::rand({6, 0})) == Strides{1, 1});
  // Kept as a conjugate, to be computed when it is read.
  CHECK(drawn(torch::complex(images, -images).conj()) == Strides{48, 16, 4, 1});
}

TEST_CASE("what the user does to a batch in place does not come back in a later one") {
  const std::vector<std::function<void(at::Tensor)>> changes{
      [](at::Tensor t) { t.unsqueeze_(1); },
      [](at::Tensor t) { t.t_(); },
      [](at::Tensor t) { t.resize_({1}); },
      [](at::Tensor t) {
        t.set_data(torch::zeros({2, 2}, torch::kDouble));
      },
      [](at::Tensor t) { t.requires_grad_(); },
      [](at::Tensor t) {
        t.requires_grad_();
        (t * t).sum().backward();
        t.set_requires_grad(false);
      }};
  for (const bool shuffle : {true, false}) {
    for (const auto& change : changes) {
      auto source = counting_rows(12, {.batch_size = 2, .shuffle = shuffle});
      for (const ab::Batch& batch : source) {
        CHECK(batch.inputs.equal(expected(batch)));
        CHECK(batch.inputs.strides() == at::IntArrayRef{2, 1});
        CHECK_FALSE(batch.inputs.requires_grad());
        CHECK_FALSE(batch.inputs.grad().defined());
        change(batch.inputs);
      }
    }
  }
}

TEST_CASE("a source that was drawn from in inference mode can be trained with") {
  auto source = counting_rows(6, {.batch_size = 2});
  {
    const c10::InferenceMode inference;
    for (const ab::Batch& batch : source) CHECK(batch.inputs.is_inference());
  }
  const auto weight = torch::zeros({2, 1}, torch::requires_grad());
  for (const ab::Batch& batch : source) batch.inputs.matmul(weight).sum().backward();
  CHECK(weight.grad().flatten().equal(torch::tensor({15.F, -15.F})));
}

TEST_CASE("a gradient reaches data that asks for one") {
  for (const bool shuffle : {true, false}) {
    const auto data = torch::ones({5, 2}, torch::requires_grad());
    ab::TensorBatches source(data, torch::arange(5), {.batch_size = 2, .shuffle = shuffle});
    for (const ab::Batch& batch : source) (batch.inputs * batch.targets.unsqueeze(1)).sum().backward();
    CHECK(data.grad().equal(torch::arange(5).unsqueeze(1).expand({5, 2}).to(torch::kFloat)));
  }
}

}  // namespace row_buffers_tests
