// The other one.
#include "unit.hpp"

std::int32_t call_in_b(const lucet::bound_func<std::int32_t(std::int32_t)> &f, std::int32_t n) {
  return *must(f(n));
}
const void *thread_of_b() { return thread_of_a(); }
void set_in_b() {
#if LUCET_EXCEPTIONS
  act = [](lucet::context &, std::int32_t n) -> lucet::answer<std::int32_t> { throw int{n}; };
#endif
}
