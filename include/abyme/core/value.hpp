#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <abyme/core/reflect.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <variant>

namespace abyme {

/// A type, by address. Two types may have one name: in the unnamed namespaces of two files.
struct TypeId {
  std::string_view name;
  const std::type_info* info;
  friend bool operator==(const TypeId& a, const TypeId& b) { return &a == &b || a.is_twin_of(b); }

private:
  // Of another file. Clang's type_info takes types in the unnamed namespaces of two files for one.
  bool is_twin_of(const TypeId& other) const {
    return *info == *other.info && name.find("anonymous") == name.npos;
  }
};
template <class T>
inline constexpr TypeId type_id{type_name<T>, &typeid(T)};

/// A value of a type that abyme does not look into: a batch, a list. Valid as long as its owner says.
struct Opaque {
  const TypeId* type = nullptr;
  const void* address = nullptr;  ///< null where there is none yet
};

using Duration = std::chrono::duration<double>;  // seconds

/// What a field holds. `std::monostate` is nothing: not there yet.
using Value =
    std::variant<std::monostate, bool, std::int64_t, double, std::string, at::Tensor, Duration, Opaque>;

/// The alternatives of `Value`, in their order, and `any` for what only reading tells.
enum class Kind : std::uint8_t { nothing, boolean, integer, number, text, tensor, duration, object, any };

/// With its article: `an integer`.
inline std::string_view kind_name(Kind kind) {
  constexpr std::string_view names[] = {"nothing",  "a bool",     "an integer", "a number", "a text",
                                        "a tensor", "a duration", "an object",  "any value"};
  return names[static_cast<std::size_t>(kind)];
}

/// A number or a tensor with one element, not read yet.
struct Number {
  Value value;
};

namespace reflect {
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_duration = false;
template <class Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;
template <class T>  // an enumeration that says its names, as LibTorch's do
concept NamedEnum = std::is_enum_v<T> && requires(T value) { std::string(toString(value)); };
}  // namespace reflect

/// The kind of Value that a T becomes.
template <class T>
consteval Kind kind_of() {
  if constexpr (reflect::is_optional<T>) return kind_of<typename T::value_type>();
  else if constexpr (std::same_as<T, Value>) return Kind::any;
  else if constexpr (std::same_as<T, Number>) return Kind::any;
  else if constexpr (std::same_as<T, bool>) return Kind::boolean;
  else if constexpr (std::integral<T>) return Kind::integer;
  else if constexpr (std::floating_point<T>) return Kind::number;
  else if constexpr (std::convertible_to<T, std::string_view>) return Kind::text;
  else if constexpr (std::same_as<T, std::filesystem::path> || reflect::NamedEnum<T>) return Kind::text;
  else if constexpr (std::convertible_to<T, at::Tensor>) return Kind::tensor;
  else if constexpr (reflect::is_duration<T>) return Kind::duration;
  else return Kind::object;
}

/// A T as a Value: nothing for an empty optional and an undefined tensor. An opaque one holds the address of
/// `object`, all others a copy.
template <class T>
Value to_value(const T& object) {
  constexpr Kind kind = kind_of<T>();
  if constexpr (std::same_as<T, Value>) return object;
  else if constexpr (std::same_as<T, Number>) return object.value;
  else if constexpr (std::same_as<T, Opaque>) return object;
  else if constexpr (reflect::is_optional<T>) return object ? to_value(*object) : Value{};
  else if constexpr (kind == Kind::boolean) return Value{bool(object)};
  else if constexpr (kind == Kind::integer) return Value{static_cast<std::int64_t>(object)};
  else if constexpr (kind == Kind::number) return Value{static_cast<double>(object)};
  else if constexpr (std::same_as<T, std::filesystem::path>) return Value{object.string()};
  else if constexpr (reflect::NamedEnum<T>) return Value{std::string(toString(object))};
  else if constexpr (kind == Kind::text) return Value{std::string(std::string_view(object))};
  else if constexpr (kind == Kind::tensor)
    return at::Tensor(object).defined() ? Value{at::Tensor(object)} : Value{};
  else if constexpr (kind == Kind::duration) return Value{std::chrono::duration_cast<Duration>(object)};
  else return Value{Opaque{&type_id<T>, &object}};
}

/// Whether a value made of what a function returns is good after the call: an opaque one holds an address.
template <class Given>
inline constexpr bool outlives_reading =
    std::is_lvalue_reference_v<Given> || kind_of<std::remove_cvref_t<Given>>() != Kind::object ||
    std::same_as<std::remove_cvref_t<Given>, Opaque>;

inline Kind kind(const Value& value) { return static_cast<Kind>(value.index()); }

/// Where the one element of a tensor lies that is a float32 on the CPU; null for other tensors.
inline const float* only_float(const at::Tensor& tensor) {
  const at::TensorImpl& held = *tensor.unsafeGetTensorImpl();  // const_data_ptr takes twice the instructions
  if (!held.is_cpu() || held.dtype() != caffe2::TypeMeta::Make<float>() || held.numel() != 1) return nullptr;
  const at::Storage& storage = held.unsafe_storage();
  const auto* first = storage ? static_cast<const float*>(storage.data()) : nullptr;
  return first ? first + held.storage_offset() : nullptr;
}

/// The number in a tensor with one element. On the CPU it is read through its pointer; on a device this
/// waits.
inline double number(const at::Tensor& tensor) {
  const float* held = only_float(tensor);
  return held ? double(*held) : tensor.item().toDouble();
}

/// The number in a value: of a bool 0 or 1, of a duration its seconds, of a tensor its one element; none
/// where there is no number.
inline std::optional<double> number(const Value& value) {
  switch (kind(value)) {
  case Kind::boolean: return std::get<bool>(value) ? 1.0 : 0.0;
  case Kind::integer: return static_cast<double>(std::get<std::int64_t>(value));
  case Kind::number: return std::get<double>(value);
  case Kind::duration: return std::get<Duration>(value).count();
  case Kind::tensor: {
    const at::Tensor& tensor = std::get<at::Tensor>(value);
    if (tensor.defined() && tensor.numel() == 1) return number(tensor);
    return std::nullopt;
  }
  default: return std::nullopt;
  }
}

/// `Tensor[64, 10]`.
inline std::string shape_text(const at::Tensor& tensor) {
  std::string text = "Tensor[";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) text += fmt::format("{}{}", i ? ", " : "", tensor.size(i));
  return text + "]";
}

/// Appends `value` to `text`, formatted by the fmt spec (what stands behind the colon of `{:>8.3f}`). Nothing
/// is "none" whatever the spec; a tensor with one element is that number, a larger one is told by its shape.
/// \throws fmt::format_error where the spec does not fit.
inline void format_to(std::string& text, std::string_view spec, const Value& value) {
  const auto put = [&](const auto& plain) {
    if (spec.empty()) fmt::format_to(std::back_inserter(text), "{}", plain);
    else
      fmt::vformat_to(std::back_inserter(text), fmt::format("{{:{}}}", spec), fmt::make_format_args(plain));
  };
  switch (kind(value)) {
  case Kind::boolean: return put(std::get<bool>(value));
  case Kind::integer: return put(std::get<std::int64_t>(value));
  case Kind::number: return put(std::get<double>(value));
  case Kind::text: return put(std::get<std::string>(value));
  case Kind::duration:
    put(std::get<Duration>(value).count());
    if (spec.empty()) text += " s";
    return;
  case Kind::tensor: {
    const at::Tensor& tensor = std::get<at::Tensor>(value);
    if (!tensor.defined()) text += "none";
    else if (tensor.numel() != 1) text += shape_text(tensor);
    else if (tensor.scalar_type() == at::kBool) put(tensor.item().toBool());
    else if (at::isIntegralType(tensor.scalar_type(), false)) put(tensor.item().toLong());
    else if (tensor.scalar_type() == at::kDouble) put(tensor.item().toDouble());
    else put(tensor.item().toFloat());
    return;
  }
  case Kind::object:
    fmt::format_to(std::back_inserter(text), "<{}>", std::get<Opaque>(value).type->name);
    return;
  default: text += "none";
  }
}

inline std::string to_text(const Value& value) {
  std::string text;
  format_to(text, {}, value);
  return text;
}

/// A value as a T, or none where it is nothing or holds no T. `std::string` takes everything but nothing.
template <class T>
std::optional<T> convert(const Value& value) {
  if constexpr (std::same_as<T, Value>) return value;
  else if constexpr (std::same_as<T, Number>) {
    const Kind is = kind(value);
    if (is == Kind::nothing || is == Kind::text || is == Kind::object) return std::nullopt;
    return Number{value};
  } else if constexpr (std::same_as<T, std::string>) {
    if (kind(value) == Kind::nothing) return std::nullopt;
    return to_text(value);
  } else if constexpr (std::same_as<T, at::Tensor> || std::same_as<T, Duration>) {
    if (const T* held = std::get_if<T>(&value)) return *held;
    return std::nullopt;
  } else if constexpr (std::same_as<T, Opaque>) {
    const Opaque* held = std::get_if<Opaque>(&value);
    return held && held->address ? std::optional(*held) : std::nullopt;
  } else {
    static_assert(std::is_arithmetic_v<T>,
                  "a value is a bool, int64, double, string, Tensor, Duration or Opaque");
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<T>(*whole);
    const std::optional<double> found = number(value);
    if (!found) return std::nullopt;
    if constexpr (std::same_as<T, bool>) return *found != 0;
    else if constexpr (std::integral<T>)  // false for not a number, too
      return *found > -0x1p63 && *found < 0x1p63 ? std::optional(static_cast<T>(*found)) : std::nullopt;
    else return static_cast<T>(*found);
  }
}

}  // namespace abyme
