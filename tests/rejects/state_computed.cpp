// expect: a state is a data member
#include <abyme/core/ground.hpp>

struct ShowsNode : abyme::Node {
  double value = 0;
  double computed() const { return value; }
#ifdef REJECT
  static constexpr auto fields = abyme::fields(abyme::state("value", &ShowsNode::computed));
#else
  static constexpr auto fields = abyme::fields(abyme::state("value", &ShowsNode::value));
#endif
  abyme::Step next(abyme::Step) override { return abyme::done; }
};
