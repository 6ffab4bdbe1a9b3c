#pragma once

#include <abyme/core/record.hpp>
#include <abyme/core/value.hpp>

#include <ATen/ops/empty.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace abyme {

/// A value as JSON has it: durations in seconds, tensors without dimensions as numbers, others as nested
/// lists, objects as the names of their types.
inline Record to_record(const Value& value) {
  switch (kind(value)) {
  case Kind::nothing: return {};
  case Kind::boolean: return std::get<bool>(value);
  case Kind::integer: return std::get<std::int64_t>(value);
  case Kind::number: return std::get<double>(value);
  case Kind::duration: return std::get<Duration>(value).count();
  case Kind::tensor: break;
  default: return to_text(value);
  }
  const at::Tensor& tensor = std::get<at::Tensor>(value);
  if (!tensor.defined()) return {};
  if (tensor.is_complex())
    throw Error("a tensor that is written as JSON must be real, got a complex one; log torch::view_as_real "
                "of it");
  const bool is_bool = tensor.scalar_type() == at::kBool;
  const bool is_whole = is_bool || at::isIntegralType(tensor.scalar_type(), false);
  const at::Tensor plain = tensor.detach().cpu().to(is_whole ? at::kLong : at::kDouble).contiguous();
  std::int64_t next = 0;  // items come in the order of their addresses
  const auto read = [&](auto& self, std::int64_t dimension) -> Record {
    if (dimension == plain.dim()) {
      const std::int64_t at = next++;
      if (!is_whole) return plain.const_data_ptr<double>()[at];
      const std::int64_t item = plain.const_data_ptr<std::int64_t>()[at];
      return is_bool ? Record(item != 0) : Record(item);
    }
    Record::List list;
    for (std::int64_t i = 0; i < plain.size(dimension); ++i) list.push_back(self(self, dimension + 1));
    return list;
  };
  return read(read, 0);
}

/// Reads a value of JSON, where lists are tensors of bools, int64 or double.
class JsonValue {
public:
  /// \throws Error where there is none
  static Value read(JsonReader& json) {
    if (!json.take("[")) return item(json);
    JsonValue list(json);
    list.read_list(0);
    return list.tensor();
  }

private:
  explicit JsonValue(JsonReader& json) : json_(json) {}

  static Value item(JsonReader& json) {
    if (json.next_is('"')) return json.string();
    if (json.take("null")) return {};
    if (json.take("true")) return true;
    if (json.take("false")) return false;
    if (json.take("NaN")) return std::numeric_limits<double>::quiet_NaN();
    if (json.take("Infinity")) return std::numeric_limits<double>::infinity();
    if (json.take("-Infinity")) return -std::numeric_limits<double>::infinity();
    const std::string_view digits = json.number();
    if (json.is_whole()) return json.number_as<std::int64_t>(digits);
    return json.number_as<double>(digits);
  }

  // All lists in one depth have one length, all items one depth: the first to end tells it.
  void read_list(std::size_t depth) {
    if (depth == 64) json_.fail("end of the nesting, which is too deep for a tensor,");
    const bool is_first = sizes_.size() <= depth;
    if (is_first) sizes_.push_back(0);
    std::int64_t length = 0;
    if (!json_.take("]")) {
      do {
        if (json_.take("[")) {
          if (sizes_.size() == depth + 1 && !items_.empty()) fail_shape();
          read_list(depth + 1);
        } else {
          if (sizes_.size() != depth + 1) fail_shape();
          items_.push_back(item(json_));
          if (!number(items_.back())) json_.fail("number before this, in a list,");
        }
        ++length;
      } while (json_.take(","));
      json_.need("]");
    }
    if (is_first) sizes_[depth] = length;
    else if (sizes_[depth] != length) fail_shape();
  }
  [[noreturn]] void fail_shape() const { json_.fail("list before this whose items have one shape"); }

  at::Tensor tensor() const {
    bool is_bool = !items_.empty(), is_whole = is_bool;
    for (const Value& item : items_) {
      is_bool = is_bool && kind(item) == Kind::boolean;
      is_whole = is_whole && kind(item) != Kind::number;
    }
    const auto count = static_cast<std::int64_t>(items_.size());
    const at::Tensor made = at::empty({count}, is_whole ? at::kLong : at::kDouble);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (is_whole) made.mutable_data_ptr<std::int64_t>()[i] = *convert<std::int64_t>(items_[i]);
      else made.mutable_data_ptr<double>()[i] = *number(items_[i]);
    }
    return (is_bool ? made.to(at::kBool) : made).view(sizes_);
  }

  JsonReader& json_;
  std::vector<std::int64_t> sizes_;
  std::vector<Value> items_;
};

}  // namespace abyme
