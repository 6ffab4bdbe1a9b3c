// expect: an object that a field computes must outlive the call: return a reference to it
#include <abyme/core/ground.hpp>

#include <vector>

struct ShowsNode : abyme::Node {
  std::vector<int> list;
#ifdef REJECT
  std::vector<int> shown_list() const { return list; }
#else
  const std::vector<int>& shown_list() const { return list; }
#endif
  static constexpr auto fields = abyme::fields(abyme::field("list", &ShowsNode::shown_list));
  abyme::Step next(abyme::Step) override { return abyme::done; }
};

void make() { abyme::Handle<ShowsNode>(); }
