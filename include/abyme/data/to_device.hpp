#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/core/reflect.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

namespace abyme {

namespace reflect {
/// Calls function(tensor) for each tensor of a batch: a tensor; a pair, tuple, range or optional of such; a
/// `torch::data::Example`; an aggregate, as `Batch` is. Its type is `std::false_type` where the batch's type
/// can't hold one.
template <class T, class Function>
auto each_tensor(T& batch, const Function& function) {
  using Plain = std::remove_const_t<T>;
  const auto each_of = [&function](auto&... parts) {
    (each_tensor(parts, function), ...);
    return std::bool_constant<(decltype(each_tensor(parts, function))::value || ... || false)>{};
  };
  if constexpr (std::same_as<Plain, at::Tensor>) {
    function(batch);
    return std::true_type{};
  } else if constexpr (std::ranges::forward_range<T>) {
    using Element = std::remove_reference_t<std::ranges::range_reference_t<T>>;
    if constexpr (std::same_as<std::remove_const_t<Element>, Plain>) {
      return std::false_type{};  // a path, whose elements are paths
    } else {
      for (auto&& element : batch) each_tensor(element, function);
      return decltype(each_tensor(std::declval<Element&>(), function)){};
    }
  } else if constexpr (requires { std::tuple_size<Plain>::value; }) {
    return std::apply(each_of, batch);
  } else if constexpr (requires {
                         requires std::same_as<Plain, std::optional<typename Plain::value_type>>;
                       }) {
    if (batch) each_tensor(*batch, function);
    return decltype(each_of(*batch)){};
  } else if constexpr (requires {
                         typename Plain::TargetType;
                         batch.data;
                         batch.target;
                       }) {
    return each_of(batch.data, batch.target);
  } else if constexpr (requires {
                         typename Plain::TargetType;
                         batch.data;
                       }) {
    return each_of(batch.data);
  } else if constexpr (std::is_aggregate_v<Plain>) {
    return std::apply(each_of, members(batch));
  } else {
    return std::false_type{};
  }
}
template <class Batch>
concept HoldsTensors = decltype(each_tensor(std::declval<Batch&>(), [](auto&) {}))::value;
}  // namespace reflect

/// A batch whose tensors are on their way to a device.
template <class Batch>
struct SentBatch {
  Batch batch;
  std::shared_ptr<const c10::Event> arrival;  ///< null where nothing is under way
};

/// Sends batches to a device in one thread, for another one that receives them. Where the device has streams
/// the tensors are pinned and copied on a stream of its own, so that they travel while the receiver's stream
/// computes.
class DeviceSender {
public:
  /// \throws Error where LibTorch does not see the device.
  DeviceSender(at::Device device, const char* who) : device_(device) {
    const int count = c10::impl::hasDeviceGuardImpl(device.type())
                          ? c10::impl::VirtualGuardImpl(device.type()).deviceCount()
                          : 0;
    if (count == 0 || device.index() >= count)
      throw Error(fmt::format("{}: device must be one that LibTorch sees, got {} where it sees {} of this "
                              "type; pass torch::kCPU, or use a LibTorch built for the device",
                              who, device.str(), count));
    if (!device.is_cuda() && !device.is_xpu() && !device.is_privateuseone()) return;
    const c10::impl::VirtualGuardImpl driver(device.type());
    if (!device.has_index()) device_ = driver.getDevice();
    stream_ = driver.getStreamFromGlobalPool(device_);
  }

  template <class Batch>
  SentBatch<Batch> send(Batch batch) const {
    if (!stream_) {
      reflect::each_tensor(batch, [this](at::Tensor& tensor) { tensor = moved(tensor); });
      return {std::move(batch), nullptr};
    }
    bool borrows = false;
    reflect::each_tensor(batch, [&](at::Tensor& tensor) {
      if (!tensor.defined() || !tensor.is_cpu() || tensor.layout() != at::kStrided) {
        tensor = moved(tensor);
        return;
      }
      // LibTorch keeps what it pins until the copy is done, and the copy for the stream it was made on.
      const at::Tensor dense = tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous();
      const at::Tensor pinned = dense.pin_memory();
      borrows = borrows || pinned.is_same(tensor);
      const c10::StreamGuard own(*stream_);
      tensor = pinned.to(device_, /*non_blocking=*/true);
    });
    auto arrival = std::make_shared<c10::Event>(device_.type());
    arrival->record(*stream_);
    if (borrows) arrival->synchronize();  // the source may write its next batch into the same pinned memory
    return {std::move(batch), std::move(arrival)};
  }

  /// The batch, for work on the current stream of the thread that calls.
  template <class Batch>
  Batch receive(const SentBatch<Batch>& sent) const {
    Batch batch = sent.batch;
    if (sent.arrival) {
      const c10::Stream stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
      sent.arrival->block(stream);
      reflect::each_tensor(batch, [&](at::Tensor& tensor) {  // or its memory would be free for the next copy
        if (tensor.defined() && tensor.layout() == at::kStrided) tensor.record_stream(stream);
      });
    }
    return batch;
  }

private:
  at::Tensor moved(const at::Tensor& tensor) const { return tensor.defined() ? tensor.to(device_) : tensor; }

  at::Device device_;
  std::optional<c10::Stream> stream_;
};

}  // namespace abyme
