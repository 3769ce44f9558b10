/*
 * Instances and what they export; references to modules that are replaced; groups.
 */
#ifndef LUCET_INSTANCE_HPP
#define LUCET_INSTANCE_HPP

#include <lucet/module.hpp>

namespace lucet {
inline namespace LUCET_ABI {

class instance_ref;

namespace detail {

/* What makes, resets or frees an instance: start functions run in it, and spans die. */
template <class Go>
result<void> start(Go &&go) {
  run_frame frame;
  lucet_status s = go();
  if (s == LUCET_STATUS_OK) return {};
  error e = error::last(s);
  frame.rethrow();
  return e;
}

/* Continues a guest. */
template <class R>
result<outcome<R>> resume(lucet_instance *in, std::uint64_t value, waiting **waits = nullptr) {
  vals<collect<R>::count> results;
  run_frame frame;
  lucet_outcome o;
  lucet_status s = lucet_instance_resume(in, value, results.data(), collect<R>::count, &o);
  return finish<R>(frame, s, o, results.data(), waits);
}

}  // namespace detail

/**
 * An exported function, looked up once and known to have this type: plain data, to be copied and
 * kept. It belongs to no instance; bound_func is the same for one. */
template <class Signature>
class func {
  static_assert(detail::never<Signature>,
                "lucet: say the type of the function: get<std::int32_t(std::int32_t)>(\"name\")");
};

template <class R, class... P>
class func<R(P...)> {
  static_assert(detail::signature<detail::list<P...>,
                                  typename detail::results_of<R>::type>::taught);

 public:
  explicit func(const lucet_func &raw) : raw_(raw) {}
  const lucet_func &raw() const { return raw_; }

  /** Calls it in an instance of its module. What a host function throws is thrown here. */
  result<outcome<R>> operator()(const instance_ref &in, const std::common_type_t<P> &...args) const;
  /** Continues that call after it yielded, was preempted, or ran out of fuel. */
  result<outcome<R>> resume(const instance_ref &in, std::uint64_t value = 0) const;
  /** The result, or an exception: lucet::failure, lucet::guest_ended, or a host function's. */
  R or_throw(const instance_ref &in, const std::common_type_t<P> &...args) const {
    return (*this)(in, args...).or_throw().or_throw();
  }

 private:
  lucet_func raw_;
};

/** The same for one instance: what instance_ref::get returns. */
template <class Signature>
class bound_func {
  static_assert(detail::never<Signature>,
                "lucet: say the type of the function: get<std::int32_t(std::int32_t)>(\"name\")");
};

/**
 * An instance, owned by someone else: by a lucet::instance, a group, or C. It is a handle: used
 * after the instance is gone, everything is status::invalid_handle. */
class instance_ref {
 public:
  explicit instance_ref(lucet_instance *raw) : raw_(raw) {}
  lucet_instance *raw() const { return raw_; }

  /** An exported function. Its type is compared once, here; calls take no name. */
  template <class Signature = void>
  result<bound_func<Signature>> get(const char *name) const;

  /** Calls a function by its name; its results are `nresults`. */
  result<outcome<std::vector<value>>> run(const char *name, const std::vector<value> &args,
                                          std::size_t nresults) const {
    std::vector<lucet_val> given, results(nresults);
    for (const value &v : args) given.push_back(v.raw());
    run_frame frame;
    lucet_outcome o;
    lucet_status s = lucet_instance_run(raw_, name, given.data(), given.size(), results.data(),
                                        nresults, &o);
    return listed(frame, s, o, results);
  }
  /** Continues a call that yielded, was preempted, or ran out of fuel; R is what it returns. */
  template <class R>
  result<outcome<R>> resume(std::uint64_t value = 0) const {
    return detail::resume<R>(raw_, value);
  }

  /** Its memory, or an exported one by name, while it does not run. */
  guest_memory memory() const { return guest_memory(raw_); }
  guest_memory memory(const char *name) const { return guest_memory(raw_, name); }

  /** An exported global. */
  template <class T>
  result<T> global(const char *name) const {
    static_assert(detail::teach_value<T>());
    lucet_val v = {};
    lucet_status s = lucet_instance_global_get(raw_, name, &v);
    if (s != LUCET_STATUS_OK) return error::last(s);
    if (v.type != detail::codec<T>::code) {
      return error(status::export_type_mismatch,
                   std::string("the global \"") + name + "\" is not " + detail::codec<T>::text);
    }
    return detail::codec<T>::get(v);
  }
  template <class T>
  result<void> set_global(const char *name, const T &to) const {
    static_assert(detail::teach_value<T>());
    lucet_val v = detail::to_val(to);
    return detail::done(lucet_instance_global_set(raw_, name, &v));
  }

  /** What host functions find in context::user_data<T>(): the request, say. It is yours to keep. */
  template <class T>
  result<void> set_user_data(T *data) const {
    static_assert(!std::is_const_v<T>, "lucet: context::user_data<T>() gives a T *, not const");
    return detail::done(lucet_instance_set_user_data(raw_, data));
  }

  /* Limits. 0 lifts one of time. */
  result<void> set_time_limit(std::chrono::nanoseconds t) const {
    return detail::done(lucet_instance_set_time_limit(raw_, detail::nanoseconds(t)));
  }
  result<void> set_time_slice(std::chrono::nanoseconds t) const {
    return detail::done(lucet_instance_set_time_slice(raw_, detail::nanoseconds(t)));
  }
  result<void> set_cpu_limit(std::chrono::nanoseconds t) const {
    return detail::done(lucet_instance_set_cpu_limit(raw_, detail::nanoseconds(t)));
  }
  result<void> set_memory_limit(std::uint64_t bytes) const {
    return detail::done(lucet_instance_set_memory_limit(raw_, bytes));
  }
  result<void> set_table_limit(std::uint32_t elements) const {
    return detail::done(lucet_instance_set_table_limit(raw_, elements));
  }
  result<void> set_stack_limit(std::uint64_t bytes) const {
    return detail::done(lucet_instance_set_stack_limit(raw_, bytes));
  }

  /* Fuel, of modules compiled with it. */
  result<void> set_fuel(std::uint64_t units) const {
    return detail::done(lucet_instance_set_fuel(raw_, units));
  }
  result<void> add_fuel(std::uint64_t units) const {
    return detail::done(lucet_instance_add_fuel(raw_, units));
  }
  result<std::int64_t> fuel() const {
    std::int64_t left = 0;
    lucet_status s = lucet_instance_fuel(raw_, &left);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return left;
  }

  /** Ends the run that is going on, or abandons a suspended one. From any thread, at any time. */
  result<void> terminate() const { return detail::done(lucet_instance_terminate(raw_)); }

  /** As fresh as a new one. */
  result<void> reset() const {
    return detail::start([&] { return lucet_instance_reset(raw_); });
  }

  /** A module whose instances begin where this one is. */
  result<module> snapshot() const { return snapshot_with(nullptr); }
  result<module> snapshot(const snapshot_config &config) const {
    if (auto good = config.check(); !good) return good.error();
    return snapshot_with(config.raw());
  }

  /* What happened. */
  result<void> set_backtrace(bool on) const {
    return detail::done(lucet_instance_set_backtrace(raw_, on));
  }
  result<std::vector<lucet_frame>> backtrace() const {
    std::vector<lucet_frame> frames(65);
    std::size_t len = 0;
    lucet_status s = lucet_instance_backtrace(raw_, frames.data(), frames.size(), &len);
    if (s != LUCET_STATUS_OK) return error::last(s);
    frames.resize(std::min(len, frames.size()));
    return frames;
  }
  /** As text, a line for each frame. */
  result<std::string> backtrace_text() const {
    return detail::text_of([&](char *to, std::size_t cap, std::size_t *len) {
      return lucet_instance_write_backtrace(raw_, to, cap, len);
    });
  }
  /** The name of a function, as lucet::trapped has it. It may hold anything. */
  result<std::string> function_name(std::uint32_t function) const {
    return detail::text_of([&](char *to, std::size_t cap, std::size_t *len) {
      return lucet_instance_function_name(raw_, function, to, cap, len);
    });
  }

  /** What the guest threw, after lucet::threw. */
  struct thrown {
    /** The name under which the tag is exported, if it is. */
    std::string tag;
    std::vector<value> values;
  };
  result<thrown> exception() const {
    std::size_t count = 0;
    auto tag = detail::text_of([&](char *to, std::size_t cap, std::size_t *len) {
      return lucet_instance_exception(raw_, to, cap, len, nullptr, 0, &count);
    });
    if (!tag) return tag.error();
    std::vector<lucet_val> values(count);
    lucet_status s =
        lucet_instance_exception(raw_, nullptr, 0, nullptr, values.data(), count, &count);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return thrown{*std::move(tag), std::vector<value>(values.begin(), values.end())};
  }

 private:
  static result<outcome<std::vector<value>>> listed(run_frame &frame, lucet_status s,
                                                    const lucet_outcome &o,
                                                    const std::vector<lucet_val> &results) {
    if (s == LUCET_STATUS_OK && o.kind == LUCET_OUTCOME_RETURNED) {
      return outcome<std::vector<value>>(o, {results.begin(), results.end()});
    }
    frame.rethrow();
    if (s != LUCET_STATUS_OK) return error::last(s);
    return outcome<std::vector<value>>(o, {});
  }
  result<module> snapshot_with(const lucet_snapshot_config *config) const {
    lucet_module *made = nullptr;
    lucet_status s = lucet_instance_snapshot(raw_, config, &made);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return module::adopt(made);
  }

  lucet_instance *raw_;
};

/** A sandbox of one's own: freed with this object. One thread at a time may use it. */
class instance : public instance_ref {
 public:
  /** A fresh one, whose start function has run. What a host function throws then is thrown here. */
  static result<instance> create(const region &in, const module &of) {
    lucet_instance *made = nullptr;
    auto started =
        detail::start([&] { return lucet_instance_create(in.raw(), of.raw(), &made); });
    if (!started) return started.error();
    return instance(made);
  }
  /** Takes over a handle. */
  static instance adopt(lucet_instance *raw) { return instance(raw); }

  instance(instance &&other) noexcept
      : instance_ref(other), owned_(std::move(other.owned_)) {
    other.instance_ref::operator=(instance_ref(nullptr));
  }
  instance &operator=(instance &&other) noexcept {
    if (this != &other) {
      detail::this_thread.generation++;
      owned_ = std::move(other.owned_);
      instance_ref::operator=(other);
      other.instance_ref::operator=(instance_ref(nullptr));
    }
    return *this;
  }
  ~instance() { detail::this_thread.generation++; }

  /** What the destructor does, and whether it could: status::busy while it runs. */
  result<void> free() {
    detail::this_thread.generation++;
    lucet_status s = lucet_instance_free(raw());
    if (s == LUCET_STATUS_OK) {
      owned_.release();
      instance_ref::operator=(instance_ref(nullptr));
    }
    return detail::done(s);
  }
  /** Gives up ownership. */
  lucet_instance *release() {
    instance_ref::operator=(instance_ref(nullptr));
    return owned_.release();
  }

 private:
  explicit instance(lucet_instance *raw) : instance_ref(raw), owned_(raw) {}
  detail::handle<lucet_instance, lucet_instance_free> owned_;
};

template <class R, class... P>
class bound_func<R(P...)> {
 public:
  bound_func(func<R(P...)> f, instance_ref in) : func_(f), in_(in) {}

  /** Calls it. What a host function throws is thrown here. */
  result<outcome<R>> operator()(const std::common_type_t<P> &...args) const {
    return func_(in_, args...);
  }
  /** Continues the call. */
  result<outcome<R>> resume(std::uint64_t value = 0) const { return func_.resume(in_, value); }
  /** The result, or an exception: lucet::failure, lucet::guest_ended, or a host function's. */
  R or_throw(const std::common_type_t<P> &...args) const { return func_.or_throw(in_, args...); }

  /** Calls it without blocking the thread when host functions wait: a lucet::task, to be awaited.
   * C++20; see coroutine.hpp. */
  template <class... A>
  auto async(A... args) const;
  /** The same; `on(ending)` says what to resume with when the guest yields on its own account, is
   * preempted, or runs out of fuel: a number, or something to co_await that gives one. */
  template <class On, class... A>
  auto async_with(On on, A... args) const;

  const func<R(P...)> &unbound() const { return func_; }
  const instance_ref &in() const { return in_; }

 private:
  func<R(P...)> func_;
  instance_ref in_;
};

namespace detail {

template <class R, class... P>
result<outcome<R>> run(const func<R(P...)> &f, lucet_instance *in, waiting **waits,
                       const std::common_type_t<P> &...args) {
  return call<R, P...>(
      waits,
      [&](const lucet_val *a, std::size_t na, lucet_val *r, std::size_t nr, lucet_outcome *o) {
        return lucet_instance_run_func(in, f.raw(), a, na, r, nr, o);
      },
      args...);
}

}  // namespace detail

template <class R, class... P>
result<outcome<R>> func<R(P...)>::operator()(const instance_ref &in,
                                             const std::common_type_t<P> &...args) const {
  return detail::run<R, P...>(*this, in.raw(), nullptr, args...);
}

template <class R, class... P>
result<outcome<R>> func<R(P...)>::resume(const instance_ref &in, std::uint64_t value) const {
  return in.resume<R>(value);
}

template <class Signature>
result<func<Signature>> module::find(const char *name) const {
  [[maybe_unused]] func<Signature> made{lucet_func{}};
  lucet_func raw;
  lucet_status s =
      lucet_module_find(this->raw(), name, signature_text<Signature>::value, &raw);
  if (s != LUCET_STATUS_OK) return error::last(s);
  return func<Signature>(raw);
}

template <class Signature>
result<bound_func<Signature>> instance_ref::get(const char *name) const {
  [[maybe_unused]] func<Signature> made{lucet_func{}};
  lucet_func raw;
  lucet_status s = lucet_instance_find(raw_, name, signature_text<Signature>::value, &raw);
  if (s != LUCET_STATUS_OK) return error::last(s);
  return bound_func<Signature>(func<Signature>(raw), *this);
}

/** A module that can be replaced while requests run. Any thread may use it. */
class module_ref {
 public:
  static result<module_ref> create() {
    module_ref made;
    lucet_status s = lucet_module_ref_create(made.handle_.out());
    if (s != LUCET_STATUS_OK) return error::last(s);
    return made;
  }
  lucet_module_ref *raw() const { return handle_.get(); }

  /** What every version must export; before the first is published. Instances come with their
   * functions in this order. */
  template <class Signature>
  result<void> require(const char *name) {
    lucet_status s =
        lucet_module_ref_require(raw(), name, signature_text<Signature>::value);
    if (s == LUCET_STATUS_OK) required_++;
    return detail::done(s);
  }
  result<void> publish(const module &version) {
    return detail::done(lucet_module_ref_publish(raw(), version.raw()));
  }
  /** Publishes nothing from now on. */
  result<void> withdraw() { return detail::done(lucet_module_ref_publish(raw(), nullptr)); }
  result<void> load_file(const std::string &path, const module_config &config) {
    if (auto good = config.check(); !good) return good.error();
    return detail::done(lucet_module_ref_load_file(raw(), path.c_str(), config.raw()));
  }

  /** An instance of the version that was published last. */
  struct made {
    lucet::instance instance;
    /** How often something had been published. */
    std::uint64_t version;
    std::vector<lucet_func> functions;

    /** The function that was required as the `index`th, with the type it was required with. */
    template <class Signature>
    bound_func<Signature> get(std::size_t index) const {
      if (index >= functions.size()) detail::misuse("module_ref::made::get", "no such function");
      return {func<Signature>(functions[index]), instance};
    }
  };
  result<made> instantiate(const region &in) const {
    lucet_instance *raw_instance = nullptr;
    std::uint64_t version = 0;
    std::vector<lucet_func> functions(required_);
    auto started = detail::start([&] {
      return lucet_module_ref_instantiate(raw(), in.raw(),
                                          functions.empty() ? nullptr : functions.data(),
                                          functions.size(), &version, &raw_instance);
    });
    if (!started) return started.error();
    return made{instance::adopt(raw_instance), version, std::move(functions)};
  }
  /** What is published, if anything is, and how often something was. */
  struct published {
    std::optional<lucet::module> module;
    std::uint64_t version;
  };
  result<published> current() const {
    lucet_module *now = nullptr;
    published p{std::nullopt, 0};
    lucet_status s = lucet_module_ref_current(raw(), &now, &p.version);
    if (s != LUCET_STATUS_OK) return error::last(s);
    if (now != nullptr) p.module = lucet::module::adopt(now);
    return p;
  }

 private:
  module_ref() = default;
  detail::handle<lucet_module_ref, lucet_module_ref_free> handle_;
  std::size_t required_ = 0;
};

/** Instances that import from one another; they live as long as this. One thread at a time. */
class group {
 public:
  static result<group> create(const region &in) {
    group made;
    lucet_status s = lucet_group_create(in.raw(), made.handle_.out());
    if (s != LUCET_STATUS_OK) return error::last(s);
    return made;
  }
  group(group &&) noexcept = default;
  group &operator=(group &&) noexcept = default;
  ~group() { detail::this_thread.generation++; }
  lucet_group *raw() const { return handle_.get(); }

  /** A new member, which later ones import by `name`; nullptr: by none. */
  result<instance_ref> instantiate(const char *name, const module &of) {
    lucet_instance *made = nullptr;
    auto started =
        detail::start([&] { return lucet_group_instantiate(raw(), name, of.raw(), &made); });
    if (!started) return started.error();
    return instance_ref(made);
  }
  result<void> alias(const char *name, const char *other) {
    return detail::done(lucet_group_alias(raw(), name, other));
  }
  /** What the destructor does, and whether it could: status::busy while a member runs. */
  result<void> free() {
    detail::this_thread.generation++;
    lucet_status s = lucet_group_free(raw());
    if (s == LUCET_STATUS_OK) handle_.release();
    return detail::done(s);
  }

 private:
  group() = default;
  detail::handle<lucet_group, lucet_group_free> handle_;
};

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
