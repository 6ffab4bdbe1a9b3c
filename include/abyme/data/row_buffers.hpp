#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_select.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace abyme {

/// Tensors with rows of another one, each used again once nobody holds it any more.
class RowBuffers {
public:
  /// \param data [samples, ...] of any dtype and dense layout
  explicit RowBuffers(at::Tensor data) : data_(std::move(data)) {
    const bool plain = data_.is_cpu() && !data_.is_conj() && !data_.is_neg();
    packed_ = plain && (data_.is_contiguous() || (data_.is_non_overlapping_and_dense() && data_.size(0) > 1 &&
                                                  data_.stride(0) == data_.numel() / data_.size(0)));
  }

  /// Rows `order[first]` to `order[first + count - 1]`, in a tensor of their own.
  /// \param order int64, on the device of the data
  at::Tensor gather(const at::Tensor& order, std::int64_t first, std::int64_t count) {
    if (has_graph()) return data_.index_select(0, order.narrow(0, first, count));
    const at::Tensor& buffer = free_buffer(count);
    if (packed_) {
      // Without ATen, whose narrow and index_select allocate a tensor and an iterator a batch.
      const auto row = static_cast<std::size_t>(data_.numel() / data_.size(0) * data_.element_size());
      if (row == 0) return buffer;
      const auto* from = static_cast<const char*>(data_.const_data_ptr());
      auto* to = static_cast<char*>(buffer.mutable_data_ptr());
      const std::int64_t* rows = order.const_data_ptr<std::int64_t>() + first;
      for (std::int64_t i = 0; i < count; ++i, to += row)
        std::memcpy(to, from + static_cast<std::size_t>(rows[i]) * row, row);
    } else {
      at::Tensor out = buffer;
      at::index_select_out(out, data_, 0, order.narrow(0, first, count));
    }
    return buffer;
  }

  /// Rows `first` to `first + count - 1`, as a view of the data.
  at::Tensor view(std::int64_t first, std::int64_t count) {
    if (!has_graph()) {
      for (const at::Tensor& view : buffers_) {
        if (view.use_count() == 1 && is_as_made(view, count, data_.is_inference()) &&
            view.strides() == data_.strides() && view.is_alias_of(data_)) {
          view.unsafeGetTensorImpl()->set_storage_offset(data_.storage_offset() + first * data_.stride(0));
          return view;
        }
      }
    }
    return remember(data_.narrow(0, first, count));
  }

private:
  bool has_graph() const { return data_.requires_grad() && at::GradMode::is_enabled(); }

  const at::Tensor& free_buffer(std::int64_t count) {
    for (const at::Tensor& buffer : buffers_) {
      if (is_free(buffer) && is_as_made(buffer, count, at::InferenceMode::is_enabled()) &&
          (packed_ ? buffer.strides() == data_.strides() : buffer.is_contiguous()))
        return buffer;
    }
    std::vector<std::int64_t> sizes = data_.sizes().vec();
    sizes[0] = count;
    return remember(packed_ ? data_.new_empty_strided(sizes, data_.strides()) : data_.new_empty(sizes));
  }

  // LibTorch reads its counters in any order; the fences put what another thread did with a tensor before.
  static bool is_free(const at::Tensor& buffer) {
    if (buffer.use_count() != 1) return false;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (buffer.storage().use_count() != 1) return false;
    std::atomic_thread_fence(std::memory_order_acquire);
    return true;
  }
  // Who held it may have changed it in place: `unsqueeze_`, `requires_grad_`, `set_data`.
  bool is_as_made(const at::Tensor& buffer, std::int64_t count, bool inference) const {
    return buffer.dim() == data_.dim() && buffer.size(0) == count &&
           buffer.sizes().slice(1) == data_.sizes().slice(1) && buffer.dtype() == data_.dtype() &&
           buffer.is_inference() == inference && !buffer.requires_grad() && !buffer.grad().defined();
  }

  const at::Tensor& remember(at::Tensor buffer) {
    // A user who keeps every batch makes every buffer his own; then none is remembered.
    if (buffers_.size() == most) buffers_.erase(buffers_.begin());
    return buffers_.emplace_back(std::move(buffer));
  }

  static constexpr std::size_t most = 8;
  at::Tensor data_;
  bool packed_ = false;  // the rows lie one behind the other, in any order of their own
  std::vector<at::Tensor> buffers_;
};

}  // namespace abyme
