// One of two translation units that include everything.   two guest.so
#include "unit.hpp"

int main(int, char **argv) {
  server s(argv[1]);
  CHECK(thread_of_a() == thread_of_b());
  auto i = s.fresh();
  // What is looked up here is called there, and what is thrown there comes out here.
  CHECK(call_in_b(must(i.get<std::int32_t(std::int32_t)>("act")), 4) == 4);
  set_in_b();
#if LUCET_EXCEPTIONS
  int caught = 0;
  try {
    static_cast<void>(must(i.get<std::int32_t(std::int32_t)>("act"))(4));
  } catch (int n) {
    caught = n;
  }
  CHECK(caught == 4);
#endif
  return failures != 0;
}
