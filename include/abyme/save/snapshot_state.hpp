#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/core/json.hpp>
#include <abyme/save/generators.hpp>
#include <abyme/save/safetensors.hpp>
#include <abyme/save/split_name.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

struct ResumeOptions {
  bool partial = false;  ///< takes what fits where the tree or a part is another than in the snapshot
};

/// A run written down: what a snapshot file holds.
struct SnapshotState {
  std::vector<NamedTensor> tensors;
  Record record;  ///< version, run, tree, nodes, parts, frames

  std::map<std::string, std::string> metadata() const { return {{"abyme", record.json()}, {"format", "pt"}}; }
};

namespace reflect {

/// What is in a snapshot, by the names that it has there.
struct KeptThings {
  using Group = std::map<std::string, Kept, std::less<>>;
  Group nodes, parts;

  KeptThings(const Record& record, const std::vector<NamedTensor>& tensors) {
    std::vector<std::string> names;
    const auto take = [&](Group& group, std::string_view name_of_group) {
      const Record* all = record.find(name_of_group);
      if (!all || all->is_nothing()) return;
      for (const auto& [name, data] : all->as<Record::Entries>()) {
        group[name].data = data;
        names.push_back(name);
      }
    };
    take(nodes, "nodes");
    take(parts, "parts");
    for (const NamedTensor& each : tensors) {
      const auto name = split_name(each.name, names);
      if (!name) continue;
      for (Group* group : {&nodes, &parts}) {
        if (const auto found = group->find(name->first); found != group->end())
          found->second.add(name->second, each.tensor);
      }
    }
  }
  /// Null where there is none of that name.
  static const Kept* find(const Group& group, std::string_view name) {
    const auto found = group.find(name);
    return found == group.end() ? nullptr : &found->second;
  }
};

inline Record::List tree_of(const Walk& walk) {
  Record::List tree;
  for (const Node* node : walk.nodes()) {
    Record record;
    record["path"] = walk.path_of(*node);
    record["type"] = node->type().name;
    tree.push_back(std::move(record));
  }
  return tree;
}

/// How the tree differs from that of a snapshot, by path.
inline std::vector<std::string> tree_differences(const Record::List& there, const Record::List& here) {
  std::vector<std::string> told;
  const auto find = [](const Record::List& tree, const std::string& path) -> const Record* {
    for (const Record& each : tree) {
      if (each.at("path").as<std::string>() == path) return &each;
    }
    return nullptr;
  };
  for (const Record& each : there) {
    const auto& path = each.at("path").as<std::string>();
    const auto& type = each.at("type").as<std::string>();
    const Record* now = find(here, path);
    if (!now) told.push_back(fmt::format("{} ({}) is not in the tree", path, type));
    else if (const auto& type_now = now->at("type").as<std::string>(); type_now != type)
      told.push_back(fmt::format("{} is {}, here {}", path, type, type_now));
  }
  for (const Record& each : here) {
    const auto& path = each.at("path").as<std::string>();
    if (!find(there, path))
      told.push_back(fmt::format("{} ({}) is not in the snapshot", path, each.at("type").as<std::string>()));
  }
  return told;
}

// The frames of a snapshot as far as they hold here. A node that was at its end may have more to do now, as a
// looper with a higher count: it is asked again what comes next, and the rest of that event is left out.
inline Record::List frames_that_hold(const Walk& walk, const Record::List& frames) {
  Record::List hold;
  for (const Record& frame : frames) {
    hold.push_back(frame);
    for (const Node* node : walk.nodes()) {
      if (walk.path_of(*node) != frame.at("node").as<std::string>()) continue;
      const auto names = node->type().events;
      const auto named = std::find(names.begin(), names.end(), frame.at("event").as<std::string>());
      const Step event{static_cast<std::int32_t>(named - names.begin())};
      if (named == names.end() || node->can_go_on_in(event)) continue;
      hold.back()["next"] = node->children(event).size();
      return hold;
    }
  }
  return hold;
}

}  // namespace reflect

/// Writes down a run as it stands between two children.
inline SnapshotState capture(Run& run) {
  SnapshotState state;
  const auto put = [&state](const std::string& name, Kept kept, std::string_view group) {
    for (const auto& [inner, tensor] : kept.tensors()) state.tensors.push_back({name + "." + inner, tensor});
    state.record[group][name] = std::move(kept.data);
  };
  state.record["version"] = 1;
  state.record["run"] = run.id;
  state.record["time"] = run.time().count();
  state.record["place"] = run.path();
  state.record["frames"] = run.position();
  state.record["tree"] = reflect::tree_of(run.walk());
  for (Node* node : run.walk().nodes()) {
    Kept kept;
    for (const Field& row : node->type().fields) {
      if (row.save) row.save(*node, kept);
    }
    if (!kept.data.is_nothing()) put(run.walk().path_of(*node), std::move(kept), "nodes");
  }
  const Holdings holdings(run.walk());
  for (const auto& holding : holdings.all()) {
    Kept kept;
    holding.part.save(kept);
    put(holding.name, std::move(kept), "parts");
  }
  put("generator", generators(), "parts");
  return state;
}

/// Sets a run that has not begun to what was written down. \throws Error with all that does not fit, before
/// anything is changed, unless `partial` says to leave that out
inline void apply(Run& run, const SnapshotState& state, ResumeOptions options) {
  const Record& record = state.record;
  if (const auto version = record.at("version").as<std::int64_t>(); version != 1)
    throw Error(fmt::format("a snapshot must be of version 1, got {}; use the abyme that wrote it", version));
  const reflect::KeptThings things(record, state.tensors);
  std::vector<std::string> differences =
      reflect::tree_differences(record.at("tree").as<Record::List>(), reflect::tree_of(run.walk()));
  const Holdings holdings(run.walk());
  std::vector<const Holdings::Holding*> loaded;
  for (const auto& holding : holdings.all()) {
    const Kept* kept = things.find(things.parts, holding.name);
    std::vector<std::string> told;
    if (!kept) told = {"is not in the snapshot"};
    else if (holding.part.check) told = holding.part.check(*kept);
    for (const std::string& each : told) differences.push_back(fmt::format("{}: {}", holding.name, each));
    if (told.empty()) loaded.push_back(&holding);
  }
  if (!differences.empty() && !options.partial) {
    std::string all;
    for (const std::string& each : differences) all += "\n  " + each;
    throw Error("the snapshot must be of this tree, got one that differs; start anew, or take what fits with "
                "{.partial = true}:" +
                all);
  }

  for (Node* node : run.walk().nodes()) {
    const Kept* kept = things.find(things.nodes, run.walk().path_of(*node));
    if (!kept) continue;
    for (const Field& row : node->type().fields) {
      if (row.load && kept->data.find(row.name)) row.load(*node, *kept);
    }
    if (auto* goes_on = dynamic_cast<GoesOn*>(node)) goes_on->goes_on();
  }
  for (const bool shared : {true, false}) {  // a node may use the models that it tells of
    for (const auto* holding : loaded) {
      if ((holding->thing != nullptr) == shared)
        holding->part.load(*things.find(things.parts, holding->name));
    }
  }
  run.id = record.at("run").as<std::string>();
  if (const Record* time = record.find("time")) run.set_time(Duration(time->number()));
  const Record& frames = record.at("frames");
  if (!frames.is_nothing() && (differences.empty() || !options.partial))
    run.set_position(reflect::frames_that_hold(run.walk(), frames.as<Record::List>()));
  else if (!options.partial)
    throw Error("a snapshot must tell where its run was, got one of a tree that grew while it ran; take its "
                "models and fields with {.partial = true}, and the run starts at the root");
  if (const Kept* kept = things.find(things.parts, "generator")) set_generators(*kept);
}

}  // namespace abyme
