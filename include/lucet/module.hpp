/*
 * Modules, what they are loaded with, and snapshots, which are modules too.
 */
#ifndef LUCET_MODULE_HPP
#define LUCET_MODULE_HPP

#include <lucet/host.hpp>
#include <lucet/region.hpp>

namespace lucet {
inline namespace LUCET_ABI {

namespace detail {

/* Deletes what was handed over to a configuration. */
template <class T>
void drop(void *object) noexcept {
  delete static_cast<T *>(object);
}

/* Text with NUL, as calls like lucet_instance_function_name write it. */
template <class Write>
result<std::string> text_of(Write &&write) {
  std::size_t len = 0;
  lucet_status s = write(nullptr, 0, &len);
  if (s != LUCET_STATUS_OK) return error::last(s);
  std::string text(len + 1, '\0');
  s = write(text.data(), text.size(), &len);
  if (s != LUCET_STATUS_OK) return error::last(s);
  text.resize(std::min(len, text.size() - 1));
  return text;
}

}  // namespace detail

/**
 * What modules are loaded with: host functions, trust, and terms. It trusts nobody and offers
 * nothing at first. Setters can be chained; the first one that fails makes loading fail. */
class module_config
    : public detail::configuration<module_config, lucet_module_config, lucet_module_config_create,
                                   lucet_module_config_free> {
 public:
  /**
   * Offers `f` as `module`.`name`: see host.hpp for what it may be.
   *
   * By value it is kept as long as anything that was loaded with this configuration, snapshots and
   * instances included. std::ref(f) keeps a reference: what it refers to is yours to keep. */
  template <class F>
  module_config &add(const char *module, const char *name, F &&f) {
    using V = std::decay_t<F>;
    if constexpr (detail::is_reference_wrapper<V>) {
      using T = typename V::type;
      static_assert(detail::teach_callable<std::remove_const_t<T>>());
      return add_as<typename detail::shape_of<std::remove_const_t<T>>::template host<
          detail::call_object<T>>>(module, name, address(&f.get()));
    } else {
      static_assert(detail::teach_callable<V>());
      using host = typename detail::shape_of<V>::template host<detail::call_object<const V>>;
      return add_as<host>(module, name, own(new V(std::forward<F>(f))));
    }
  }

  /**
   * Offers a member function of an object:
   *
   *     config.add<&shop::price>("shop", "price", std::ref(shop));        // the shop is yours
   *     config.add<&shop::price>("shop", "price", std::make_shared<shop>());   // it is shared
   *
   * Several threads may call it at the same time. */
  template <auto Method, class Object>
  module_config &add(const char *module, const char *name, Object &&object) {
    using V = std::decay_t<Object>;
    static_assert(std::is_member_function_pointer_v<decltype(Method)>,
                  "lucet: add<...> is for member functions: add<&shop::price>");
    static_assert(detail::is_reference_wrapper<V> || detail::is_shared<V>,
                  "lucet: who keeps the object alive? std::ref(object): you do, longer than "
                  "everything that is loaded with this configuration; a std::shared_ptr: shared "
                  "with it");
    if constexpr (detail::is_reference_wrapper<V>) {
      return add_member<Method, typename V::type>(module, name, address(&object.get()));
    } else if constexpr (detail::is_shared<V>) {
      auto *kept = new V(std::forward<Object>(object));
      void *it = address(kept->get());
      own(kept);
      return add_member<Method, typename V::element_type>(module, name, it);
    } else {
      return *this;
    }
  }

  /** Offers a function of C's own type: see lucet_module_config_add_function. It must not throw:
   * an exception that leaves it ends the process. */
  module_config &add_c(const char *module, const char *name, const char *signature,
                       lucet_host_fn f, void *user_data) {
    return set(
        lucet_module_config_add_function(raw(), module, name, signature, f, user_data));
  }
  /** That function gives randomness, the time, or the like: see snapshots. */
  module_config &mark_impure(const char *module, const char *name) {
    return set(lucet_module_config_mark_impure(raw(), module, name));
  }

  /* Trust. */
  module_config &allow_unsigned(bool allow) {
    return set(lucet_module_config_allow_unsigned(raw(), allow));
  }
  module_config &add_key(const char *public_key) {
    return set(lucet_module_config_add_key(raw(), public_key));
  }
  module_config &add_hash(const char *hash) {
    return set(lucet_module_config_add_hash(raw(), hash));
  }

  /* What modules may be, and get. */
  module_config &linkable(bool on) { return set(lucet_module_config_set_linkable(raw(), on)); }
  module_config &development(bool on) {
    return set(lucet_module_config_set_development(raw(), on));
  }
  module_config &max_memory(std::uint64_t bytes) {
    return set(lucet_module_config_set_max_memory(raw(), bytes));
  }
  module_config &max_table_elements(std::uint32_t n) {
    return set(lucet_module_config_set_max_table_elements(raw(), n));
  }
  module_config &require_label(const char *name, const char *value = nullptr) {
    return set(lucet_module_config_require_label(raw(), name, value));
  }
  module_config &min_compiler(const char *version) {
    return set(lucet_module_config_set_min_compiler(raw(), version));
  }
  module_config &deny_feature(const char *name) {
    return set(lucet_module_config_deny_feature(raw(), name));
  }
  module_config &allow_feature(const char *name) {
    return set(lucet_module_config_allow_feature(raw(), name));
  }
  module_config &fuel(std::uint64_t units) {
    return set(lucet_module_config_set_fuel(raw(), units));
  }

 private:
  template <class T>
  static void *address(T *object) {
    return const_cast<std::remove_const_t<T> *>(object);
  }
  /* Keeps it as long as what is loaded with this. */
  template <class T>
  void *own(T *object) {
    lucet_status s = lucet_module_config_own(raw(), object, &detail::drop<T>);
    if (s == LUCET_STATUS_OK) return object;
    set(s);
    delete object;
    return nullptr;
  }
  template <class Host>
  module_config &add_as(const char *module, const char *name, void *user_data) {
    if (user_data == nullptr) return *this;  // (own() has noted why)
    return add_c(module, name, Host::signature_text(), Host::entry(), user_data);
  }
  template <auto Method, class T>
  module_config &add_member(const char *module, const char *name, void *object) {
    using shape = detail::shape<decltype(Method)>;
    static_assert(shape::is_const || !std::is_const_v<T>,
                  "lucet: this member function changes its object, which is const");
    return add_as<typename shape::template host<detail::call_member<Method, T>>>(module, name,
                                                                                object);
  }
};

template <class Signature = void>
class func;

/** Compiled code, loaded and checked. Any thread may use it. Its code stays as long as instances
 * need it, whoever destroys this first. */
class module {
 public:
  static result<module> load_file(const std::string &path, const module_config &config) {
    return load(config, [&](const lucet_module_config *c, lucet_module **out) {
      return lucet_module_load_file(path.c_str(), c, out);
    });
  }
  static result<module> load_bytes(const void *bytes, std::size_t len,
                                   const module_config &config) {
    return load(config, [&](const lucet_module_config *c, lucet_module **out) {
      return lucet_module_load_bytes(bytes, len, c, out);
    });
  }
  /** From an open file; `fd` stays yours. */
  static result<module> load_fd(int fd, const module_config &config) {
    return load(config, [&](const lucet_module_config *c, lucet_module **out) {
      return lucet_module_load_fd(fd, c, out);
    });
  }
  /** A plugin that is linked into the program. */
  static result<module> from_static(const lucet_static_module &linked,
                                    const module_config &config) {
    return load(config, [&](const lucet_module_config *c, lucet_module **out) {
      return lucet_module_from_static(&linked, c, out);
    });
  }
  /** Takes over a handle. */
  static module adopt(lucet_module *raw) { return module(raw); }

  lucet_module *raw() const { return handle_.get(); }

  /** An exported function, to be called with any instance of the module: find<void(int)>("f"). */
  template <class Signature>
  result<func<Signature>> find(const char *name) const;

  /** A label of its contract. It may hold anything. */
  result<std::string> label(const char *name) const {
    return detail::text_of([&](char *to, std::size_t cap, std::size_t *len) {
      return lucet_module_label(raw(), name, to, cap, len);
    });
  }
  /** Writes it to a file, or to an open one; a snapshot as an artifact of its own. */
  result<void> save(const std::string &path) const {
    return detail::done(lucet_module_save(raw(), path.c_str()));
  }
  result<void> save(int fd) const { return detail::done(lucet_module_save_fd(raw(), fd)); }
  result<void> write_gdb_script(const std::string &path) const {
    return detail::done(lucet_module_write_gdb_script(raw(), path.c_str()));
  }

 private:
  template <class Load>
  static result<module> load(const module_config &config, Load &&from) {
    if (auto good = config.check(); !good) return good.error();
    lucet_module *made = nullptr;
    lucet_status s = from(config.raw(), &made);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return module(made);
  }
  explicit module(lucet_module *raw) : handle_(raw) {}

  detail::handle<lucet_module, lucet_module_free> handle_;
};

/** How to take snapshots. */
class snapshot_config
    : public detail::configuration<snapshot_config, lucet_snapshot_config,
                                   lucet_snapshot_config_create, lucet_snapshot_config_free> {
 public:
  snapshot_config &reseed(const char *name) {
    return set(lucet_snapshot_config_set_reseed(raw(), name));
  }
  snapshot_config &allow_frozen_randomness(bool allow) {
    return set(lucet_snapshot_config_allow_frozen_randomness(raw(), allow));
  }
  /** For snapshot_in_child. */
  snapshot_config &function(const char *name) {
    return set(lucet_snapshot_config_set_function(raw(), name));
  }
  snapshot_config &time_limit(std::chrono::nanoseconds t) {
    return set(lucet_snapshot_config_set_time_limit(raw(), detail::nanoseconds(t)));
  }
};

/** A module whose instances begin where start-up, done in a child process, ended. What a host
 * function throws there stays there: this fails with status::start_failed. */
inline result<module> snapshot_in_child(const module &of, const region_config &region,
                                        const snapshot_config &config) {
  if (auto good = region.check(); !good) return good.error();
  if (auto good = config.check(); !good) return good.error();
  lucet_module *made = nullptr;
  lucet_status s = lucet_snapshot_in_child(of.raw(), region.raw(), config.raw(), &made);
  if (s != LUCET_STATUS_OK) return error::last(s);
  return module::adopt(made);
}

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
