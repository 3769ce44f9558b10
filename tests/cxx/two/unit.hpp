// What the two share. The inline function is one and the same in both.
#include "../check.hpp"

inline const void *thread_of_a() { return &lucet::detail::this_thread; }
const void *thread_of_b();
std::int32_t call_in_b(const lucet::bound_func<std::int32_t(std::int32_t)> &f, std::int32_t n);
void set_in_b();
