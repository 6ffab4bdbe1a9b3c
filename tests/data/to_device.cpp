#include <torch/torch.h>

#include <abyme/data/to_device.hpp>

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <torch/library.h>

#include <abyme/data/batch.hpp>
#include <abyme/data/prefetch.hpp>
#include <abyme/data/tensor_batches.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace ab = abyme;

namespace to_device_tests {

using Lines = std::vector<std::string>;

namespace {

/// A device like CUDA, made of the CPU's memory: a non-blocking copy is done no sooner than somebody waits
/// for an event behind it on its stream. It writes down what it is asked for.
namespace late_device {

constexpr auto type = c10::DeviceType::PrivateUse1;
constexpr c10::StreamId pool_stream = 7;

std::recursive_mutex mutex;
Lines log;
std::set<const void*> pinned;
std::map<c10::StreamId, std::deque<std::function<void()>>> queues;
thread_local c10::StreamId current = 0;

void add(std::string line) {
  const std::lock_guard lock(mutex);
  log.push_back(std::move(line));
}
void finish(c10::StreamId stream) {
  const std::lock_guard lock(mutex);
  for (auto& queue = queues[stream]; !queue.empty(); queue.pop_front()) queue.front()();
}
std::string name(c10::StreamId stream) { return "stream " + std::to_string(stream); }
c10::Stream stream_of(c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, {type, 0}, id); }

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return late_device::type; }
  c10::Device exchangeDevice(c10::Device) const override { return {late_device::type, 0}; }
  c10::Device getDevice() const override { return {late_device::type, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(c10::Device) const override { return stream_of(current); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream_of(0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream_of(pool_stream); }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return stream_of(std::exchange(current, stream.id()));
  }
  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag) const override {
    *event = new c10::StreamId(stream.id());
    add("event on " + name(stream.id()));
  }
  void block(void* event, const c10::Stream& stream) const override {
    add(name(stream.id()) + " waits");
    finish(*static_cast<c10::StreamId*>(event));
  }
  void synchronizeEvent(void* event) const override {
    add("host waits");
    finish(*static_cast<c10::StreamId*>(event));
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<c10::StreamId*>(event);
  }
};

struct Memory final : c10::Allocator {
  explicit Memory(c10::Device device) : device(device) {}
  at::DataPtr allocate(std::size_t bytes) override {
    void* data = std::calloc(bytes + 1, 1);
    const std::lock_guard lock(mutex);
    if (device.is_cpu()) pinned.insert(data);
    return {data, data, raw_deleter(), device};
  }
  at::DeleterFnPtr raw_deleter() const override {
    return [](void* data) {
      const std::lock_guard lock(mutex);
      pinned.erase(data);
      std::free(data);
    };
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  c10::Device device;
};
Memory& memory() {
  static Memory memory({type, 0});
  return memory;
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  bool isPinnedPtr(const void* data) const override {
    const std::lock_guard lock(mutex);
    return pinned.contains(data);
  }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static Memory host{c10::Device(c10::kCPU)};
    return &host;
  }
};

at::Tensor copy(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const auto bytes = [](const at::Tensor& tensor) { return static_cast<char*>(tensor.data_ptr()); };
  if (from.strides() != to.strides()) throw std::logic_error("only dense copies are asked for");
  // As LibTorch's own memory, that of the copy stays until it is done.
  auto run = [source = bytes(from), target = bytes(to), size = from.nbytes(), from = from.storage(),
              to = to.storage()] { std::copy_n(source, size, target); };
  if (non_blocking && from.is_pinned()) {
    add("copy on " + name(current));
    const std::lock_guard lock(mutex);
    queues[current].push_back(run);
  } else {
    run();
  }
  return to;
}

/// A device, there from the first call on.
at::Device device() {
  static const bool once = [] {
    static Guard guard;
    static Hooks hooks;
    static const c10::impl::DeviceGuardImplRegistrar registrar(type, &guard);
    c10::register_privateuse1_backend("late");
    at::RegisterPrivateUse1HooksInterface(&hooks);
    c10::SetAllocator(type, &memory());
    static torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__,
                                  __LINE__);
    library.impl("empty.memory_format", [](c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype,
                                           std::optional<at::Layout>, std::optional<at::Device>,
                                           std::optional<bool>, std::optional<at::MemoryFormat> format) {
      return at::Tensor(at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &memory(),
                                                  c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                  dtype.value_or(at::kFloat), format));
    });
    library.impl("empty_strided", [](c10::SymIntArrayRef size, c10::SymIntArrayRef strides,
                                     std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                                     std::optional<at::Device>, std::optional<bool>) {
      return at::Tensor(at::detail::empty_strided_generic(
          C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(strides), &memory(),
          c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype.value_or(at::kFloat)));
    });
    library.impl("_copy_from", &copy);
    library.impl("record_stream",
                 [](at::Tensor&, at::Stream stream) { add("used on " + name(stream.id())); });
    return true;
  }();
  (void)once;
  return at::Device(type);
}

}  // namespace late_device

template <class Batch>
int tensors_in(Batch batch) {
  int count = 0;
  ab::reflect::each_tensor(batch, [&](at::Tensor&) { ++count; });
  return count;
}

struct Triple {
  at::Tensor images;
  std::optional<at::Tensor> mask;
  std::vector<std::string> names;
};

}  // namespace

TEST_CASE("the tensors of a batch are found in all that may hold them") {
  const at::Tensor t;
  using torch::data::Example;
  CHECK(tensors_in(t) == 1);
  CHECK(tensors_in(ab::Batch{}) == 2);
  CHECK(tensors_in(std::pair(t, 3)) == 1);
  CHECK(tensors_in(std::tuple(t, std::pair(t, t), 'c')) == 3);
  CHECK(tensors_in(std::vector<Example<>>(3)) == 6);
  CHECK(tensors_in(torch::data::TensorExample()) == 1);
  CHECK(tensors_in(Example<at::Tensor, int>()) == 1);
  CHECK(tensors_in(std::map<std::string, at::Tensor>{{"a", t}, {"b", t}}) == 2);
  CHECK(tensors_in(std::array<at::Tensor, 4>()) == 4);
  CHECK(tensors_in(Triple{t, t, {"a"}}) == 2);
  CHECK(tensors_in(Triple{t, {}, {}}) == 1);

  static_assert(ab::reflect::HoldsTensors<Triple> && ab::reflect::HoldsTensors<const ab::Batch>);
  static_assert(!ab::reflect::HoldsTensors<int> && !ab::reflect::HoldsTensors<std::filesystem::path> &&
                !ab::reflect::HoldsTensors<std::vector<std::string>> &&
                !ab::reflect::HoldsTensors<std::shared_ptr<at::Tensor>>);
}

TEST_CASE("a batch is pinned and copied on a stream of its own, and the receiver's stream waits for it") {
  const ab::DeviceSender sender(late_device::device(), "test");
  const ab::Batch batch{torch::rand({4, 3}), torch::arange(4)};
  late_device::log.clear();
  const auto sent = sender.send(batch);
  CHECK(late_device::current == 0);
  CHECK(sent.batch.inputs.device() == at::Device(late_device::type, 0));
  CHECK(late_device::log == Lines{"copy on stream 7", "copy on stream 7", "event on stream 7"});
  CHECK_FALSE(sent.batch.inputs.cpu().equal(batch.inputs));  // still on its way

  late_device::log.clear();
  const ab::Batch received = sender.receive(sent);
  CHECK(late_device::log == Lines{"stream 0 waits", "used on stream 0", "used on stream 0"});
  CHECK(received.inputs.cpu().equal(batch.inputs));
  CHECK(received.targets.cpu().equal(batch.targets));
  CHECK(batch.inputs.is_cpu());  // the source's own is as it was

  const c10::StreamGuard on(late_device::stream_of(3));
  late_device::log.clear();
  sender.receive(sender.send(std::pair(batch.inputs, at::Tensor())));
  CHECK(late_device::log ==
        Lines{"copy on stream 7", "event on stream 7", "stream 3 waits", "used on stream 3"});
}

TEST_CASE(
    "strides stay where a tensor is dense; what is pinned by the source is copied before its next batch") {
  const ab::DeviceSender sender(late_device::device(), "test");
  const auto arrive = [&](const at::Tensor& tensor) { return sender.receive(sender.send(tensor)); };
  const auto images = torch::rand({2, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  CHECK(arrive(images).strides() == images.strides());
  CHECK(arrive(images).cpu().equal(images));
  for (const auto& part : {images.slice(2, 1, 3), torch::ones({1, 3}).expand({4, 3}), torch::zeros({0, 3})})
    CHECK(arrive(part).cpu().equal(part));
  CHECK(arrive(arrive(images)).cpu().equal(images));

  const auto pinned = torch::ones({3}).pin_memory();
  late_device::log.clear();
  const auto sent = sender.send(pinned);
  CHECK(late_device::log == Lines{"copy on stream 7", "event on stream 7", "host waits"});
  pinned.zero_();
  CHECK(sender.receive(sent).cpu().equal(torch::ones({3})));
}

TEST_CASE("batches drawn ahead arrive on the device, in order, in each pass") {
  const auto rows = torch::arange(100);
  const auto make = [&] { return ab::TensorBatches(rows, rows.to(torch::kFloat), {.batch_size = 7}); };
  for (const auto& device : {late_device::device(), at::Device(at::kCPU)}) {
    auto plain = make();
    auto ahead = ab::prefetch(make(), {.depth = 3, .device = device});
    CHECK(ahead.total() == 15);
    for (int pass = 0; pass < 3; ++pass) {
      std::vector<at::Tensor> expected, arrived;
      for (const ab::Batch& batch : plain) expected.push_back(batch.targets);
      for (const ab::Batch& batch : ahead) {
        CHECK(batch.inputs.device().type() == device.type());
        arrived.push_back(batch.targets.cpu());
      }
      CHECK(torch::cat(arrived).equal(torch::cat(expected)));
    }
    ahead.begin();  // left in the middle
  }
  for (const ab::Batch& batch : ab::prefetch(make(), {.device = at::kMeta})) CHECK(batch.inputs.is_meta());
}

TEST_CASE("a device that is not there is told when the source is made") {
  const std::vector<at::Tensor> data(1);
  CHECK_THROWS_WITH(ab::prefetch(data, {.device = torch::Device("meta:3")}),
                    "prefetch: device must be one that LibTorch sees, got meta:3 where it sees 1 of this "
                    "type; pass torch::kCPU, or use a LibTorch built for the device");
  CHECK_THROWS_WITH(ab::prefetch(data, {.depth = 0, .device = torch::kCPU}),
                    "prefetch: depth must be at least 1, got 0");
}

}  // namespace to_device_tests
