#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/save/model_part.hpp>
#include <abyme/save/new_path.hpp>
#include <abyme/save/weights.hpp>

#include <torch/nn/module.h>
#include <torch/serialize/archive.h>

#include <cstddef>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

struct SaveModelOptions {
  bool overwrite = false;          ///< one file, replaced at each dig, in place of a new one
  bool date = true;                ///< the date and time in the name of a new file
  bool archive = false;            ///< LibTorch's own archive, for `torch::load`, in place of safetensors
  Input<std::string> prefix = "";  ///< put before the name; read at each dig
};

/// Saves the weights of a model: `ab::SaveModel(model, "models/net", {.prefix = epochs.get("counter")})`
/// writes `models/3_2026-11-21_05-30-53_net.safetensors`, which Python's safetensors reads under the names of
/// PyTorch's `state_dict`. A name that is taken gets a number behind it, `net-2`, so that nothing is lost;
/// with `overwrite` there is one file, `models/3_net.safetensors`, without date. A run that goes on from a
/// snapshot replaces what it had saved behind that. Written whole or not at all. Folders are made. The model
/// is shared where it is a module holder or a `shared_ptr`, owned as an rvalue, borrowed as an lvalue.
///
/// Events, children see this node: `before_save`, `after_save`. Fields: `path` (of the file written last,
/// nothing before the first), `count` (files written), `name`, its options. \throws Error at a dig where it
/// can't be written.
class SaveModelNode : public Node {
public:
  using Options = SaveModelOptions;
  static constexpr auto events = abyme::events("before_save", "after_save");

  Input<std::string> file_name;
  Options options;
  std::optional<std::string> path;
  std::int64_t count = 0;
  static constexpr auto fields =
      abyme::fields(state("path", &SaveModelNode::path), state("count", &SaveModelNode::count),
                    field("name", &SaveModelNode::file_name));

  template <ModelLike Model>
  explicit SaveModelNode(Model&& model, Input<std::string> name, Options options = {})
      : file_name(std::move(name)),
        options(std::move(options)),
        model_(own_or_borrow_model(std::forward<Model>(model))) {}

  Step next(Step finished) override {
    if (finished == entry) return events["before_save"];
    if (finished == events["after_save"]) return done;
    const auto write = [this](File& out) {
      std::map<std::string, std::string> tags;
      if (!run()->id.empty()) tags = {{"abyme.run", run()->id}, {"abyme.count", std::to_string(count)}};
      if (!options.archive) return write_weights(out, *model_, tags);
      torch::serialize::OutputArchive archive;
      model_->save(archive);
      for (const auto& [name, text] : tags) archive.write(name, c10::IValue(text));
      std::exception_ptr failed;  // told at the end: where its writer throws, LibTorch ends the program
      archive.save_to([&](const void* bytes, std::size_t size) {
        try {
          if (!failed) out.write(bytes, size);
        } catch (...) {
          failed = std::current_exception();
        }
        return size;
      });
      if (failed) std::rethrow_exception(failed);
    };
    const auto wanted = wanted_now();
    auto file = wanted;
    bool replaces = options.overwrite;
    do {
      if (options.overwrite) continue;
      file = free_path(wanted, [this](const auto& taken) { return is_from_later(taken); });
      replaces = std::filesystem::exists(file);
    } while (!write_atomically(file, write, replaces ? Existing::replace : Existing::keep));
    path = file.string();
    ++count;
    return events["after_save"];
  }

  void check(Place& place) const override {
    const auto name = file_name.constant();
    if (name && !names_a_file(*name)) return place.fault(rule(*name));
    if (const auto prefix = options.prefix.constant(); name && prefix && options.overwrite)
      place.claim(wanted_path(*name, *prefix).string());
  }

  void hold(Holdings& holdings) override { holdings.add("model", model_.get(), model_part(model_)); }

private:
  // Whether this run wrote the file, before it went on from a snapshot that had not seen it.
  bool is_from_later(const std::filesystem::path& file) const {
    if (run()->id.empty()) return false;
    std::map<std::string, std::string> tags;
    try {
      if (!options.archive) {
        InputFile in(file);
        tags = parse_safetensors_head(in, read_safetensors_head(in)).metadata;
      } else {
        torch::serialize::InputArchive archive;
        archive.load_from(file.string());
        for (const char* name : {"abyme.run", "abyme.count"}) {
          if (c10::IValue tag; archive.try_read(name, tag) && tag.isString()) tags[name] = tag.toStringRef();
        }
      }
    } catch (const std::exception&) {  // it is somebody else's
      return false;
    }
    const std::string& written = tags["abyme.count"];
    return tags["abyme.run"] == run()->id && !written.empty() && std::stoll(written) >= count;
  }
  static bool names_a_file(const std::filesystem::path& name) {
    return name.has_filename() && name.filename() != "." && name.filename() != "..";
  }
  static std::string rule(const std::string& name) {
    return fmt::format("name must be that of a file, got \"{}\"; pass one, as in \"models/net\"", name);
  }
  std::filesystem::path wanted_path(const std::filesystem::path& wanted, std::string name) const {
    const std::string extension = options.archive ? ".pt" : ".safetensors";
    const auto add = [&name](const std::string& part) { name.append(name.empty() ? "" : "_").append(part); };
    if (options.date && !options.overwrite) add(date_text());
    add(wanted.filename().string());
    if (!name.ends_with(extension)) name += extension;
    return wanted.parent_path() / name;
  }
  std::filesystem::path wanted_now() const {
    const std::string name = read(file_name);
    if (!names_a_file(name)) throw Error(rule(name));
    return wanted_path(name, read(options.prefix));
  }

  std::shared_ptr<torch::nn::Module> model_;
};
using SaveModel = Handle<SaveModelNode>;

}  // namespace abyme
