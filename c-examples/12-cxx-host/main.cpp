/*
 * A C++ program with a plugin: exports with types, lambdas and members as host functions, limits,
 * and exceptions that pass the guest by.
 *
 *   main orders.so
 */
#include <lucet.hpp>

#include <iostream>
#include <map>

using namespace std::chrono_literals;

namespace {

// ---- the host's own business --------------------------------------------------------------------

struct no_such_item : std::runtime_error {
  explicit no_such_item(std::uint32_t n)
      : std::runtime_error("there is no item " + std::to_string(n)) {}
};

struct order_line {
  std::uint32_t item, quantity;
};

class shop {
 public:
  // What the plugin calls: several threads may, at the same time. It only reads.
  double price(std::uint32_t item) const {
    auto found = prices_.find(item);
    if (found == prices_.end()) throw no_such_item(item);
    return found->second;
  }

 private:
  const std::map<std::uint32_t, double> prices_ = {{1, 2.50}, {2, 10.00}, {7, 99.95}};
};

// What belongs to one request: host functions find it through their context.
struct request {
  std::string customer;
  std::uint32_t reserved = 0;
};

// ---- the plugin ---------------------------------------------------------------------------------

// Host functions: the wasm signature follows from the C++ one.
lucet::module_config host_functions(const shop &shop) {
  lucet::module_config config;
  config.allow_unsigned(true)  // We built it ourselves, a moment ago. A server verifies: add_key.
      .add<&shop::price>("shop", "price", std::ref(shop))
      .add("env", "host_log",
           [](lucet::context &ctx, lucet::guest_text text) {
             if (text.empty()) return;
             std::cout << "  [" << ctx.user_data<request>()->customer << "] " << text.str() << '\n';
           })
      // The lines were checked to lie in the guest's memory; what they say was not.
      .add("shop", "reserve",
           [](lucet::context &ctx, lucet::guest_span<const order_line> lines) {
             for (const order_line &line : lines.copy()) {
               auto quantity = lucet::tainted(line.quantity).at_most(100);
               if (!quantity) return 1;
               ctx.user_data<request>()->reserved += *quantity;
             }
             return 0;
           });
  return config;
}

// The plugin's exports, looked up once and compared with these types.
struct plugin {
  lucet::module module;
  lucet::func<lucet::tainted<std::uint32_t>(std::uint32_t)> order;
  lucet::func<double(std::uint32_t)> total;

  static plugin load(const char *path, const lucet::module_config &config) {
    auto module = lucet::module::load_file(path, config).or_throw();
    auto order = module.find<lucet::tainted<std::uint32_t>(std::uint32_t)>("order").or_throw();
    auto total = module.find<double(std::uint32_t)>("total").or_throw();
    return {std::move(module), order, total};
  }
};

// A request: an instance of its own, which is gone afterwards, whatever happens.
void answer(const lucet::region &region, const plugin &plugin, request &from,
            const std::vector<order_line> &lines) {
  auto instance = lucet::instance::create(region, plugin.module).or_throw();
  instance.set_user_data(&from).or_throw();
  auto count = static_cast<std::uint32_t>(lines.size());

  // The plugin says where the order may go. That is a claim: write() checks it.
  auto at = plugin.order.or_throw(instance, count);
  instance.memory().write(at, lines.data(), lines.size() * sizeof(order_line)).or_throw();
  double total = plugin.total.or_throw(instance, count);
  std::cout << from.customer << ": ";
  if (total < 0) {
    std::cout << "refused\n";
  } else {
    std::cout << total << " for " << from.reserved << " pieces\n";
  }
}

// The same for the plugin's bad days, where the end is what matters.
void try_out(const lucet::region &region, const plugin &plugin, const char *function) {
  auto instance = lucet::instance::create(region, plugin.module).or_throw();
  request nobody{"nobody"};
  instance.set_user_data(&nobody).or_throw();
  instance.set_time_limit(5ms).or_throw();
  auto ended = instance.get<void()>(function).or_throw()().or_throw();
  std::cout << function << ": "
            << ended.visit(lucet::overloaded{
                   [](lucet::trapped t) { return std::string("trapped, ") + t.reason(); },
                   [](lucet::timed_out) { return std::string("took too long"); },
                   [&](const auto &) { return ended.what(); }})
            << '\n';
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::cerr << "usage: main orders.so   (or: make run)\n";
    return 2;
  }
  try {
    const shop shop;
    const plugin plugin = plugin::load(argv[1], host_functions(shop));
    // At most four requests at a time, each with at most a megabyte of memory.
    lucet::region_config limits;
    limits.slots(4).max_memory(1 << 20);
    auto region = lucet::region::create(limits).or_throw();

    request first{"ada"}, second{"bob"}, third{"eve"};
    answer(region, plugin, first, {{1, 2}, {2, 1}});
    try {
      answer(region, plugin, second, {{1, 1}, {3, 1}});
    } catch (const no_such_item &e) {
      std::cout << "bob: " << e.what() << '\n';  // thrown below the guest, caught above it
    }
    answer(region, plugin, third, {{7, 1}, {1, 4000000000u}});
    try_out(region, plugin, "lie");
    try_out(region, plugin, "hang");

    if (auto wrong = plugin.module.find<double(double)>("total"); !wrong) {
      std::cout << wrong.error().what() << '\n';
    }
    std::cout << "instances left: " << region.stats().or_throw().live << '\n';
  } catch (const std::exception &e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
