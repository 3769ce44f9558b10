/*
 * lucet.hpp: lucet.h for C++. Header-only, C++17 and newer.
 *
 *   #include <lucet.hpp>
 *
 *   lucet::module_config config;
 *   config.allow_unsigned(true)
 *       .add("env", "now", [] { return std::int64_t{time(nullptr)}; });
 *
 *   auto region = lucet::region::create().or_throw();
 *   auto module = lucet::module::load_file("plugin.so", config).or_throw();
 *   auto instance = lucet::instance::create(region, module).or_throw();
 *   auto add = instance.get<std::int32_t(std::int32_t, std::int32_t)>("add").or_throw();
 *
 *   std::int32_t sum = add.or_throw(2, 3);      // 5, or an exception
 *
 *   auto ended = add(2, 3);                     // without: lucet::result<lucet::outcome<...>>
 *   if (!ended)                                 // the host did something wrong
 *     std::cerr << ended.error().what() << '\n';
 *   else if (auto trap = ended->get_if<lucet::trapped>())     // the guest did
 *     std::cerr << trap->reason() << '\n';
 *   else if (ended->returned())
 *     std::cout << **ended << '\n';
 *
 * WHAT THROWS
 *
 *   or_throw(), and nothing else of lucet's own. Calls that can fail return a lucet::result. What a
 *   host function throws comes out of the call that ran the guest, as if the guest were not there.
 *   With -fno-exceptions there is neither, and everything else is the same.
 *
 * OWNERSHIP
 *
 *   Objects free what they stand for. They can be moved, not copied, and raw() is what lucet.h
 *   takes. instance_ref, func and bound_func own nothing: they are handles, and calling one whose
 *   instance is gone is an error, never a crash. Host functions that were given by value live as
 *   long as anything that was loaded with them. Declare a region before its instances.
 *
 * THREADS
 *
 *   As lucet.h says: an instance is for one thread at a time, everything else for any. Hence host
 *   functions may be called by several threads at the same time.
 *
 * The parts, each of which opens with what it is for:
 */
#ifndef LUCET_HPP
#define LUCET_HPP

#include <lucet/result.hpp>    // status, error, result
#include <lucet/value.hpp>     // types that cross the border, and signatures
#include <lucet/outcome.hpp>   // what a guest did
#include <lucet/memory.hpp>    // tainted, guest_span, guest_ptr, guest_memory
#include <lucet/context.hpp>   // context: inside a host function; nested runs, exceptions
#include <lucet/host.hpp>      // host functions from lambdas and members; answer, suspend
#include <lucet/region.hpp>    // region, the library's own settings
#include <lucet/module.hpp>    // module_config, module, snapshot_config
#include <lucet/instance.hpp>  // instance, func, module_ref, group
#include <lucet/coroutine.hpp> // C++20: host functions that co_await, and calls that do

#endif
