/*
 * lucet_wasi.h: programs and plugins that use WASI preview 1.
 *
 * Generated from src/capi by `make header`. Do not edit.
 *
 *   lucet_wasi_config --> lucet_wasi --> lucet_module_config_set_wasi    once
 *
 *   lucet_instance_create --> lucet_instance_run(instance, "_start", ...) --> outcome
 *                                                 |       ^
 *                              (if calls do not   v       |
 *                               block: YIELDED)  wait --> resume
 *
 *   #include <lucet_wasi.h>
 *
 *   lucet_wasi_config *wc = lucet_wasi_config_create();
 *   lucet_wasi *wasi;
 *   if (lucet_wasi_config_add_arg(wc, "hello") ||
 *       lucet_wasi_config_inherit_stdio(wc) ||
 *       lucet_wasi_config_add_directory(wc, "/srv/data", "/data", true) ||
 *       lucet_wasi_create(wc, &wasi) ||
 *       lucet_module_config_set_wasi(config, wasi)) {
 *     fprintf(stderr, "%s\n", lucet_last_error());
 *   }
 *
 * A program gets what it is given here and nothing else. exit() is LUCET_OUTCOME_EXITED, with its
 * code in `value`. A reactor (a library with _initialize) is run by its exports; call _initialize
 * first, or take a snapshot after it: lucet_snapshot_config_set_function. Instances are as fresh
 * here as they are everywhere: reset and free close what the guest opened. Everything that lucet.h
 * says of errors, pointers, handles and threads holds; lucet_wasi and lucet_wasi_config are
 * handles.
 */
#ifndef LUCET_WASI_H
#define LUCET_WASI_H

#include <lucet.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- WASI ------------------------------------------------------------------------------------ */

/**
 * What instances yield while a call of WASI waits, if calls do not block: see
 * lucet_instance_wasi_wait. */
#define LUCET_WASI_WAITS 7815262015766085961

/**
 * What a lucet_wasi_read_fn or lucet_wasi_write_fn returns when it has nothing, or takes nothing,
 * now. */
#define LUCET_WASI_NOT_NOW -1

/** What it returns when that failed; the program gets an input/output error. */
#define LUCET_WASI_FAILED -2

/** The standard streams. */
LUCET_ENUM(lucet_wasi_stream) {
  /** Standard input. */
  LUCET_WASI_STDIN = 0,
  /** Standard output. */
  LUCET_WASI_STDOUT = 1,
  /** Standard error. */
  LUCET_WASI_STDERR = 2,
};

/**
 * What has a limit, for each instance. A call that would go beyond it gets an error, or transfers
 * less, as its function allows. Numbers never change. */
LUCET_ENUM(lucet_wasi_limit) {
  /** Descriptors open at a time, those it began with included; 128. */
  LUCET_WASI_LIMIT_DESCRIPTORS = 1,
  /** Buffers of one read or write; 1024. */
  LUCET_WASI_LIMIT_IOVECS = 2,
  /** Bytes that one call transfers; 16 MiB. */
  LUCET_WASI_LIMIT_TRANSFER_BYTES = 3,
  /** Random bytes of one call; 1 MiB. */
  LUCET_WASI_LIMIT_RANDOM_BYTES = 4,
  /** Events that one poll waits for; 1024. */
  LUCET_WASI_LIMIT_SUBSCRIPTIONS = 5,
  /** Bytes of one reading of a directory; 1 MiB. */
  LUCET_WASI_LIMIT_READDIR_BYTES = 6,
  /** Bytes of a path; 4095. */
  LUCET_WASI_LIMIT_PATH_BYTES = 7,
  /** The size that files may be given; 4 GiB. */
  LUCET_WASI_LIMIT_FILE_BYTES = 8,
  /** Bytes written to files in all; 64 GiB. */
  LUCET_WASI_LIMIT_WRITTEN_BYTES = 9,
  /**
   * Bytes that each of standard output and error takes while it is captured, discarded or goes
   * to a function; 16 MiB. */
  LUCET_WASI_LIMIT_OUTPUT_BYTES = 10,
};

/**
 * What programs get: arguments, environment, directories, streams, clocks. Made once and shared by
 * any number of instances, each of which has descriptors, positions and counters of its own. Never
 * changes. Any thread, several at the same time. */
typedef struct lucet_wasi lucet_wasi;

/** What to make a lucet_wasi of. Any thread may use it. */
typedef struct lucet_wasi_config lucet_wasi_config;

/**
 * Standard input as a function: puts at most `len` bytes into `bytes` and returns their number, 0
 * at the end. `user_data` is what it was registered with, `instance_data` what
 * lucet_instance_set_user_data set. Runs on the thread that runs the guest, for several instances
 * at the same time; it returns, and uses no lucet function of that instance. */
typedef ptrdiff_t (*lucet_wasi_read_fn)(void *user_data, void *instance_data, void *bytes,
    size_t len);

/**
 * Standard output or error as a function: takes bytes, and returns how many of them. Otherwise as
 * lucet_wasi_read_fn. */
typedef ptrdiff_t (*lucet_wasi_write_fn)(void *user_data, void *instance_data, const void *bytes,
    size_t len);

/**
 * A clock: nanoseconds since 1970, or since some moment if it must never go back (`monotonic`).
 * Otherwise as lucet_wasi_read_fn. */
typedef uint64_t (*lucet_wasi_clock_fn)(void *user_data, void *instance_data, bool monotonic);

/** Random numbers: fills `len` bytes; false if that failed. Otherwise as lucet_wasi_read_fn. */
typedef bool (*lucet_wasi_random_fn)(void *user_data, void *instance_data, void *bytes, size_t len);

/** A descriptor of this process that a call waits for. */
typedef struct lucet_wasi_interest {
  /** The descriptor. Not to be closed. */
  int32_t fd;
  /** It waits until it can be read, or accepts. */
  bool read;
  /** It waits until it can be written. */
  bool write;
} lucet_wasi_interest;

/**
 * A configuration that gives programs nothing: no arguments, environment or directories, standard
 * input at its end, standard output and error discarded; calls block. Free it with
 * lucet_wasi_config_free. NULL if there is no memory. */
lucet_wasi_config *lucet_wasi_config_create(void);

/** Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error. */
void lucet_wasi_config_free(lucet_wasi_config *config);

/** Adds an argument. The first one is the program's name for itself. Copied, as all texts here. */
lucet_status lucet_wasi_config_add_arg(lucet_wasi_config *config, const char *arg);

/**
 * Adds an environment variable.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if the name is empty or has a '=' in it. */
lucet_status lucet_wasi_config_add_env(lucet_wasi_config *config, const char *name,
    const char *value);

/** Adds all environment variables that this process has now. */
lucet_status lucet_wasi_config_inherit_env(lucet_wasi_config *config);

/**
 * Shows programs the directory `path` and what is below it under the name `guest`; nothing outside
 * of it can be reached through it, by no path and no link. `read_only`: nothing in it can be
 * changed. Directories get the descriptors from 3 on. It is opened by lucet_wasi_create. */
lucet_status lucet_wasi_config_add_directory(lucet_wasi_config *config, const char *path,
    const char *guest, bool read_only);

/**
 * Gives programs an open file, pipe or socket: a duplicate of `fd`. Their number follows those of
 * directories. All instances share it, with its position. A listening socket is for programs that
 * accept connections.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if `fd` is not open. */
lucet_status lucet_wasi_config_add_descriptor(lucet_wasi_config *config, int32_t fd);

/** Gives programs the standard streams of this process. */
lucet_status lucet_wasi_config_inherit_stdio(lucet_wasi_config *config);

/**
 * Gives programs an open file, pipe, terminal or socket as a standard stream: a duplicate of `fd`.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if `fd` is not open. */
lucet_status lucet_wasi_config_set_stream_descriptor(lucet_wasi_config *config,
    lucet_wasi_stream stream, int32_t fd);

/** Closes a standard stream: programs have no such descriptor. */
lucet_status lucet_wasi_config_close_stream(lucet_wasi_config *config, lucet_wasi_stream stream);

/** Gives every instance these bytes as standard input; lucet_instance_wasi_set_input is for one. */
lucet_status lucet_wasi_config_set_input(lucet_wasi_config *config, const void *bytes, size_t len);

/** Keeps what goes to standard output or error, for lucet_instance_wasi_output. */
lucet_status lucet_wasi_config_capture(lucet_wasi_config *config, lucet_wasi_stream stream);

/** Lets a function be standard input. `user_data` must live as long as the lucet_wasi. */
lucet_status lucet_wasi_config_set_reader(lucet_wasi_config *config, lucet_wasi_read_fn fn,
    void *user_data);

/** Lets a function be standard output or error. `user_data` must live as long as the lucet_wasi. */
lucet_status lucet_wasi_config_set_writer(lucet_wasi_config *config, lucet_wasi_stream stream,
    lucet_wasi_write_fn fn, void *user_data);

/**
 * Sets a limit.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if there is none of this number, or it cannot be as large. */
lucet_status lucet_wasi_config_set_limit(lucet_wasi_config *config, lucet_wasi_limit limit,
    uint64_t value);

/**
 * Makes runs repeatable: random numbers follow from `seed` and are no secret, and time is the
 * instance's own: it begins in the year 2000, goes on with each look at it, and sleeping takes
 * none. lucet_wasi_config_set_clock and lucet_wasi_config_set_random replace their part of it. */
lucet_status lucet_wasi_config_set_deterministic(lucet_wasi_config *config, uint64_t seed);

/**
 * Lets a function be the clocks; `resolution` is the number of nanoseconds, at least 1, between
 * two times that it tells apart. `user_data` must live as long as the lucet_wasi.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if the resolution is 0. */
lucet_status lucet_wasi_config_set_clock(lucet_wasi_config *config, lucet_wasi_clock_fn fn,
    uint64_t resolution, void *user_data);

/**
 * Lets a function be the source of random numbers. `user_data` must live as long as the
 * lucet_wasi. */
lucet_status lucet_wasi_config_set_random(lucet_wasi_config *config, lucet_wasi_random_fn fn,
    void *user_data);

/**
 * Whether calls that would block suspend the guest instead, for threads that serve others too: the
 * run ends with LUCET_OUTCOME_YIELDED and LUCET_WASI_WAITS, lucet_instance_wasi_wait says what to
 * wait for, and lucet_instance_resume (its value is ignored) looks again. Inside nested runs and
 * start functions such calls get the error that descriptors have which do not block. Files count
 * as ready, as for poll. Off by default. */
lucet_status lucet_wasi_config_set_nonblocking(lucet_wasi_config *config, bool nonblocking);

/**
 * Refuses the file system altogether: no function that takes a path does anything, and
 * lucet_wasi_create refuses directories and files. Off by default. */
lucet_status lucet_wasi_config_set_no_files(lucet_wasi_config *config, bool no_files);

/**
 * Makes what a configuration says, and opens its directories. `*out` is it, or NULL if the call
 * fails. Free it with lucet_wasi_free. Any thread.
 *
 * LUCET_STATUS_IO if a directory cannot be opened; LUCET_STATUS_INVALID_ARGUMENT,
 * LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY. */
LUCET_NODISCARD lucet_status lucet_wasi_create(const lucet_wasi_config *config, lucet_wasi **out);

/** Gives the handle back. Configurations, modules and instances that use it keep it alive. */
lucet_status lucet_wasi_free(lucet_wasi *wasi);

/**
 * Offers the functions of wasi_snapshot_preview1 (and those of wasi_unstable that are the same) to
 * modules that are loaded with this configuration; their instances begin with `wasi`, at no cost
 * before their first call. Functions that lucet_module_config_add_function adds under these names
 * come first. NULL: do not offer them, which is the default. */
lucet_status lucet_module_config_set_wasi(lucet_module_config *config, const lucet_wasi *wasi);

/**
 * Gives one instance another lucet_wasi than its module's, with everything as new: for arguments
 * or directories of its own. It keeps it when it is reset. What its guest has opened is closed.
 *
 * LUCET_STATUS_WRONG_STATE if its module was loaded without WASI, or it is suspended;
 * LUCET_STATUS_OUT_OF_MEMORY. */
lucet_status lucet_instance_set_wasi(lucet_instance *instance, const lucet_wasi *wasi);

/**
 * Gives one instance standard input of its own: a copy of `len` bytes, from its first. Reset takes
 * it back. Without effect if its lucet_wasi has a descriptor or a function there.
 *
 * As lucet_instance_set_wasi. */
lucet_status lucet_instance_wasi_set_input(lucet_instance *instance, const void *bytes, size_t len);

/**
 * What an instance wrote to a captured stream since it was fresh. At most `cap` bytes from
 * `offset` on are written to `buf`; `*len` is how many there are in all. `buf` may be NULL if
 * `cap` is 0, and `len` may be NULL.
 *
 * As lucet_instance_set_wasi, but a suspended one may be asked. */
lucet_status lucet_instance_wasi_output(lucet_instance *instance, lucet_wasi_stream stream,
    size_t offset, void *buf, size_t cap, size_t *len);

/**
 * What a suspended instance waits for, after LUCET_WASI_WAITS: until any of the descriptors is
 * ready, or so many nanoseconds from the yield on are over (UINT64_MAX: no matter how many). With
 * neither, for a function that returned LUCET_WASI_NOT_NOW. At most `cap` descriptors are written;
 * `*len` is how many there are. `interests` may be NULL if `cap` is 0, `timeout` may be NULL.
 *
 * LUCET_STATUS_WRONG_STATE if it does not wait in a call of WASI. */
LUCET_NODISCARD lucet_status lucet_instance_wasi_wait(lucet_instance *instance,
    lucet_wasi_interest *interests, size_t cap, size_t *len, uint64_t *timeout);

/**
 * The exit code of a program whose _start was run: 0 if it returned, what it gave to exit() if it
 * did that, -1 if it ended otherwise or has not ended. `outcome` may be NULL: -1.
 *
 *     if (lucet_instance_run(instance, "_start", NULL, 0, NULL, 0, &outcome) == LUCET_STATUS_OK)
 *         code = lucet_wasi_exit_code(&outcome); */
int64_t lucet_wasi_exit_code(const lucet_outcome *outcome);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LUCET_WASI_H */
