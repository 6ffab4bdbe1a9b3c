#pragma once

#include <abyme/core/kept.hpp>

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// Values of one kind, one behind the other. Numbers, and tensors without dimensions, lie side by side in one
/// tensor on their device: 100,000 losses take 400 kB, no wait when they come, and one when they are read.
class LogColumn {
public:
  LogColumn() = default;
  /// Empty, for values like this one.
  explicit LogColumn(const Value& like) : kind_(abyme::kind(like)), options_(options_of(like)) {
    if (const auto* tensor = std::get_if<at::Tensor>(&like)) dimensions_ = tensor->dim();
  }

  /// The same text for all columns that take the same values.
  std::string like() const {
    std::string text(1, static_cast<char>('0' + static_cast<int>(kind_)));
    if (kind_ == Kind::tensor)
      text.append(toString(options_.dtype)).append(options_.device.str()).append(std::to_string(dimensions_));
    return text;
  }

  void append(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) texts_.push_back(*text);
    else if (const auto* tensor = std::get_if<at::Tensor>(&value)) append_tensor(tensor->detach());
    else if (const auto* boolean = std::get_if<bool>(&value)) append_bytes(boolean);
    else if (const auto* whole = std::get_if<std::int64_t>(&value)) append_bytes(whole);
    else if (const auto* real = std::get_if<double>(&value)) append_bytes(real);
    else if (const auto* duration = std::get_if<Duration>(&value)) append_bytes(duration);
    ++size_;
  }

  std::int64_t size() const { return size_; }

  Value operator[](std::int64_t index) const {
    const auto at = static_cast<std::size_t>(index);
    switch (kind_) {
    case Kind::boolean: return numbers<bool>()[at];
    case Kind::integer: return numbers<std::int64_t>()[at];
    case Kind::number: return numbers<double>()[at];
    case Kind::duration: return Duration(numbers<double>()[at]);
    case Kind::text: return texts_[at];
    case Kind::tensor: return dimensions_ > 0 ? tensors_[at] : numbers_.select(0, index).clone();
    default: return {};
    }
  }

  /// The same with plain numbers in place of tensors without dimensions, which are all read at once.
  LogColumn read() const {
    if (kind_ != Kind::tensor || dimensions_ > 0 || at::isComplexType(options_.dtype)) return *this;
    LogColumn column = *this;
    const bool is_whole = at::isIntegralType(options_.dtype, false);
    column.kind_ = is_whole ? Kind::integer : options_.dtype == at::kBool ? Kind::boolean : Kind::number;
    column.options_ = {is_whole                      ? at::kLong
                       : options_.dtype == at::kBool ? at::kBool
                                                     : at::kDouble,
                       at::kCPU};
    column.numbers_ = numbers_.narrow(0, 0, size_).cpu().to(column.options_.dtype);
    return column;
  }

  void save(Kept& kept) const {
    kept.data["kind"] = static_cast<int>(kind_);
    kept.data["size"] = size_;
    if (kind_ == Kind::text) kept.data["texts"] = Record::List(texts_.begin(), texts_.end());
    if (numbers_.defined()) keep(kept, "numbers", numbers_.narrow(0, 0, size_));
    if (dimensions_ == 0) return;
    LogColumn lengths(Value(std::int64_t{0}));  // of all dimensions of all tensors
    std::int64_t total = 0;
    for (const at::Tensor& tensor : tensors_) {
      for (const std::int64_t length : tensor.sizes()) lengths.append(length);
      total += tensor.numel();
    }
    const at::Tensor values = at::empty({total}, at::TensorOptions(options_.dtype).device(options_.device));
    std::int64_t at = 0;
    for (const at::Tensor& tensor : tensors_) {
      values.narrow(0, at, tensor.numel()).copy_(tensor.reshape(-1));
      at += tensor.numel();
    }
    kept.data["dimensions"] = dimensions_;
    keep(kept, "values", values);
    keep(kept, "lengths", lengths);
  }
  void load(const Kept& kept) {
    *this = {};
    kind_ = static_cast<Kind>(kept.data.at("kind").as<std::int64_t>());
    size_ = kept.data.at("size").as<std::int64_t>();
    if (kind_ == Kind::text) {
      for (const Record& text : kept.data.at("texts").as<Record::List>())
        texts_.push_back(text.as<std::string>());
    }
    if (kept.data.find("numbers")) put_back(kept, "numbers", numbers_);
    at::Tensor values = numbers_;
    if (const Record* dimensions = kept.data.find("dimensions")) {
      dimensions_ = dimensions->as<std::int64_t>();
      LogColumn lengths;
      put_back(kept, "values", values);
      put_back(kept, "lengths", lengths);
      std::int64_t at = 0;
      for (std::int64_t i = 0; i < size_; ++i) {
        std::vector<std::int64_t> sizes;
        std::int64_t count = 1;
        for (std::int64_t d = 0; d < dimensions_; ++d) {
          sizes.push_back(lengths.numbers<std::int64_t>()[i * dimensions_ + d]);
          count *= sizes.back();
        }
        tensors_.push_back(values.narrow(0, at, count).view(sizes));
        at += count;
      }
    }
    if (values.defined()) options_ = {values.scalar_type(), values.device()};
  }

private:
  struct Options {
    at::ScalarType dtype = at::kDouble;
    at::Device device = at::kCPU;
  };
  static Options options_of(const Value& value) {
    if (const auto* tensor = std::get_if<at::Tensor>(&value))
      return {tensor->scalar_type(), tensor->device()};
    if (std::holds_alternative<bool>(value)) return {at::kBool};
    if (std::holds_alternative<std::int64_t>(value)) return {at::kLong};
    return {};
  }

  template <class T>
  const T* numbers() const {
    return static_cast<const T*>(numbers_.const_data_ptr());
  }
  void append_tensor(const at::Tensor& tensor) {
    if (dimensions_ > 0) {
      tensors_.push_back(tensor.clone());
    } else if (tensor.is_cpu()) {
      append_bytes(tensor.const_data_ptr());
    } else {
      make_room();
      numbers_.select(0, size_).copy_(tensor, /*non_blocking=*/true);
    }
  }
  void append_bytes(const void* number) {
    make_room();
    const std::size_t bytes = numbers_.itemsize();
    std::memcpy(static_cast<char*>(numbers_.mutable_data_ptr()) + static_cast<std::size_t>(size_) * bytes,
                number, bytes);
  }
  void make_room() {
    if (numbers_.defined() && size_ < numbers_.size(0)) return;
    const c10::InferenceMode off(false);  // or it could be filled in that mode only
    const at::Tensor more = at::empty({std::max<std::int64_t>(16, 2 * size_)},
                                      at::TensorOptions(options_.dtype).device(options_.device));
    if (size_ > 0) more.narrow(0, 0, size_).copy_(numbers_.narrow(0, 0, size_), /*non_blocking=*/true);
    numbers_ = more;
  }

  Kind kind_ = Kind::nothing;
  Options options_;
  std::int64_t dimensions_ = 0;  // of its tensors
  std::int64_t size_ = 0;
  at::Tensor numbers_;              // with room for more
  std::vector<std::string> texts_;  // or these
  std::vector<at::Tensor> tensors_;
};

}  // namespace abyme
