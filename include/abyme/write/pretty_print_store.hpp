#pragma once

#include <abyme/write/entries.hpp>
#include <abyme/write/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

struct PrettyPrintStoreOptions {
  int digits = 6;                  ///< significant digits of numbers that are not whole; at least 1
  Input<std::string> prefix = "";  ///< put before each name; read at each dig
};

/// Prints fields of its caller as a block, a line a field, aligned: `ab::PrettyPrintStore({"average", "std"},
/// {.prefix = "train."})`. Without names all that the caller shows but for objects and options; a dictionary
/// is shown by its entries. Give a stream, which is borrowed, or a `TextFile` before the names to print
/// there.
///
/// No events. Fields: `fields`, `digits`, `prefix`; in a text file `file`.
class PrettyPrintStoreNode : public PrintingNode {
public:
  using Options = PrettyPrintStoreOptions;

  std::vector<Input<Value>> chosen;
  Options options;
  static constexpr auto fields =
      abyme::fields(PrintingNode::fields, field("fields", &PrettyPrintStoreNode::chosen));

  explicit PrettyPrintStoreNode(Options options = {}) : options(std::move(options)) {}
  explicit PrettyPrintStoreNode(const std::vector<std::string>& names, Options options = {})
      : chosen(inputs_of(names)), options(std::move(options)) {}
  explicit PrettyPrintStoreNode(std::ostream& out, Options options = {})
      : PrettyPrintStoreNode(out, {}, std::move(options)) {}
  explicit PrettyPrintStoreNode(const TextFile& file, Options options = {})
      : PrettyPrintStoreNode(file, {}, std::move(options)) {}
  PrettyPrintStoreNode(std::ostream& out, const std::vector<std::string>& names, Options options = {})
      : PrintingNode(out), chosen(inputs_of(names)), options(std::move(options)) {}
  PrettyPrintStoreNode(const TextFile& file, const std::vector<std::string>& names, Options options = {})
      : PrintingNode(file), chosen(inputs_of(names)), options(std::move(options)) {}

  Step next(Step) override {
    lines_.clear();
    std::size_t width = 0;
    each_entry(*this, chosen, read(options.prefix), [&](std::string name, const Value& value) {
      width = std::max(width, name.size());
      std::string text;
      const at::Tensor* tensor = std::get_if<at::Tensor>(&value);
      const bool is_real = kind(value) == Kind::number ||
                           (tensor && tensor->defined() && at::isFloatingType(tensor->scalar_type()));
      format_to(text, is_real ? fmt::format(".{}g", options.digits) : "", value);
      lines_.emplace_back(std::move(name), std::move(text));
    });
    std::string block = "{\n";
    for (const auto& [name, text] : lines_)
      block += fmt::format("  {:<{}} {}\n", name + ":", width + 1, text);
    print(block + "}\n");
    return done;
  }

  void check(Place& place) const override {
    PrintingNode::check(place);
    if (options.digits < 1)
      place.fault(fmt::format("digits must be at least 1, got {}; pass 17 for all", options.digits));
  }

private:
  std::vector<std::pair<std::string, std::string>> lines_;
};
using PrettyPrintStore = Handle<PrettyPrintStoreNode>;

}  // namespace abyme
