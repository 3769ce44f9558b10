/*
 * Inside a host function: the context it was called with, nested runs, and how exceptions get past
 * the guest.
 *
 *   run()  ->  guest  ->  host function throws
 *     ^                        | caught where the guest called it, kept in the run_frame of run()
 *     |                        v
 *     +--- rethrown <---  the guest ends (LUCET_OUTCOME_HOST_ERROR); nothing unwinds through it
 *
 * Each call into a guest stands in a run_frame on the host's stack, so a nested run, a start
 * function and a resume on another thread all find the right one.
 */
#ifndef LUCET_CONTEXT_HPP
#define LUCET_CONTEXT_HPP

#include <lucet/memory.hpp>
#include <lucet/outcome.hpp>

#include <exception>
#include <memory>

namespace lucet {
inline namespace LUCET_ABI {

/** The code of the host_error of a guest whose host function threw, for whoever calls from C. */
inline constexpr std::uint64_t host_function_threw = 0x6c7563657443505f;

namespace detail {
/* A host coroutine that a guest waits for, as far as it concerns a run_frame. */
struct waiting {
  void (*release)(waiting *);
};
}  // namespace detail

/**
 * A call into a guest that is going on. Programs that call lucet.h directly, and host functions
 * written with this header, put one around each such call to get their exceptions:
 *
 *     lucet::run_frame frame;
 *     lucet_status s = lucet_instance_run(...);
 *     frame.rethrow(); */
class run_frame {
 public:
  run_frame() : up_(detail::this_thread.top) {
    detail::this_thread.top = this;
    detail::this_thread.generation++;
  }
  ~run_frame() {
    detail::this_thread.top = up_;
    detail::this_thread.generation++;
    if (waiting_ != nullptr) waiting_->release(waiting_);
  }
  run_frame(const run_frame &) = delete;
  run_frame &operator=(const run_frame &) = delete;

  /** Throws what a host function threw, if one did. */
  void rethrow() {
#if LUCET_EXCEPTIONS
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
#endif
  }

  /** The host coroutine for which the guest waits, if it is one that yielded. */
  detail::waiting *take_waiting() { return std::exchange(waiting_, nullptr); }

 private:
  friend class context;
  run_frame *up_;
  detail::waiting *waiting_ = nullptr;
#if LUCET_EXCEPTIONS
  std::exception_ptr thrown_;
#endif
};

namespace detail {

/* The end of a call: a status, or what the guest did and its results. `*waits` is the host
 * coroutine that it waits for now, if it was asked for. */
template <class R>
result<outcome<R>> finish(run_frame &frame, lucet_status s, const lucet_outcome &o,
                          const lucet_val *results, waiting **waits = nullptr) {
  if (s == LUCET_STATUS_OK && o.kind == LUCET_OUTCOME_RETURNED) {
    if (!collect<R>::fits(results)) {
      return error(status::export_type_mismatch, "the results are of other types than expected");
    }
    return outcome<R>(o, collect<R>::from(results));
  }
  frame.rethrow();
  if (s != LUCET_STATUS_OK) return error::last(s);
  if (waits != nullptr) *waits = frame.take_waiting();
  return outcome<R>(o, stored<R>{});
}

/* Arrays of values, of which C++ wants at least one. */
template <std::size_t N>
using vals = std::array<lucet_val, (N > 0 ? N : 1)>;

/* A call with `go(args, nargs, results, nresults, &outcome)`. */
template <class R, class... A, class Go>
result<outcome<R>> call(waiting **waits, Go &&go, const A &...args) {
  const vals<sizeof...(A)> given = {to_val(args)...};
  vals<collect<R>::count> results;
  lucet_outcome o;
  run_frame frame;
  lucet_status s = go(given.data(), sizeof...(A), results.data(), collect<R>::count, &o);
  return finish<R>(frame, s, o, results.data(), waits);
}

}  // namespace detail

template <class Signature>
class func;

/**
 * The instance that called a host function. A host function that wants it takes a
 * `lucet::context &` as its first parameter. It means nothing after the host function returned. */
class context {
 public:
  /** For C host functions that want the rest of this. */
  explicit context(lucet_vmctx *ctx) : ctx_(ctx) {}
  /* Spans that the host function had are not to be used any more. */
  ~context() { detail::this_thread.generation++; }
  context(const context &) = delete;
  context &operator=(const context &) = delete;

  lucet_vmctx *raw() const { return ctx_; }
  /* What a host coroutine has stays the same object in each call that it is continued in. */
  void now_in(lucet_vmctx *ctx) {
    ctx_ = ctx;
    detail::this_thread.generation++;
  }
  /** The instance: a handle, with which nothing can be done while it runs but terminate it. */
  lucet_instance *instance() const { return lucet_vmctx_instance(ctx_); }
  /** What instance_ref::set_user_data was given: the request, say. It must be a T. */
  template <class T>
  T *user_data() const {
    return static_cast<T *>(lucet_vmctx_user_data(ctx_));
  }
  guest_memory memory() const { return guest_memory(ctx_); }

  /* How to end the guest when the host function returns. An answer says the same in one word. */
  result<void> trap(trap_code code) {
    return detail::done(lucet_vmctx_trap(ctx_, static_cast<lucet_trap_code>(code)));
  }
  result<void> fail(std::uint64_t code) { return detail::done(lucet_vmctx_fail(ctx_, code)); }
  result<void> exit(std::uint64_t code) { return detail::done(lucet_vmctx_exit(ctx_, code)); }
  result<void> terminate() { return detail::done(lucet_vmctx_terminate(ctx_)); }

  /** Takes fuel for what the host function does. */
  result<void> charge_fuel(std::uint64_t units) {
    return detail::done(lucet_vmctx_charge_fuel(ctx_, units));
  }
  /** This call gave the guest randomness, the time, or the like: see snapshots. */
  result<void> mark_impure() { return detail::done(lucet_vmctx_mark_impure(ctx_)); }

  /**
   * A nested run: calls an export of the calling instance. If it does not return, neither does the
   * run around it: that ends in the same way when the host function returns.
   *
   *     auto size = ctx.call<std::int32_t(std::int32_t)>("size_of", item); */
  template <class Signature = void, class... A>
  auto call(const char *name, const A &...args) {
    return caller<Signature>::by_name(ctx_, name, args...);
  }
  /** The same with a function that was looked up in the module. */
  template <class R, class... P>
  result<outcome<R>> call(const func<R(P...)> &f, const std::common_type_t<P> &...args) {
    return detail::call<R, P...>(
        nullptr,
        [&](const lucet_val *a, std::size_t na, lucet_val *r, std::size_t nr, lucet_outcome *o) {
          return lucet_vmctx_run_func(ctx_, f.raw(), a, na, r, nr, o);
        },
        args...);
  }

  /* For host functions: keeps what is being thrown for whoever ran the guest, and ends that. */
  static void caught(lucet_vmctx *ctx) noexcept {
#if LUCET_EXCEPTIONS
    if (run_frame *frame = detail::this_thread.top) frame->thrown_ = std::current_exception();
#endif
    /* (Refused if an end is decided already, as after a nested run that failed: as well.) */
    static_cast<void>(lucet_vmctx_fail(ctx, host_function_threw));
  }
  static bool waits(detail::waiting *w) noexcept {
    run_frame *frame = detail::this_thread.top;
    if (frame == nullptr || frame->waiting_ != nullptr) return false;
    frame->waiting_ = w;
    return true;
  }

 private:
  template <class Signature>
  struct caller {
    static_assert(detail::never<Signature>,
                  "lucet: say the type of the function: call<std::int32_t(float)>(\"name\", 1.5f)");
  };
  template <class R, class... P>
  struct caller<R(P...)> {
    static result<outcome<R>> by_name(lucet_vmctx *ctx, const char *name, const P &...args) {
      static_assert(detail::signature<detail::list<P...>,
                                      typename detail::results_of<R>::type>::taught);
      return detail::call<R, P...>(
          nullptr,
          [&](const lucet_val *a, std::size_t na, lucet_val *r, std::size_t nr, lucet_outcome *o) {
            return lucet_vmctx_run(ctx, name, a, na, r, nr, o);
          },
          args...);
    }
  };

  lucet_vmctx *ctx_;
};

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
