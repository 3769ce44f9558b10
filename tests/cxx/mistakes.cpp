// Each number is a mistake that must not compile, with a message that says what to do instead.
// Number 0 is none. After `//:` stands what the message must contain.
#include <lucet.hpp>

using i32 = std::int32_t;
enum class color { red };
struct shop {
  double price(i32) { return 1; }
};

void program(lucet::module_config &config, lucet::instance &instance, lucet::module &module,
             lucet::tainted<std::uint32_t> claim, shop &the_shop) {
  static_cast<void>(module), static_cast<void>(claim), static_cast<void>(the_shop);
  static_cast<void>(instance), static_cast<void>(config);
#if MISTAKE == 1  //: wasm has no bool
  config.add("env", "f", [](bool) {});
#elif MISTAKE == 2  //: a guest has no pointers
  config.add("env", "f", [](const char *) {});
#elif MISTAKE == 3  //: a guest may send any number for an enum
  config.add("env", "f", [](color) {});
#elif MISTAKE == 4  //: integers of 32 and 64 bits
  config.add("env", "f", [](short) {});
#elif MISTAKE == 5  //: Host functions take a lucet::guest_text
  config.add("env", "f", [](std::string) {});
#elif MISTAKE == 6  //: no references
  config.add("env", "f", [](i32 &) {});
#elif MISTAKE == 7  //: this type cannot cross the border
  config.add("env", "f", [](shop) {});
#elif MISTAKE == 8  //: this type cannot cross the border
  config.add("env", "f", [] { return shop(); });
#elif MISTAKE == 9  //: take a lucet::context &
  config.add("env", "f", [](const lucet::context &) {});
#elif MISTAKE == 10  //: a mutable lambda would be a data race
  config.add("env", "f", [n = 0]() mutable { return n++; });
#elif MISTAKE == 11  //: no [](auto), no overloads
  config.add("env", "f", [](auto) {});
#elif MISTAKE == 12  //: a member function wants an object
  config.add("env", "f", &shop::price);
#elif MISTAKE == 13  //: who keeps the object alive?
  config.add<&shop::price>("env", "f", the_shop);
#elif MISTAKE == 14  //: changes its object, which is const
  config.add<&shop::price>("env", "f", std::cref(the_shop));
#elif MISTAKE == 15  //: say the type of the function
  static_cast<void>(instance.get("f"));
#elif MISTAKE == 16  //: Take a lucet::guest_ptr<T> or lucet::guest_span<T>
  static_cast<void>(instance.get<void(char *)>("f"));
#elif MISTAKE == 17  //: a guest chose this value: it is tainted
  std::vector<int>().resize(claim);
#elif MISTAKE == 18  //: a guest chose this value: it is tainted
  if (claim < 10u) std::abort();
#elif MISTAKE == 19  //: a guest chose this value: it is tainted
  std::uint32_t n = claim;
  static_cast<void>(n);
#elif MISTAKE == 20  //: a pointer that a guest wrote means nothing here
  static_cast<void>(instance.memory().load<char *>(0));
#elif MISTAKE == 21  //: a bool or enum with others than its own is undefined
  static_cast<void>(instance.memory().load<bool>(0));
#elif MISTAKE == 22  //: only types that are trivially copyable
  static_cast<void>(instance.memory().span<std::string>(0, 1));
#elif MISTAKE == 23  //: this span is for reading
  config.add("env", "f", [](lucet::guest_text t) { static_cast<void>(t.set(0, 'x')); });
#elif MISTAKE == 24  //: only bytes can be used where they lie
  config.add("env", "f", [](lucet::guest_span<i32> s) { s.unchecked()[0] = 1; });
#elif MISTAKE == 25  //: visit() wants a case for each
  auto o = *(*instance.get<i32()>("f"))();
  o.visit(lucet::overloaded{[](lucet::returned<i32>) {}, [](lucet::trapped) {}});
#elif MISTAKE == 26  //: write [...](const lucet::growth &g) noexcept
  lucet::region_config().on_growth([](const lucet::growth &) { return true; });
#elif MISTAKE == 27  //: cannot be a v128 or several results
  config.add("env", "f", []() -> lucet::answer<lucet::v128> { return lucet::suspend(1); });
#elif MISTAKE == 28  //: give all of its lanes
  static_cast<void>(lucet::v128::of<float>(1, 2));
#elif MISTAKE == 29  //: what suspend() resumes with is called with
  config.add("env", "f",
             []() -> lucet::answer<i32> { return lucet::suspend(1, [] { return 1; }); });
#elif MISTAKE == 30  //: lucet: say the type of the function
  config.add("env", "f", [](lucet::context &ctx) { static_cast<void>(ctx.call("g", 1)); });
#elif MISTAKE == 31  //: float and double, no others
  static_cast<void>(instance.global<long double>("g"));
#elif MISTAKE == 32  //: gives a T *, not const
  const int n = 1;
  static_cast<void>(instance.set_user_data(&n));
#elif MISTAKE == 33  //: a host function is something to call
  config.add("env", "f", "text");
#elif MISTAKE == 34  //: a result holds values
  static_cast<void>(sizeof(lucet::result<int &>));
#elif MISTAKE == 35  //: str() is for text
  config.add("env", "f", [](lucet::guest_span<i32> s) { static_cast<void>(s.str()); });
#elif MISTAKE == 36  //: nodiscard
  instance.reset();
#elif MISTAKE == 37  //: discard
  (*instance.get<i32()>("f"))();
#elif MISTAKE == 38  //: deleted
  lucet::instance copy = instance;
#elif MISTAKE == 101  //: async() needs coroutines
  static_cast<void>((*instance.get<i32()>("f")).async());
#elif MISTAKE == 102  //: async_with() needs coroutines
  auto on = [](const lucet::ending &) { return 1; };
  static_cast<void>((*instance.get<i32()>("f")).async_with(on));
#elif MISTAKE == 201  //: or_throw() needs exceptions
  instance.get<i32()>("f").or_throw();
#elif MISTAKE == 202  //: or_throw() needs exceptions
  instance.reset().or_throw();
#elif MISTAKE == 203  //: or_throw() needs exceptions
  static_cast<void>((*(*instance.get<i32()>("f"))()).or_throw());
#elif MISTAKE == 301  //: take parameters by value
  config.add("env", "f", [](const i32 &n) -> lucet::host_task<i32> { co_return n; });
#endif
}
