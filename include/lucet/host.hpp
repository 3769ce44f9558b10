/*
 * Host functions: lambdas, functions and members, whose wasm signature follows from their C++ one.
 *
 *   config.add("env", "log", [&log](lucet::guest_text line) { log.write(line.str()); })
 *         .add<&shop::price>("shop", "price", std::ref(shop))
 *         .add("env", "div", [](std::int32_t a, std::int32_t b) -> lucet::answer<std::int32_t> {
 *           if (b == 0) return lucet::stop::trap(lucet::trap_code::integer_division_by_zero);
 *           return a / b;
 *         });
 *
 * Parameters: the types of value.hpp; lucet::context & for the calling instance; guest_span<T>,
 * which is two i32 (address, number of values), and guest_ptr<T>, which is one (address). A guest
 * whose span or pointer is not inside its memory traps before the function is called.
 *
 * Results: a type of value.hpp, a tuple of them, void, or an answer of one of these.
 */
#ifndef LUCET_HOST_HPP
#define LUCET_HOST_HPP

#include <lucet/context.hpp>

#include <functional>

namespace lucet {
inline namespace LUCET_ABI {

/** Ends the guest when the host function returns. */
class stop {
 public:
  static stop trap(trap_code code) { return {kind::trap, static_cast<std::uint64_t>(code)}; }
  /** lucet::host_error with this code. */
  static stop fail(std::uint64_t code) { return {kind::fail, code}; }
  static stop exit(std::uint64_t code) { return {kind::exit, code}; }
  static stop terminate() { return {kind::terminate, 0}; }

  result<void> apply(lucet_vmctx *ctx) const {
    switch (kind_) {
      case kind::trap:
        return detail::done(lucet_vmctx_trap(ctx, static_cast<lucet_trap_code>(code_)));
      case kind::fail: return detail::done(lucet_vmctx_fail(ctx, code_));
      case kind::exit: return detail::done(lucet_vmctx_exit(ctx, code_));
      case kind::terminate: break;
    }
    return detail::done(lucet_vmctx_terminate(ctx));
  }

 private:
  enum class kind { trap, fail, exit, terminate };
  stop(kind k, std::uint64_t code) : kind_(k), code_(code) {}
  kind kind_;
  std::uint64_t code_;
};

/** Suspends the guest: see lucet::suspend. */
template <class F>
struct suspension {
  std::uint64_t value;
  F resume;
};

/**
 * Suspends the guest instead of blocking the thread: its run ends with lucet::yielded and `value`.
 * When it is resumed, `resume(context &, the value given there)` makes the host function's result,
 * or suspends again. Without it, the value given to resume() is the result. What `resume` holds is
 * destroyed when it was called, or when the instance is freed, reset or ended without it. */
template <class F>
suspension<F> suspend(std::uint64_t value, F resume) {
  return {value, std::move(resume)};
}
inline suspension<std::nullptr_t> suspend(std::uint64_t value) { return {value, nullptr}; }

template <class R>
class answer;

namespace detail {

template <class R>
class resumer {
 public:
  virtual ~resumer() = default;
  /* The host function's result, or another suspension, which may be of `self` again. */
  virtual answer<R> resume(std::unique_ptr<resumer> self, lucet_vmctx *ctx,
                           std::uint64_t value) = 0;
  /* Called when the guest is suspended. */
  virtual void suspended() noexcept {}
};

template <class R, class F>
class resumer_of final : public resumer<R> {
 public:
  explicit resumer_of(F f) : f_(std::move(f)) {}
  answer<R> resume(std::unique_ptr<resumer<R>>, lucet_vmctx *raw, std::uint64_t value) override {
    context ctx(raw);
    if constexpr (std::is_void_v<std::invoke_result_t<F &, context &, std::uint64_t>>) {
      f_(ctx, value);
      return {};
    } else {
      return f_(ctx, value);
    }
  }

 private:
  F f_;
};

template <class R>
struct suspended {
  std::uint64_t value;
  std::unique_ptr<resumer<R>> go_on; /* none: what is given to resume() is the result */
};

/* A place for one of several results. */
struct place {
  alignas(8) std::uint8_t bytes[16];
};

/* How C host functions return an R. */
template <class R>
struct host_results {
  static constexpr bool wide = std::is_same_v<R, v128>;
  using type = std::conditional_t<wide, void, typename codec<R>::abi>;

  static std::uint64_t bits(const R &value, place *out) {
    std::uint64_t all = 0;
    lucet_val v = to_val(value);
    if (out != nullptr) std::memcpy(out->bytes, &v.of, 16);
    std::memcpy(&all, &v.of, v.type == LUCET_VAL_I32 || v.type == LUCET_VAL_F32 ? 4 : 8);
    return all;
  }
  static type from_bits([[maybe_unused]] std::uint64_t bits) {
    if constexpr (!wide) {
      type r;
      std::memcpy(&r, &bits, sizeof r);
      return r;
    }
  }
};
template <>
struct host_results<void> {
  static constexpr bool wide = false;
  using type = void;
  static std::uint64_t bits(std::monostate, place *) { return 0; }
  static void from_bits(std::uint64_t) {}
};
template <class Tuple, class... R>
struct host_results_wide {
  static constexpr bool wide = true;
  using type = void;
  static std::uint64_t bits(const Tuple &all, place *out) {
    std::apply(
        [&](const auto &...one) {
          [[maybe_unused]] place *at = out;
          (static_cast<void>(host_results<std::decay_t<decltype(one)>>::bits(one, at++)), ...);
        },
        all);
    return 0;
  }
  static void from_bits(std::uint64_t) {}
};
template <>
struct host_results<std::tuple<>> : host_results<void> {
  static std::uint64_t bits(std::tuple<>, place *) { return 0; }
};
template <class A>
struct host_results<std::tuple<A>> : host_results<A> {
  static std::uint64_t bits(const std::tuple<A> &one, place *out) {
    return host_results<A>::bits(std::get<0>(one), out);
  }
};
template <class A, class B, class... R>
struct host_results<std::tuple<A, B, R...>> : host_results_wide<std::tuple<A, B, R...>> {};
template <class A, class B>
struct host_results<std::pair<A, B>> : host_results_wide<std::pair<A, B>> {};

}  // namespace detail

/** What a host function may return instead of an R: its result, a stop, or a suspension. */
template <class R>
class [[nodiscard]] answer {
 public:
  /** An answer<void>: done. */
  template <class T = R, class = std::enable_if_t<std::is_void_v<T>>>
  answer() {}
  template <class T, class = std::enable_if_t<std::is_convertible_v<T, detail::stored<R>>>>
  answer(T &&value)
      : held_(std::in_place_index<0>, static_cast<detail::stored<R>>(std::forward<T>(value))) {}
  answer(stop how) : held_(how) {}
  template <class F>
  answer(suspension<F> s) : held_(detail::suspended<R>{s.value, nullptr}) {
    if constexpr (std::is_null_pointer_v<F>) {
      static_assert(detail::never<F> || !detail::host_results<R>::wide,
                    "lucet: the value given to resume() cannot be a v128 or several results: give "
                    "suspend() a function that makes them");
    } else {
      static_assert(std::is_invocable_v<F &, context &, std::uint64_t>,
                    "lucet: what suspend() resumes with is called with (lucet::context &, "
                    "std::uint64_t)");
      std::get<2>(held_).go_on = std::make_unique<detail::resumer_of<R, F>>(std::move(s.resume));
    }
  }
  explicit answer(detail::suspended<R> s) : held_(std::move(s)) {}

  /* Does what it says; the result as bits, or written to `out`. */
  std::uint64_t settle(lucet_vmctx *ctx, detail::place *out) &&;

 private:
  std::variant<detail::stored<R>, stop, detail::suspended<R>> held_;
};

namespace detail {

/* What lucet.h keeps of a suspended host function. */
template <class R>
struct suspended_call {
  std::unique_ptr<resumer<R>> go_on;
  place *out;

  static std::uint64_t resume(lucet_vmctx *raw, std::uint64_t value, void *state) noexcept {
    std::unique_ptr<suspended_call> call(static_cast<suspended_call *>(state));
#if LUCET_EXCEPTIONS
    try {
#endif
      resumer<R> &it = *call->go_on;
      return it.resume(std::move(call->go_on), raw, value).settle(raw, call->out);
#if LUCET_EXCEPTIONS
    } catch (...) {
      context::caught(raw);
      return 0;
    }
#endif
  }
  static void abandon(void *state) noexcept { delete static_cast<suspended_call *>(state); }
};

}  // namespace detail

template <class R>
std::uint64_t answer<R>::settle(lucet_vmctx *ctx, detail::place *out) && {
  using call = detail::suspended_call<R>;
  if (const auto *value = std::get_if<0>(&held_)) {
    return detail::host_results<R>::bits(*value, out);
  }
  if (const stop *how = std::get_if<1>(&held_)) {
    static_cast<void>(how->apply(ctx));
    return 0;
  }
  auto &s = *std::get_if<2>(&held_);
  std::unique_ptr<call> state;
  if (s.go_on) state.reset(new call{std::move(s.go_on), out});
  lucet_status yes = lucet_vmctx_yield(ctx, s.value, state ? &call::resume : nullptr, state.get());
  if (yes != LUCET_STATUS_OK) {
    /* In a nested run or a start function nobody could resume it. */
    static_cast<void>(lucet_vmctx_fail(ctx, static_cast<std::uint64_t>(yes)));
  } else if (state) {
    state->go_on->suspended();
    static_cast<void>(lucet_vmctx_on_abandon(ctx, &call::abandon, state.release()));
  }
  return 0;
}

namespace detail {

/* What a host function returns, as an answer. Coroutines are others: see coroutine.hpp. */
template <class T>
struct returns {
  using results = T;
  static constexpr bool plain = true, coroutine = false;
};
template <class T>
struct returns<answer<T>> {
  using results = T;
  static constexpr bool plain = false, coroutine = false;
};

/* A parameter: the wasm parameters it is made of, and how. */
template <class P, class = void>
struct param;
template <>
struct param<context &> {
  using wasm = list<>;
  using type = context &;
  static context &make(context &ctx, bool &) { return ctx; }
};
template <class T>
struct param<T, std::enable_if_t<has_codec<std::decay_t<T>>>> {
  using type = std::decay_t<T>;
  using wasm = list<type>;
  static type make(context &, bool &, typename codec<type>::abi word) {
    return codec<type>::lift(word);
  }
};
template <class T>
struct param<guest_span<T>> {
  using wasm = list<std::uint32_t, std::uint32_t>;
  using type = guest_span<T>;
  static type make(context &ctx, bool &inside, std::int32_t at, std::int32_t count) {
    auto span = ctx.memory().template span<T>(at, count);
    if (span) return *span;
    inside = false;
    return {};
  }
};
template <class T>
struct param<guest_ptr<T>> {
  using wasm = list<std::uint32_t>;
  using type = guest_ptr<T>;
  static type make(context &ctx, bool &inside, std::int32_t at) {
    return type(param<guest_span<T>>::make(ctx, inside, at, 1));
  }
};

template <class P, class = void>
inline constexpr bool has_param = false;
template <class P>
inline constexpr bool has_param<P, std::void_t<typename param<P>::wasm>> = true;

template <class P>
constexpr bool teach_param() {
  using V = std::decay_t<P>;
  if constexpr (std::is_same_v<V, context>) {
    static_assert(std::is_same_v<P, context &>,
                  "lucet: the calling instance is there during the call only: take a "
                  "lucet::context &");
  } else if constexpr (std::is_lvalue_reference_v<P> &&
                       !std::is_const_v<std::remove_reference_t<P>>) {
    teach_value<P>();
  } else if constexpr (!has_param<P>) {
    teach_value<V>();
  }
  return true;
}

template <class... L>
struct concat {
  using type = list<>;
};
template <class... A>
struct concat<list<A...>> {
  using type = list<A...>;
};
template <class... A, class... B, class... L>
struct concat<list<A...>, list<B...>, L...> : concat<list<A..., B...>, L...> {};

template <class L>
inline constexpr std::size_t length = 0;
template <class... A>
inline constexpr std::size_t length<list<A...>> = sizeof...(A);

/* Makes parameters of the words that a C host function gets. */
template <class P, std::size_t First, class Words, std::size_t... N>
typename param<P>::type make_param(context &ctx, bool &inside, const Words &words,
                                   std::index_sequence<N...>) {
  return param<P>::make(ctx, inside, std::get<First + N>(words)...);
}

template <class Wasm, class... P>
struct builder;
template <class... Wasm, class... P>
struct builder<list<Wasm...>, P...> {
  using words = std::tuple<typename codec<Wasm>::abi...>;

  template <std::size_t... I>
  static constexpr std::size_t first(std::size_t n) {
    const std::size_t sizes[] = {0, length<typename param<P>::wasm>...};
    std::size_t at = 0;
    for (std::size_t i = 1; i <= n; i++) at += sizes[i];
    return at;
  }
  template <std::size_t... I>
  static std::tuple<typename param<P>::type...> make(context &ctx, bool &inside, const words &w,
                                                     std::index_sequence<I...>) {
    return std::tuple<typename param<P>::type...>{make_param<P, first(I)>(
        ctx, inside, w, std::make_index_sequence<length<typename param<P>::wasm>>())...};
  }
};

/* Calls what was given to module_config::add. `Callee::call(user_data, arguments...)`. */
template <class Callee, class R, class Wasm, class... P>
struct invoker;
template <class Callee, class R, class... Wasm, class... P>
struct invoker<Callee, R, list<Wasm...>, P...> {
  using results = typename returns<R>::results;
  using host = host_results<results>;
  using build = builder<list<Wasm...>, P...>;
  using all = std::index_sequence_for<P...>;

  static std::uint64_t go(lucet_vmctx *raw, void *user_data, place *out,
                          const typename build::words &words) noexcept {
#if LUCET_EXCEPTIONS
    try {
#endif
      auto ctx = make_context(raw);
      bool inside = true;
      auto args = build::make(*ctx, inside, words, all());
      if (!inside) {
        static_cast<void>(ctx->trap(trap_code::memory_out_of_bounds));
        return 0;
      } else if constexpr (returns<R>::coroutine) {
        static_assert((true && ... && (!std::is_reference_v<P> || std::is_same_v<P, context &>)),
                      "lucet: a host coroutine goes on when the call it was made in is over: take "
                      "parameters by value");
        return returns<R>::start(std::move(ctx), apply(user_data, std::move(args)))
            .settle(raw, out);
      } else if constexpr (!returns<R>::plain) {
        return apply(user_data, std::move(args)).settle(raw, out);
      } else if constexpr (std::is_void_v<R>) {
        apply(user_data, std::move(args));
        return 0;
      } else {
        return host::bits(apply(user_data, std::move(args)), out);
      }
#if LUCET_EXCEPTIONS
    } catch (...) {
      context::caught(raw);
      return 0;
    }
#endif
  }

  template <class Args>
  static R apply(void *user_data, Args &&args) {
    return std::apply(
        [&](auto &&...a) -> R {
          return Callee::call(user_data, std::forward<decltype(a)>(a)...);
        },
        std::forward<Args>(args));
  }
  /* Where it is: that of a coroutine stays there while the guest is suspended. */
  static auto make_context(lucet_vmctx *raw) {
    if constexpr (returns<R>::coroutine) {
      return std::make_unique<context>(raw);
    } else {
      return std::optional<context>(std::in_place, raw);
    }
  }

  /* The functions that lucet.h calls. */
  static typename host::type narrow(lucet_vmctx *ctx, void *user_data,
                                    typename codec<Wasm>::abi... words) noexcept {
    return host::from_bits(go(ctx, user_data, nullptr, typename build::words(words...)));
  }
  static void wide(lucet_vmctx *ctx, void *user_data, typename codec<Wasm>::abi... words,
                   place *out) noexcept {
    go(ctx, user_data, out, typename build::words(words...));
  }
};

/* A host function as module_config takes it. */
template <class Callee, class R, class... P>
struct host_function {
  static_assert((true && ... && teach_param<P>()));
  using results = typename returns<R>::results;
  using wasm = typename concat<list<>, typename param<P>::wasm...>::type;
  using text = signature<wasm, typename results_of<results>::type>;
  static_assert(text::taught);
  using code = invoker<Callee, R, wasm, P...>;

  static const char *signature_text() { return text::text.data(); }
  static lucet_host_fn entry() {
    if constexpr (host_results<results>::wide) {
      return reinterpret_cast<lucet_host_fn>(&code::wide);
    } else {
      return reinterpret_cast<lucet_host_fn>(&code::narrow);
    }
  }
};

/* A callable object, kept by value or by reference. */
template <class F>
struct call_object {
  template <class... A>
  static decltype(auto) call(void *f, A &&...args) {
    return (*static_cast<F *>(f))(std::forward<A>(args)...);
  }
};
/* A member function of an object. */
template <auto Method, class Object>
struct call_member {
  template <class... A>
  static decltype(auto) call(void *object, A &&...args) {
    return (static_cast<Object *>(object)->*Method)(std::forward<A>(args)...);
  }
};

/* The parameters and the result of something callable. */
template <class F>
struct shape;
#define LUCET_SHAPE(QUALIFIERS, CONST)                                      \
  template <class C, class R, class... P>                                   \
  struct shape<R (C::*)(P...) QUALIFIERS> {                                 \
    static constexpr bool is_const = CONST;                                 \
    template <class Callee>                                                 \
    using host = host_function<Callee, R, P...>;                            \
  }
LUCET_SHAPE(, false);
LUCET_SHAPE(noexcept, false);
LUCET_SHAPE(const, true);
LUCET_SHAPE(const noexcept, true);
#undef LUCET_SHAPE
template <class R, class... P>
struct shape<R (*)(P...)> {
  static constexpr bool is_const = true;
  template <class Callee>
  using host = host_function<Callee, R, P...>;
};
template <class R, class... P>
struct shape<R (*)(P...) noexcept> : shape<R (*)(P...)> {};

template <class F, class = void>
inline constexpr bool has_one_call = false;
template <class F>
inline constexpr bool has_one_call<F, std::void_t<decltype(&F::operator())>> = true;

template <class F, class = void>
struct shape_of;
template <class F>
struct shape_of<F, std::enable_if_t<std::is_pointer_v<F>>> : shape<F> {};
template <class F>
struct shape_of<F, std::enable_if_t<has_one_call<F>>> : shape<decltype(&F::operator())> {};

template <class T>
inline constexpr bool is_reference_wrapper = false;
template <class T>
inline constexpr bool is_reference_wrapper<std::reference_wrapper<T>> = true;
template <class T>
inline constexpr bool is_shared = false;
template <class T>
inline constexpr bool is_shared<std::shared_ptr<T>> = true;

/* Says why something is no host function. */
template <class F>
constexpr bool teach_callable() {
  if constexpr (std::is_member_pointer_v<F>) {
    static_assert(never<F>,
                  "lucet: a member function wants an object: "
                  "config.add<&shop::price>(\"shop\", \"price\", std::ref(the_shop))");
  } else if constexpr (std::is_pointer_v<F>) {
    static_assert(std::is_function_v<std::remove_pointer_t<F>>,
                  "lucet: a host function is something to call: a lambda, a function, a member");
  } else if constexpr (!has_one_call<F>) {
    static_assert(never<F>,
                  "lucet: which wasm type should this have? A host function has one operator() "
                  "whose parameters have types: no [](auto), no overloads");
  } else {
    static_assert(shape_of<F>::is_const,
                  "lucet: host functions are called by several threads at the same time, so a "
                  "mutable lambda would be a data race. Capture a reference to a std::atomic, or "
                  "to something with a mutex, or keep what belongs to one request in "
                  "context::user_data");
  }
  return true;
}

}  // namespace detail
}  // namespace LUCET_ABI
}  // namespace lucet

#endif
