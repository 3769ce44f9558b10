/*
 * What a guest did: lucet_outcome with a type for each end.
 */
#ifndef LUCET_OUTCOME_HPP
#define LUCET_OUTCOME_HPP

#include <lucet/value.hpp>

namespace lucet {
inline namespace LUCET_ABI {

/** lucet_outcome_kind. */
enum class outcome_kind : std::int32_t {
  returned = LUCET_OUTCOME_RETURNED,
  yielded = LUCET_OUTCOME_YIELDED,
  trapped = LUCET_OUTCOME_TRAPPED,
  terminated = LUCET_OUTCOME_TERMINATED,
  timed_out = LUCET_OUTCOME_TIMED_OUT,
  preempted = LUCET_OUTCOME_PREEMPTED,
  out_of_fuel = LUCET_OUTCOME_OUT_OF_FUEL,
  exited = LUCET_OUTCOME_EXITED,
  exception = LUCET_OUTCOME_EXCEPTION,
  host_error = LUCET_OUTCOME_HOST_ERROR,
};

/** lucet_trap_code. */
enum class trap_code : std::int32_t {
  none = LUCET_TRAP_NONE,
  unreachable = LUCET_TRAP_UNREACHABLE,
  memory_out_of_bounds = LUCET_TRAP_MEMORY_OUT_OF_BOUNDS,
  table_out_of_bounds = LUCET_TRAP_TABLE_OUT_OF_BOUNDS,
  indirect_call_to_null = LUCET_TRAP_INDIRECT_CALL_TO_NULL,
  bad_signature = LUCET_TRAP_BAD_SIGNATURE,
  integer_division_by_zero = LUCET_TRAP_INTEGER_DIVISION_BY_ZERO,
  integer_overflow = LUCET_TRAP_INTEGER_OVERFLOW,
  bad_conversion_to_integer = LUCET_TRAP_BAD_CONVERSION_TO_INTEGER,
  stack_overflow = LUCET_TRAP_STACK_OVERFLOW,
  null_reference = LUCET_TRAP_NULL_REFERENCE,
  unaligned_atomic = LUCET_TRAP_UNALIGNED_ATOMIC,
  expected_shared_memory = LUCET_TRAP_EXPECTED_SHARED_MEMORY,
};

/** It returned. */
template <class R>
struct returned {
  R value;
};
template <>
struct returned<void> {};
/** A host function suspended it: resume, reset or free the instance. */
struct yielded {
  std::uint64_t value;
};
/** It trapped. The instance is faulted, as after everything below unless noted. */
struct trapped {
  trap_code code;
  /** Offset of the instruction in the artifact's .text. */
  std::uint64_t pc;
  /** The offset that it accessed, or 0. */
  std::uint64_t fault_address;
  /** Where in the wasm file, and in which function, if that is known. */
  std::optional<std::uint32_t> wasm_offset, function;

  /** In words. */
  const char *reason() const { return lucet_trap_name(static_cast<lucet_trap_code>(code)); }
};
/** The host stopped it. */
struct terminated {};
/** Its time is used up. */
struct timed_out {};
/** Its time slice is used up: resume, reset or free the instance. */
struct preempted {};
/** Its fuel is used up: add some and resume, or reset or free the instance. */
struct out_of_fuel {};
/** It asked to exit. */
struct exited {
  std::uint64_t code;
};
/** An exception of the guest's left it; the instance is ready. See instance_ref::exception. */
struct threw {};
/** A host function reported failure. (One that threw has its exception rethrown instead.) */
struct host_error {
  std::uint64_t code;
};

/** Makes one visitor of several lambdas. */
template <class... F>
struct overloaded : F... {
  using F::operator()...;
};
template <class... F>
overloaded(F...) -> overloaded<F...>;

/** How a run ended, without its results. */
class ending {
 public:
  explicit ending(const lucet_outcome &raw) : raw_(raw) {}

  outcome_kind kind() const { return static_cast<outcome_kind>(raw_.kind); }
  /** As lucet.h names it: "LUCET_OUTCOME_TRAPPED". */
  const char *name() const { return lucet_outcome_name(raw_.kind); }
  bool returned() const { return raw_.kind == LUCET_OUTCOME_RETURNED; }
  /** Whether resume() continues it. */
  bool resumable() const {
    return raw_.kind == LUCET_OUTCOME_YIELDED || raw_.kind == LUCET_OUTCOME_PREEMPTED ||
           raw_.kind == LUCET_OUTCOME_OUT_OF_FUEL;
  }
  /** What it says if that is how it ended: get_if<trapped>(). */
  template <class End>
  std::optional<End> get_if() const;
  const lucet_outcome &raw() const { return raw_; }

  /** For a log: "LUCET_OUTCOME_TRAPPED: out of bounds memory access". */
  std::string what() const {
    std::string text = name();
    if (auto trap = get_if<trapped>()) text.append(": ").append(trap->reason());
    if (raw_.kind == LUCET_OUTCOME_EXITED || raw_.kind == LUCET_OUTCOME_HOST_ERROR ||
        raw_.kind == LUCET_OUTCOME_YIELDED) {
      text.append(": ").append(std::to_string(raw_.value));
    }
    return text;
  }

 protected:
  lucet_outcome raw_;
};

namespace detail {

template <class End>
struct end;
template <lucet_outcome_kind Kind>
struct end_of {
  static bool is(const lucet_outcome &o) { return o.kind == Kind; }
};
template <class End, lucet_outcome_kind Kind>
struct plain_end : end_of<Kind> {
  static End make(const lucet_outcome &) { return {}; }
};
template <class End, lucet_outcome_kind Kind>
struct value_end : end_of<Kind> {
  static End make(const lucet_outcome &o) { return {o.value}; }
};
template <>
struct end<yielded> : value_end<yielded, LUCET_OUTCOME_YIELDED> {};
template <>
struct end<exited> : value_end<exited, LUCET_OUTCOME_EXITED> {};
template <>
struct end<host_error> : value_end<host_error, LUCET_OUTCOME_HOST_ERROR> {};
template <>
struct end<terminated> : plain_end<terminated, LUCET_OUTCOME_TERMINATED> {};
template <>
struct end<timed_out> : plain_end<timed_out, LUCET_OUTCOME_TIMED_OUT> {};
template <>
struct end<preempted> : plain_end<preempted, LUCET_OUTCOME_PREEMPTED> {};
template <>
struct end<out_of_fuel> : plain_end<out_of_fuel, LUCET_OUTCOME_OUT_OF_FUEL> {};
template <>
struct end<threw> : plain_end<threw, LUCET_OUTCOME_EXCEPTION> {};
/* Ends of later versions are treated like traps. */
template <>
struct end<trapped> {
  static bool is(const lucet_outcome &o) {
    return o.kind == LUCET_OUTCOME_TRAPPED || o.kind > LUCET_OUTCOME_HOST_ERROR;
  }
  static trapped make(const lucet_outcome &o) {
    auto known = [](std::uint32_t n) {
      return n == UINT32_MAX ? std::nullopt : std::optional<std::uint32_t>(n);
    };
    return {static_cast<trap_code>(o.trap_code), o.pc, o.fault_address, known(o.wasm_offset),
            known(o.function)};
  }
};

template <class R>
using stored = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

template <class V, class R>
inline constexpr bool visits_all =
    std::is_invocable_v<V, lucet::returned<R>> && std::is_invocable_v<V, yielded> &&
    std::is_invocable_v<V, trapped> && std::is_invocable_v<V, terminated> &&
    std::is_invocable_v<V, timed_out> && std::is_invocable_v<V, preempted> &&
    std::is_invocable_v<V, out_of_fuel> && std::is_invocable_v<V, exited> &&
    std::is_invocable_v<V, threw> && std::is_invocable_v<V, host_error>;

}  // namespace detail

template <class End>
std::optional<End> ending::get_if() const {
  if (!detail::end<End>::is(raw_)) return std::nullopt;
  return detail::end<End>::make(raw_);
}

/** What or_throw() of an outcome throws if the guest did not return. */
class guest_ended : public std::runtime_error {
 public:
  explicit guest_ended(const lucet::ending &how) : std::runtime_error(how.what()), ending_(how) {}
  const lucet::ending &ending() const noexcept { return ending_; }

 private:
  lucet::ending ending_;
};

/**
 * What a run or resume came to. A variant of returned<R>, yielded, trapped, terminated, timed_out,
 * preempted, out_of_fuel, exited, threw and host_error:
 *
 *     if (o.returned())                              use(*o);
 *     else if (auto y = o.get_if<lucet::yielded>())  later(y->value);
 *     else                                           log(o.what());
 *
 * or visit(), which asks for a case of each. */
template <class R>
class [[nodiscard]] outcome : public ending {
 public:
  outcome(const lucet_outcome &raw, detail::stored<R> value)
      : ending(raw), value_(std::move(value)) {}

  /** The result. Of a guest that did not return there is none: that ends the program. */
  const detail::stored<R> &operator*() const & { return check(); }
  detail::stored<R> &&operator*() && {
    check();
    return std::move(value_);
  }
  const detail::stored<R> *operator->() const { return &check(); }

  /** The result; throws lucet::guest_ended if the guest did not return. */
  R or_throw() && {
    static_assert(detail::has_exceptions<R>,
                  "lucet: or_throw() needs exceptions, and this is compiled with -fno-exceptions: "
                  "test the result and use error()");
    if (!returned()) detail::raise(guest_ended(*this));
    if constexpr (!std::is_void_v<R>) return std::move(value_);
  }
  const detail::stored<R> &or_throw() const & {
    static_assert(detail::has_exceptions<R>,
                  "lucet: or_throw() needs exceptions, and this is compiled with -fno-exceptions: "
                  "test the result and use error()");
    if (!returned()) detail::raise(guest_ended(*this));
    return value_;
  }

  /** Calls `visitor` with what happened: see lucet::overloaded. */
  template <class V>
  auto visit(V &&visitor) const {
    static_assert(detail::visits_all<V &&, R>,
                  "lucet: visit() wants a case for each of returned<R>, yielded, trapped, "
                  "terminated, timed_out, preempted, out_of_fuel, exited, threw, host_error; "
                  "[](const auto &) {} takes the rest");
    if (returned()) {
      if constexpr (std::is_void_v<R>) {
        return visitor(lucet::returned<void>{});
      } else {
        return visitor(lucet::returned<R>{value_});
      }
    }
    switch (raw_.kind) {
      case LUCET_OUTCOME_YIELDED: return visitor(yielded{raw_.value});
      case LUCET_OUTCOME_TERMINATED: return visitor(terminated{});
      case LUCET_OUTCOME_TIMED_OUT: return visitor(timed_out{});
      case LUCET_OUTCOME_PREEMPTED: return visitor(preempted{});
      case LUCET_OUTCOME_OUT_OF_FUEL: return visitor(out_of_fuel{});
      case LUCET_OUTCOME_EXITED: return visitor(exited{raw_.value});
      case LUCET_OUTCOME_EXCEPTION: return visitor(threw{});
      case LUCET_OUTCOME_HOST_ERROR: return visitor(host_error{raw_.value});
      case LUCET_OUTCOME_RETURNED:
      case LUCET_OUTCOME_TRAPPED:
      default: return visitor(detail::end<trapped>::make(raw_));
    }
  }

 private:
  const detail::stored<R> &check() const {
    if (!returned()) detail::misuse("a result of a guest that did not return", what().c_str());
    return value_;
  }

  detail::stored<R> value_;
};

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
