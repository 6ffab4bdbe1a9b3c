#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace abyme {

/// Tensors into which rows of another one are gathered, each used again once nobody holds it any more.
class RowBuffers {
public:
  /// The rows `order[first]` to `order[first + count - 1]` of `data`, as [count, ...].
  /// \param data [samples, ...] of any dtype; \param order int64, on the device of the data
  at::Tensor gather(const at::Tensor& data, const at::Tensor& order, std::int64_t first, std::int64_t count) {
    at::Tensor& buffer = free_buffer(data, count);
    if (data.is_cpu() && data.is_contiguous()) {
      // Without ATen, whose narrow and index_select allocate a tensor and an iterator a batch.
      const auto row = static_cast<std::size_t>(data.numel() / data.size(0)) *
                       static_cast<std::size_t>(data.element_size());
      const auto* from = static_cast<const char*>(data.const_data_ptr());
      auto* to = static_cast<char*>(buffer.mutable_data_ptr());
      const std::int64_t* rows = order.const_data_ptr<std::int64_t>() + first;
      for (std::int64_t i = 0; i < count; ++i, to += row)
        std::memcpy(to, from + static_cast<std::size_t>(rows[i]) * row, row);
    } else {
      at::index_select_out(buffer, data, 0, order.narrow(0, first, count));
    }
    return buffer;
  }

private:
  at::Tensor& free_buffer(const at::Tensor& data, std::int64_t count) {
    for (at::Tensor& buffer : buffers_) {
      if (buffer.size(0) == count && buffer.use_count() == 1 && buffer.storage().use_count() == 1)
        return buffer;
    }
    std::vector<std::int64_t> sizes = data.sizes().vec();
    sizes[0] = count;
    // A user who keeps every batch makes every buffer his own; then none is remembered.
    if (buffers_.size() == most) buffers_.erase(buffers_.begin());
    return buffers_.emplace_back(at::empty(sizes, data.options()));
  }

  static constexpr std::size_t most = 8;
  std::vector<at::Tensor> buffers_;
};

}  // namespace abyme
