#pragma once

#include <abyme/core/record.hpp>
#include <abyme/core/value.hpp>

#include <ATen/EmptyTensor.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// A tensor and its name in a file.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// What a snapshot takes of a thing and gives back: plain data, and tensors under names of the thing's own.
class Kept {
public:
  Record data;

  /// Nothing is done for an undefined tensor. It is not copied: the snapshot is written before it can change.
  void add(std::string_view name, const at::Tensor& tensor) {
    if (tensor.defined()) tensors_.push_back({std::string(name), tensor});
  }
  /// The tensor of that name; undefined where there is none.
  at::Tensor tensor(std::string_view name) const {
    for (const auto& [known, tensor] : tensors_) {
      if (known == name) return tensor;
    }
    return {};
  }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }

  /// `data[name]` and the tensors under prefix name + ".", as a thing of their own.
  Kept part(std::string_view name) const {
    Kept inner;
    if (const Record* record = data.find(name)) inner.data = *record;
    const std::string prefix = std::string(name) + ".";
    for (const auto& [known, tensor] : tensors_) {
      if (known.starts_with(prefix)) inner.add(known.substr(prefix.size()), tensor);
    }
    return inner;
  }
  void set_part(std::string_view name, Kept inner) {
    data[name] = std::move(inner.data);
    for (const auto& [known, tensor] : inner.tensors_) add(std::string(name) + "." + known, tensor);
  }
  /// What `thing.save(kept)` keeps, as such a part.
  template <class Thing>
  void save_part(std::string_view name, const Thing& thing) {
    Kept inner;
    thing.save(inner);
    set_part(name, std::move(inner));
  }

private:
  std::vector<NamedTensor> tensors_;
};

namespace reflect {
template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;
template <class T>
concept SelfKeeping = requires(const T& self, T& other, Kept& kept) {
  self.save(kept);
  other.load(std::as_const(kept));
};
template <class T>
concept ListOfNumbers = is_list<T> && std::is_arithmetic_v<typename T::value_type>;
template <class T>
inline constexpr bool is_pair = false;
template <class A, class B>
inline constexpr bool is_pair<std::pair<A, B>> = true;

template <class T>
consteval bool can_keep() {
  if constexpr (is_optional<T> || is_list<T>) return can_keep<typename T::value_type>();
  else if constexpr (is_pair<T>)
    return can_keep<typename T::first_type>() && can_keep<typename T::second_type>();
  else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || is_duration<T> ||
                     std::same_as<T, std::string> || std::same_as<T, at::Tensor> || std::same_as<T, Value>)
    return true;
  else if constexpr (SelfKeeping<T>) return true;
  else if constexpr (std::is_aggregate_v<T> && std::is_default_constructible_v<T> && std::is_class_v<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      using Members = decltype(members(std::declval<T&>()));
      return (can_keep<std::remove_cvref_t<std::tuple_element_t<I, Members>>>() && ...);
    }(std::make_index_sequence<member_count<T>>{});
  } else {
    return false;
  }
}
}  // namespace reflect

/// Whether a snapshot can hold a T: numbers, enumerations, texts, durations, tensors, values; optionals,
/// lists, pairs and aggregates of such; and classes with `void save(ab::Kept&) const` and `void load(const
/// ab::Kept&)`.
template <class T>
concept Keepable = reflect::can_keep<T>();

namespace reflect {

// Lists of more numbers than this are tensors: JSON is ten times as long, and as slow.
inline constexpr std::size_t many_numbers = 256;
template <ListOfNumbers T>
using TensorNumber =
    std::conditional_t<std::is_floating_point_v<typename T::value_type>, double, std::int64_t>;

template <ListOfNumbers T>
at::Tensor tensor_of(const T& list) {
  using Number = TensorNumber<T>;
  const auto size = static_cast<std::int64_t>(list.size());
  const at::Tensor tensor = at::detail::empty_cpu({size}, c10::CppTypeToScalarType<Number>::value);
  auto* next = static_cast<Number*>(tensor.mutable_data_ptr());
  for (const auto each : list) *next++ = static_cast<Number>(each);
  return tensor;
}
template <ListOfNumbers T>
void put_back_tensor_of(const at::Tensor& tensor, T& list) {
  using Number = TensorNumber<T>;
  if (!tensor.defined() || tensor.scalar_type() != c10::CppTypeToScalarType<Number>::value)
    throw Error(
        "a list of numbers must be what is read from a snapshot, got another thing; the file was made by "
        "another program");
  const auto* next = static_cast<const Number*>(tensor.const_data_ptr());
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    list.push_back(static_cast<typename T::value_type>(*next++));
}

}  // namespace reflect

/// Keeps `value` under `name`.
template <Keepable T>
void keep(Kept& kept, std::string_view name, const T& value) {
  if constexpr (reflect::is_optional<T>) {
    Kept inner;
    if (value) keep(inner, "value", *value);
    kept.set_part(name, std::move(inner));
  } else if constexpr (std::same_as<T, at::Tensor>) {
    if (value.defined() && !value.is_cpu()) kept.data[name] = value.device().str();
    else kept.data[name] = value.defined();
    kept.add(name, value);
  } else if constexpr (std::same_as<T, Value>) {
    Kept inner;
    inner.data["kind"] = static_cast<int>(kind(value));
    std::visit(
        [&]<class Held>(const Held& held) {
          if constexpr (!std::same_as<Held, std::monostate> && !std::same_as<Held, Opaque>)
            keep(inner, "value", held);
        },
        value);
    kept.set_part(name, std::move(inner));
  } else if constexpr (reflect::is_duration<T>) {
    kept.data[name] = std::chrono::duration_cast<Duration>(value).count();
  } else if constexpr (std::is_enum_v<T>) {
    kept.data[name] = static_cast<std::int64_t>(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    kept.data[name] = static_cast<double>(value);
  } else if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string>) {
    kept.data[name] = value;
  } else if constexpr (reflect::is_list<T>) {
    if constexpr (reflect::ListOfNumbers<T>) {
      if (value.size() > reflect::many_numbers) return keep(kept, name, reflect::tensor_of(value));
    }
    Record::List records;
    for (std::size_t i = 0; i < value.size(); ++i) {
      Kept one;
      const std::string number = std::to_string(i);
      keep<typename T::value_type>(one, number, value[i]);
      records.push_back(one.data.at(number));
      for (const auto& [inner, tensor] : one.tensors()) kept.add(fmt::format("{}.{}", name, inner), tensor);
    }
    kept.data[name] = std::move(records);
  } else if constexpr (reflect::is_pair<T>) {
    Kept inner;
    keep(inner, "first", value.first);
    keep(inner, "second", value.second);
    kept.set_part(name, std::move(inner));
  } else if constexpr (reflect::SelfKeeping<T>) {
    kept.save_part(name, value);
  } else {
    Kept inner;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (keep(inner, member_name<T, I>, std::get<I>(members(value))), ...);
    }(std::make_index_sequence<member_count<T>>{});
    kept.set_part(name, std::move(inner));
  }
}

/// Sets `value` to what was kept under `name`. \throws Error where something else was
template <Keepable T>
void put_back(const Kept& kept, std::string_view name, T& value) {
  const Record& record = kept.data.at(name);
  if constexpr (reflect::is_optional<T>) {
    value.reset();
    const Kept inner = kept.part(name);
    if (inner.data.find("value")) put_back(inner, "value", value.emplace());
  } else if constexpr (std::same_as<T, at::Tensor>) {
    value = kept.tensor(name);
    if (value.defined() && !(record == Record(true))) value = value.to(at::Device(record.as<std::string>()));
  } else if constexpr (std::same_as<T, Value>) {
    const Kept inner = kept.part(name);
    const auto held = static_cast<Kind>(inner.data.at("kind").template as<std::int64_t>());
    const auto take = [&]<class Held>(Held made) {
      put_back(inner, "value", made);
      value = std::move(made);
    };
    switch (held) {
    case Kind::boolean: return take(false);
    case Kind::integer: return take(std::int64_t{});
    case Kind::number: return take(0.0);
    case Kind::text: return take(std::string());
    case Kind::tensor: return take(at::Tensor());
    case Kind::duration: return take(Duration{});
    default: value = {};
    }
  } else if constexpr (reflect::is_duration<T>) {
    value = std::chrono::duration_cast<T>(Duration(record.number()));
  } else if constexpr (std::same_as<T, bool> || std::same_as<T, std::string>) {
    value = record.as<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    value = static_cast<T>(record.number());
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    value = static_cast<T>(record.as<std::int64_t>());
  } else if constexpr (reflect::is_list<T>) {
    value.clear();
    if constexpr (reflect::ListOfNumbers<T>) {
      if (record == Record(true)) return reflect::put_back_tensor_of(kept.tensor(name), value);
    }
    const Kept inner = kept.part(name);
    const auto& records = record.as<Record::List>();
    for (std::size_t i = 0; i < records.size(); ++i) {
      Kept one;
      const std::string number = std::to_string(i);
      one.data[number] = records[i];
      for (const auto& [known, tensor] : inner.tensors()) {
        if (known == number || known.starts_with(number + ".")) one.add(known, tensor);
      }
      typename T::value_type each{};
      put_back(one, number, each);
      value.push_back(std::move(each));
    }
  } else if constexpr (reflect::is_pair<T>) {
    const Kept inner = kept.part(name);
    put_back(inner, "first", value.first);
    put_back(inner, "second", value.second);
  } else if constexpr (reflect::SelfKeeping<T>) {
    value.load(kept.part(name));
  } else {
    const Kept inner = kept.part(name);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (put_back(inner, member_name<T, I>, std::get<I>(members(value))), ...);
    }(std::make_index_sequence<member_count<T>>{});
  }
}

}  // namespace abyme
