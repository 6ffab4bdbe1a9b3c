#pragma once

#include <abyme/core/callable.hpp>
#include <abyme/core/field.hpp>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace abyme {

class Place;

/// A field of whatever node calls: `ab::caller("loss")`.
struct CallerField {
  std::string field;
};
inline CallerField caller(std::string field) { return {std::move(field)}; }

/// A late-bound reader of a node's field: `epochs.get("counter")`. It looks at the node and does not own it.
class Look {
public:
  Look(std::weak_ptr<Node> node, std::string field) : node_(std::move(node)), field_(std::move(field)) {}

  /// The field's value now. \throws Error where the node is gone or has no such field.
  Value operator()() const;

  /// The same as a T. \throws Error also where the field holds no T, or nothing yet.
  template <class T>
  T as() const;

  const std::string& field() const { return field_; }
  std::shared_ptr<Node> node() const { return node_.lock(); }

private:
  std::weak_ptr<Node> node_;
  std::string field_;
};

/// What all inputs share: where the value comes from, and one slot for each caller, filled by the walk, so
/// that no name is looked up while a tree runs.
class InputBase {
public:
  struct Call {
    Callable<Value> call;
    Kind kind;           ///< of what it returns
    const TypeId* type;  ///< of the object that it returns; null for an Opaque and for what is no object
  };
  using Source = std::variant<Value, CallerField, Look, Call>;

  const Source& source() const { return source_; }

  /// The constant as a Value, or null where the value comes from elsewhere.
  const Value* constant_value() const { return std::get_if<Value>(&source_); }

  /// The kind that reading gives for this caller; `any` where only reading tells, or nothing is known of it.
  Kind kind_for(const Node& caller) const;

  /// The value as `reader` reads it now, during a dig.
  Value value(const Node& reader) const;

  /// The number in a field during a dig, without a Value: false where `value` must be asked.
  bool number(const Node& reader, double& number) const;
  /// The object in it; null where `value` must be asked.
  Opaque object(const Node& reader) const;

  /// The same for somebody who looks from outside: nothing where it can't be read now.
  Value show(const Node& reader) const;

  /// The source as text: a constant, `caller.loss`, `epochs.counter`, `callable`.
  std::string text() const;

  /// Checks the source against what the node is called by, and fills the slot. Called by the walk.
  void bind(Place& place, std::string_view input_name);
  void unbind() { slots_.clear(); }

protected:
  InputBase(Source source, Kind wanted) : source_(std::move(source)), wanted_(wanted) {}

  /// Limits an object to one of these types (none: any).
  std::vector<const TypeId*> wanted_types_;

  [[noreturn]] void fail_empty(const Node& reader) const;

private:
  struct Slot {
    const Node* node;
    const Field* field;
  };
  // That of a field, for this caller; null where the value comes from elsewhere, or the walk found none.
  const Slot* slot_for(const Node* caller) const;
  bool fits(Kind kind) const;
  void check_type(Place& place, std::string_view input_name, std::string_view source,
                  const TypeId& type) const;

  Source source_;
  Kind wanted_;
  std::vector<Slot> slots_;
};

/// The one way to say where a value comes from: a constant, a field of the caller (`ab::caller("loss")`), a
/// field of a node (`epochs.get("counter")`), or a callable that takes nothing, the caller's node, the run,
/// or both. A text is a constant where T is `std::string` or `Value`, else the name of a field of the caller.
/// T is bool, int64, double, std::string, Tensor, Duration, Number, Value or Opaque.
template <class T>
class Input : public InputBase {
public:
  template <class U>
    requires(std::is_arithmetic_v<T> && std::is_arithmetic_v<U> &&
             (std::is_floating_point_v<T> || std::is_integral_v<U>) &&
             (!std::same_as<T, bool> || std::same_as<U, bool>))
  Input(U constant) : InputBase(to_value(static_cast<T>(constant)), wanted()) {}

  template <class U>
    requires(!std::is_arithmetic_v<T> && !std::convertible_to<const U&, std::string_view> &&
             (std::same_as<T, U> || std::same_as<T, Value> || std::same_as<T, Number> ||
              (std::same_as<T, std::string> &&
               (std::is_arithmetic_v<U> || std::same_as<U, std::filesystem::path>)) ||
              (std::same_as<T, Duration> && reflect::is_duration<U>)) &&
             kind_of<U>() != Kind::object && kind_of<U>() != Kind::any)
  Input(const U& constant) : InputBase(to_value(constant), wanted()) {}

  template <class U>
    requires(std::convertible_to<const U&, std::string_view> && !std::same_as<U, reflect::Anything>)
  Input(const U& text) : InputBase(from_text(std::string_view(text)), wanted()) {}

  Input(CallerField field) : InputBase(std::move(field), wanted()) {}
  Input(Look look) : InputBase(std::move(look), wanted()) {}

  template <class F>
    requires(CallableWith<F, reflect::AskedCaller<F>> && !std::same_as<F, Look> &&
             kind_of<F>() == Kind::object)
  Input(F function) : InputBase(from_callable(std::move(function)), wanted()) {}

  /// The constant, or none where the value comes from elsewhere.
  std::optional<T> constant() const {
    const Value* held = constant_value();
    return held ? convert<T>(*held) : std::nullopt;
  }

  /// The value, or none where it is nothing yet.
  std::optional<T> find(const Node& reader) const {
    if (const Value* held = constant_value()) return convert<T>(*held);
    if constexpr (std::is_floating_point_v<T>) {
      if (double found = 0; number(reader, found)) return static_cast<T>(found);
    }
    if constexpr (std::same_as<T, Opaque>) {
      if (const Opaque found = object(reader); found.address) return found;
    }
    return convert<T>(value(reader));
  }

  /// The value. \throws Error where it is nothing yet, or of another type.
  T read(const Node& reader) const {
    std::optional<T> found = find(reader);
    if (!found) fail_empty(reader);
    return *std::move(found);
  }

  /// For Opaque: only objects of one of these types are taken; the walk checks it.
  void take_only(std::vector<const TypeId*> types)
    requires std::same_as<T, Opaque>
  {
    wanted_types_ = std::move(types);
  }

private:
  static constexpr Kind wanted() {
    if constexpr (std::same_as<T, Number>) return Kind::number;
    else if constexpr (std::same_as<T, Opaque>) return Kind::object;
    else return kind_of<T>();
  }
  static Source from_text(std::string_view text) {
    if constexpr (std::same_as<T, std::string> || std::same_as<T, Value>) return Value{std::string(text)};
    else return CallerField{std::string(text)};
  }
  template <class F>
  static Source from_callable(F function) {
    using Asked = reflect::AskedCaller<F>;
    using Result = std::remove_cvref_t<reflect::ResultOf<F, Asked>>;
    static_assert(!std::is_void_v<Result>, "a callable that gives a value must return one");
    const TypeId* type = nullptr;
    if constexpr (kind_of<Result>() == Kind::object && !std::same_as<Result, Opaque>) type = &type_id<Result>;
    return Call{Callable<Value>::make<Asked>(std::move(function)), kind_of<Result>(), type};
  }
};

}  // namespace abyme
