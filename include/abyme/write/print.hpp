#pragma once

#include <abyme/write/text_file.hpp>

#include <array>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

// Not constexpr: a compiler that meets a wrong format string stops at one of these and prints its name.
void the_format_string_has_more_places_than_arguments();
void the_format_string_has_fewer_places_than_arguments();
void the_format_string_has_a_brace_without_its_partner();
void the_format_string_mixes_numbered_and_plain_places();
void the_format_string_nests_a_place_in_a_spec();

/// A piece of a format string: text, or the place of an argument with its spec.
struct FormatPiece {
  std::string_view text;    // or the spec
  std::ptrdiff_t argument;  // -1: text
};

enum class FormatFault { none, brace, mixed, nested };

/// Reads a format string piece by piece; `{{` and `}}` stand for braces. Used when the program compiles, to
/// check it, and when a node is made, to take it apart.
template <class Take>
constexpr FormatFault parse_format(std::string_view format, Take take) {
  std::ptrdiff_t plain = 0;
  bool numbered = false;
  while (!format.empty()) {
    const std::size_t brace = format.find_first_of("{}");
    if (brace != 0) {
      take(FormatPiece{format.substr(0, brace), -1});
      if (brace == format.npos) return FormatFault::none;
      format.remove_prefix(brace);
    }
    if (format.size() > 1 && format[1] == format[0]) {
      take(FormatPiece{format.substr(0, 1), -1});
      format.remove_prefix(2);
      continue;
    }
    const std::size_t end = format.find('}');
    if (end == 0 || end == format.npos) return FormatFault::brace;
    std::string_view inside = format.substr(1, end - 1);
    if (inside.find('{') != inside.npos) return FormatFault::nested;
    std::ptrdiff_t argument = 0;
    if (inside.empty() || inside[0] == ':') {
      argument = plain++;
    } else {
      numbered = true;
      while (!inside.empty() && inside[0] >= '0' && inside[0] <= '9') {
        argument = 10 * argument + (inside[0] - '0');
        inside.remove_prefix(1);
      }
      if (!inside.empty() && inside[0] != ':') return FormatFault::brace;
    }
    if (numbered && plain > 0) return FormatFault::mixed;
    take(FormatPiece{inside.empty() ? inside : inside.substr(1), argument});
    format.remove_prefix(end + 1);
  }
  return FormatFault::none;
}

/// A format string for this many arguments, checked when the program compiles.
template <std::size_t Arguments>
struct CheckedFormat {
  std::string_view text;

  template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
  consteval CheckedFormat(const Text& format) : text(format) {
    std::array<bool, Arguments + 1> used{};
    const FormatFault fault = parse_format(text, [&](FormatPiece piece) {
      if (piece.argument < 0) return;
      if (static_cast<std::size_t>(piece.argument) >= Arguments)
        the_format_string_has_more_places_than_arguments();
      used[static_cast<std::size_t>(piece.argument)] = true;
    });
    if (fault == FormatFault::brace) the_format_string_has_a_brace_without_its_partner();
    if (fault == FormatFault::mixed) the_format_string_mixes_numbered_and_plain_places();
    if (fault == FormatFault::nested) the_format_string_nests_a_place_in_a_spec();
    for (std::size_t i = 0; i < Arguments; ++i) {
      if (!used[i]) the_format_string_has_fewer_places_than_arguments();
    }
  }
};

/// Prints a line. No events. Fields: `format`, `arguments`; in a text file `file`.
class PrintNode : public PrintingNode {
public:
  template <class... Out>
  PrintNode(std::string_view text, std::vector<Input<Value>> values, Out&&... out)
      : PrintingNode(std::forward<Out>(out)...), format_(text), arguments_(std::move(values)) {
    parse_format(format_, [&](FormatPiece piece) { pieces_.push_back(piece); });
  }

  Step next(Step) override {
    line_.clear();
    for (const FormatPiece& piece : pieces_) {
      if (piece.argument < 0) line_ += piece.text;
      else format_to(line_, piece.text, read(arguments_[static_cast<std::size_t>(piece.argument)]));
    }
    line_ += '\n';
    print(line_);
    return done;
  }

  void check(Place& place) const override {
    PrintingNode::check(place);
    for (const FormatPiece& piece : pieces_) {
      if (piece.argument < 0 || piece.text.empty()) continue;
      const Input<Value>& argument = arguments_[static_cast<std::size_t>(piece.argument)];
      const Kind kind = place.caller() ? argument.kind_for(*place.caller()) : Kind::any;
      try {
        std::string tried;
        format_to(tried, piece.text, example(kind));
      } catch (const std::exception& wrong) {
        place.fault(fmt::format(
            "a format spec must fit its value, got \"{{:{}}}\" for {}, which is {} ({}); change the spec",
            piece.text, argument.text(), kind_name(kind), wrong.what()));
      }
    }
  }

private:
  static Value example(Kind kind) {
    switch (kind) {
    case Kind::boolean: return true;
    case Kind::integer: return std::int64_t{1};
    case Kind::number: return 1.0;
    case Kind::text: return std::string("text");
    case Kind::duration: return Duration(1);
    default: return {};
    }
  }

  std::string format_;
  std::vector<Input<Value>> arguments_;
  std::vector<FormatPiece> pieces_;  // look into `format_`
  std::string line_;

public:
  static constexpr auto fields = abyme::fields(PrintingNode::fields, option("format", &PrintNode::format_),
                                               field("arguments", &PrintNode::arguments_));
};

/// Prints a line where it hangs: a format string of fmt, checked when the program compiles for its braces and
/// the number of arguments and by the walk for its specs, and late-bound arguments: constants, fields
/// (`ab::caller("loss")`, `epochs.get("counter")`), callables. A value that is not there yet prints as
/// "none". To the standard output, or to what is given first: a stream, which is borrowed, or a `TextFile`.
class Print : public Handle<PrintNode> {
public:
  template <class... Arguments>
  explicit Print(CheckedFormat<sizeof...(Arguments)> format, Arguments&&... arguments)
      : Handle<PrintNode>(format.text, inputs(std::forward<Arguments>(arguments)...)) {}

  template <class... Arguments>
  explicit Print(std::ostream& out, CheckedFormat<sizeof...(Arguments)> format, Arguments&&... arguments)
      : Handle<PrintNode>(format.text, inputs(std::forward<Arguments>(arguments)...), out) {}

  template <class... Arguments>
  explicit Print(const TextFile& file, CheckedFormat<sizeof...(Arguments)> format, Arguments&&... arguments)
      : Handle<PrintNode>(format.text, inputs(std::forward<Arguments>(arguments)...), file) {}

private:
  template <class... Arguments>
  static std::vector<Input<Value>> inputs(Arguments&&... arguments) {
    return {Input<Value>(std::forward<Arguments>(arguments))...};
  }
};

}  // namespace abyme
