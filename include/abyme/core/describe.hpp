#pragma once

#include <abyme/core/ground.hpp>

#include <nlohmann/json_fwd.hpp>

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abyme {

namespace reflect {

/// `moving: MovingStats(value = caller.loss, window = 100) focus stats`: a node on one line, with its inputs
/// and the options that are not at their defaults.
inline std::string describe_node(const Node& node) {
  std::string text =
      node.is_named() ? fmt::format("{}: {}", node.name(), node.type().name) : std::string(node.name());
  std::string inside;
  for (const Field& row : node.shown()) {
    if ((row.option || row.input) && !(row.at_default && row.at_default(node)))
      inside += fmt::format("{}{} = {}", inside.empty() ? "" : ", ", row.name, row.text(node));
  }
  if (!inside.empty()) text += "(" + inside + ")";
  if (const auto focus = node.focus()) text += fmt::format(" focus {}", focus->name());
  return text;
}

/// The constant behind a field that is one input, otherwise nothing.
inline Value constant_of(const Field& row, const Node& node) {
  Value constant;
  if (row.kind == Kind::object) return constant;  // a list of inputs
  row.inputs(const_cast<Node&>(node), [&](InputBase& input) {
    if (input.constant_value()) constant = *input.constant_value();
  });
  return constant;
}

/// The events of a node behind what `describe_node` tells: `Stats(value = caller.loss) [dig]`.
inline std::string describe_handle(const Node& node) {
  std::string text = describe_node(node) + " [";
  for (const std::string_view event : node.type().events) text.append(event).append(", ");
  if (text.ends_with(", ")) text.resize(text.size() - 2);
  return text + "]";
}

inline std::unordered_map<const Node*, std::size_t> ids(const Walk& walk) {
  std::unordered_map<const Node*, std::size_t> found;
  for (const Node* node : walk.nodes()) found.emplace(node, found.size());
  return found;
}

}  // namespace reflect

/// The tree below a ground as text, a line a node: its name, type, inputs, the options that are not at their
/// defaults, focus, and the events on which something hangs. A node that hangs in several places is written
/// out in the first and named in the others. A tree with faults is described too.
inline std::string describe(const Ground& ground) {
  constexpr std::size_t widest = 40;  // deeper lines tell their depth in place of more blanks
  struct Line {
    const Node* node;
    Step event;  // `entry`: the node's own line
    std::size_t depth;
  };
  std::string text;
  std::unordered_map<const Node*, bool> seen;
  std::vector<Line> lines{{&*ground, entry, 0}};
  while (!lines.empty()) {
    const auto [node, event, depth] = lines.back();
    lines.pop_back();
    text.append(2 * std::min(depth, widest), ' ');
    if (depth > widest) text += fmt::format("[{}] ", depth);
    if (event == entry) {
      const bool is_first = seen.try_emplace(node).second;
      text += is_first ? reflect::describe_node(*node) : fmt::format("{} (above)", node->name());
      for (std::size_t i = node->type().events.size(); is_first && i-- > 0;) {
        const Step hung_on{static_cast<std::int32_t>(i)};
        if (!node->children(hung_on).empty()) lines.push_back({node, hung_on, depth + 1});
      }
    } else {
      text += node->type().events[static_cast<std::size_t>(event.index)];
      const auto hung = node->children(event);
      for (std::size_t i = hung.size(); i-- > 0;) lines.push_back({hung[i].get(), entry, depth + 1});
    }
    text += '\n';
  }
  return text;
}

/// The tree as a graph in the DOT language of Graphviz: children by solid lines, focus by dashed ones.
inline std::string describe_dot(const Ground& ground) {
  const Walk walk(*ground);
  const auto ids = reflect::ids(walk);
  const auto quoted = [](std::string_view plain) {
    std::string text;
    for (const char c : plain)
      text.append(c == '"' || c == '\\' ? 1 : 0, '\\').append(1, c == '\n' ? ' ' : c);
    return text;
  };
  std::string text = "digraph abyme {\n  node [shape=box];\n";
  for (const Node* node : walk.nodes()) {
    const std::size_t id = ids.at(node);
    text += fmt::format("  n{} [label=\"{}\"];\n", id, quoted(reflect::describe_node(*node)));
    for (std::size_t event = 0; event < node->type().events.size(); ++event) {
      const auto hung = node->children(Step{static_cast<std::int32_t>(event)});
      for (std::size_t i = 0; i < hung.size(); ++i) {
        text += fmt::format("  n{} -> n{} [label=\"{}[{}]\"];\n", id, ids.at(hung[i].get()),
                            node->type().events[event], i);
      }
    }
    if (const auto focus = node->focus(); focus && ids.contains(focus.get())) {
      text += fmt::format("  n{} -> n{} [style=dashed, label=\"focus\"];\n", id, ids.at(focus.get()));
    }
  }
  return text + "}\n";
}

/// The tree as JSON: a flat list of nodes in the order of the walk, which children refer to by `id`.
/// `{"nodes": [{"id": 0, "type": "Ground", "name": "Ground", "options": {}, "events": {"dig": [1], "final":
/// []}}, ...]}`; an option is a number, a bool or a text, an input its source as text; `focus` is an id where
/// that node is in the tree. Include `<nlohmann/json.hpp>` where it is called: abyme's headers don't, since
/// it costs two seconds a file.
template <class Json = nlohmann::json>
Json describe_json(const Ground& ground) {
  const Walk walk(*ground);
  const auto ids = reflect::ids(walk);
  Json nodes = Json::array();
  for (const Node* node : walk.nodes()) {
    Json options = Json::object();
    for (const Field& row : node->shown()) {
      if (!row.option && !row.input) continue;
      const Value value = row.input ? reflect::constant_of(row, *node) : row.read(*node);
      Json& option = options[std::string(row.name)];
      if (const auto* boolean = std::get_if<bool>(&value)) option = *boolean;
      else if (const auto* whole = std::get_if<std::int64_t>(&value)) option = *whole;
      else if (const auto* real = std::get_if<double>(&value)) option = *real;
      else if (const auto* string = std::get_if<std::string>(&value)) option = *string;
      else option = row.text(*node);
    }
    Json events = Json::object();
    for (std::size_t event = 0; event < node->type().events.size(); ++event) {
      Json& hung = events[std::string(node->type().events[event])] = Json::array();
      for (const auto& child : node->children(Step{static_cast<std::int32_t>(event)}))
        hung.push_back(ids.at(child.get()));
    }
    Json row{{"id", ids.at(node)},
             {"type", node->type().name},
             {"name", node->name()},
             {"options", options},
             {"events", events}};
    if (const auto focus = node->focus(); focus && ids.contains(focus.get()))
      row["focus"] = ids.at(focus.get());
    nodes.push_back(std::move(row));
  }
  return Json{{"nodes", std::move(nodes)}};
}

/// A handle prints as its node on one line, with the events: `train_loss: Stats(value = caller.loss) [dig]`.
template <class NodeClass, class Options>
std::ostream& operator<<(std::ostream& out, const HandleOf<NodeClass, Options>& handle) {
  return out << reflect::describe_handle(*handle);
}

}  // namespace abyme

template <abyme::NodeHandle Handle>
struct fmt::formatter<Handle> : fmt::formatter<std::string_view> {
  auto format(const Handle& handle, format_context& context) const {
    return formatter<std::string_view>::format(abyme::reflect::describe_handle(*handle.shared()), context);
  }
};
