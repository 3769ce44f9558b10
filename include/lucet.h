/*
 * lucet.h: run WebAssembly, compiled ahead of time, inside a C or C++ server.
 *
 * Generated from src/capi by `make header`. Do not edit.
 *
 * LIFE
 *
 *   lucetc plugin.wasm -o plugin.so             once, when the plugin is deployed
 *
 *   lucet_module_config --> lucet_module --+    once, when the server starts
 *   lucet_region_config --> lucet_region --+
 *                                          |
 *                                          v
 *             lucet_instance_create --> run --> outcome --> lucet_instance_free
 *             (one per request)          ^         |
 *                                        resume <--+ (if it yielded)
 *
 *   #include <lucet.h>
 *
 *   lucet_module_config *config = lucet_module_config_create();
 *   lucet_module *module;
 *   lucet_region *region;
 *   lucet_instance *instance;
 *   lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
 *                        {.of.i32 = 3, .type = LUCET_VAL_I32}}, sum;
 *   lucet_outcome outcome;
 *
 *   if (lucet_module_config_allow_unsigned(config, true) ||
 *       lucet_module_load_file("plugin.so", config, &module) ||
 *       lucet_region_create(NULL, &region) ||
 *       lucet_instance_create(region, module, &instance) ||
 *       lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome)) {
 *     fprintf(stderr, "%s\n", lucet_last_error());
 *   } else if (outcome.kind == LUCET_OUTCOME_RETURNED) {
 *     printf("%d\n", sum.of.i32);
 *   }
 *
 * ERRORS
 *
 *   A function that can fail returns a lucet_status: LUCET_STATUS_OK is 0. Others mean that the
 *   caller or the environment did something wrong; lucet_last_error() says what, for people. What
 *   the guest did, trap included, is the lucet_outcome of a call that succeeded. Each function
 *   lists the statuses that say something about it. Possible wherever there is something to be
 *   wrong about, and not listed: LUCET_STATUS_NULL_ARGUMENT, LUCET_STATUS_INVALID_HANDLE, and
 *   LUCET_STATUS_BUSY for an instance that is running. LUCET_STATUS_INTERNAL is a bug in lucet.
 *
 * POINTERS
 *
 *   lucet_region, lucet_module, lucet_module_ref, lucet_instance, lucet_group and lucet_*_config
 *   are handles: numbers that nobody dereferences. One that is NULL, freed, of another kind or made
 *   up gives a status, never a crash. All other pointers must point to what their type and the
 *   length beside them say until the call returns; a required one that is NULL gives
 *   LUCET_STATUS_NULL_ARGUMENT. Texts are UTF-8 and end with NUL. lucet copies what it needs later,
 *   except user data, which it never looks at. Results go to out-parameters; a handle or pointer
 *   there is NULL if the call failed.
 *
 * OWNERSHIP
 *
 *   Whoever creates or loads something frees it, in any order, with two rules: a region can be
 *   freed when its instances are, and a running instance cannot be freed. A module's code stays in
 *   memory as long as an instance needs it. Freeing a configuration leaves what was made with it
 *   alone.
 *
 * THREADS
 *
 *   Every function may be called on any thread, and everything but instances may be used by several
 *   threads at the same time. An instance is for one thread at a time (LUCET_STATUS_BUSY
 *   otherwise), not always the same. Not for signal handlers. lucet handles SIGSEGV, SIGBUS, SIGILL
 *   and SIGFPE and passes those that are not a guest's on to the handlers that were installed
 *   before.
 */
#ifndef LUCET_H
#define LUCET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUCET_VERSION_MAJOR 0
#define LUCET_VERSION_MINOR 1
#define LUCET_VERSION_PATCH 0

/* Ignoring what such a function returns is a mistake. */
#if defined(__GNUC__)
#define LUCET_NODISCARD __attribute__((warn_unused_result))
#else
#define LUCET_NODISCARD
#endif

/* An enumeration of 32 bits. Older C cannot say so: there its values are an int32_t. */
#if defined(__cplusplus)
#define LUCET_ENUM(name) enum name : int32_t
#elif __STDC_VERSION__ >= 202311L
#define LUCET_ENUM(name) enum name : int32_t; typedef enum name name; enum name : int32_t
#else
#define LUCET_ENUM(name) typedef int32_t name; enum name
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statuses and outcomes ------------------------------------------------------------------- */

/**
 * Why a call failed: something the caller or the environment did. What a guest did is a
 * lucet_outcome. Numbers never change; new ones are added at the end. */
LUCET_ENUM(lucet_status) {
  /** Success. */
  LUCET_STATUS_OK = 0,
  /** A required pointer is NULL. */
  LUCET_STATUS_NULL_ARGUMENT = 1,
  /** A handle was freed, belongs to another kind of object, or was made up. */
  LUCET_STATUS_INVALID_HANDLE = 2,
  /** An argument has a value that is not allowed. */
  LUCET_STATUS_INVALID_ARGUMENT = 3,
  /**
   * The object is in use: a running instance, one used by another thread, a region with
   * instances. */
  LUCET_STATUS_BUSY = 4,
  /**
   * The instance is in a state in which this is not possible: run of a suspended one, resume of
   * a ready one, anything but reset or free of a faulted one. */
  LUCET_STATUS_WRONG_STATE = 5,
  /** The system refused memory, address space or a descriptor. */
  LUCET_STATUS_OUT_OF_MEMORY = 6,
  /** Every slot of the region is taken. */
  LUCET_STATUS_REGION_FULL = 7,
  /** A file could not be read or written; the message has path and errno. */
  LUCET_STATUS_IO = 8,
  /** Not an artifact written by lucetc (a wasm file is not one either: compile it first). */
  LUCET_STATUS_NOT_AN_ARTIFACT = 9,
  /** The artifact is damaged or malicious; the message names section and offset. */
  LUCET_STATUS_INVALID_ARTIFACT = 10,
  /** The artifact needs another format version, another ABI version or another processor. */
  LUCET_STATUS_UNSUPPORTED_ARTIFACT = 11,
  /** The artifact is neither signed nor pinned, and unsigned code was not explicitly allowed. */
  LUCET_STATUS_UNTRUSTED_ARTIFACT = 12,
  /** The module imports something that the host does not offer. */
  LUCET_STATUS_MISSING_IMPORT = 13,
  /** The module imports a function with another type than the host offers. */
  LUCET_STATUS_IMPORT_TYPE_MISMATCH = 14,
  /** The module has no such export. */
  LUCET_STATUS_NO_SUCH_EXPORT = 15,
  /** The export is of another kind or type: arguments, results or signature do not fit. */
  LUCET_STATUS_EXPORT_TYPE_MISMATCH = 16,
  /** A range of guest memory lies outside the memory. */
  LUCET_STATUS_OUT_OF_BOUNDS = 17,
  /** The module needs more than the region's slots offer, or another limit is exceeded. */
  LUCET_STATUS_LIMIT_EXCEEDED = 18,
  /** A segment does not fit, or the start function did not return. */
  LUCET_STATUS_START_FAILED = 19,
  /** A yield inside a nested run or a start function. */
  LUCET_STATUS_NESTED_YIELD = 20,
  /** SIGSEGV, SIGBUS, SIGILL or SIGFPE is blocked in this thread. */
  LUCET_STATUS_SIGNALS_BLOCKED = 21,
  /** The object belongs to the parent process. */
  LUCET_STATUS_FORKED = 22,
  /** A bug in lucet: a panic was caught. Please report it. */
  LUCET_STATUS_INTERNAL = 23,
  /** Something this version cannot do. */
  LUCET_STATUS_UNSUPPORTED = 24,
  /** A snapshot would freeze random numbers or clocks that were read during start-up. */
  LUCET_STATUS_IMPURE = 25,
  /** The module's contract is not what the configuration allows; the message lists each point. */
  LUCET_STATUS_CONTRACT_REFUSED = 26,
};

/** What a guest did. Numbers never change; treat unknown ones like LUCET_OUTCOME_TRAPPED. */
LUCET_ENUM(lucet_outcome_kind) {
  /** The function returned; its results are there. The instance is ready for the next run. */
  LUCET_OUTCOME_RETURNED = 1,
  /** A host function yielded `value`. The instance is suspended: resume, reset or free it. */
  LUCET_OUTCOME_YIELDED = 2,
  /**
   * The guest trapped. The instance is faulted, as after everything below unless noted: reset
   * or free it. */
  LUCET_OUTCOME_TRAPPED = 3,
  /** The host stopped it. */
  LUCET_OUTCOME_TERMINATED = 4,
  /** Its budget of time is used up. */
  LUCET_OUTCOME_TIMED_OUT = 5,
  /**
   * Its time slice is used up. The instance is in the middle of its guest's work: resume, reset
   * or free it. */
  LUCET_OUTCOME_PREEMPTED = 6,
  /** Its fuel is used up. The instance is suspended: see lucet_instance_set_fuel. */
  LUCET_OUTCOME_OUT_OF_FUEL = 7,
  /** It asked to exit; `value` is the code. */
  LUCET_OUTCOME_EXITED = 8,
  /** An exception left its outermost function; it is ready: see lucet_instance_exception. */
  LUCET_OUTCOME_EXCEPTION = 9,
  /** A host function reported failure; `value` is its code. */
  LUCET_OUTCOME_HOST_ERROR = 10,
};

/** Why a guest trapped. Numbers never change. */
LUCET_ENUM(lucet_trap_code) {
  /** It did not. */
  LUCET_TRAP_NONE = 0,
  /** The `unreachable` instruction; compilers emit it for abort() and failed assertions. */
  LUCET_TRAP_UNREACHABLE = 1,
  /** An access outside linear memory. */
  LUCET_TRAP_MEMORY_OUT_OF_BOUNDS = 2,
  /** An access outside a table, or an indirect call through an index outside it. */
  LUCET_TRAP_TABLE_OUT_OF_BOUNDS = 3,
  /** An indirect call through an empty table element. */
  LUCET_TRAP_INDIRECT_CALL_TO_NULL = 4,
  /** An indirect call to a function of another type. */
  LUCET_TRAP_BAD_SIGNATURE = 5,
  /** Integer division or remainder by zero. */
  LUCET_TRAP_INTEGER_DIVISION_BY_ZERO = 6,
  /** An integer result does not fit. */
  LUCET_TRAP_INTEGER_OVERFLOW = 7,
  /** Conversion of NaN to an integer. */
  LUCET_TRAP_BAD_CONVERSION_TO_INTEGER = 8,
  /** The guest's stack is used up: endless or very deep recursion. */
  LUCET_TRAP_STACK_OVERFLOW = 9,
  /** Use of a null reference. */
  LUCET_TRAP_NULL_REFERENCE = 10,
  /** An atomic access at an address that is not aligned. */
  LUCET_TRAP_UNALIGNED_ATOMIC = 11,
  /** An atomic wait on a memory that is not shared. */
  LUCET_TRAP_EXPECTED_SHARED_MEMORY = 12,
};

/** What a run or resume came to. Fields that do not belong to `kind` are 0. */
typedef struct lucet_outcome {
  /** What happened. 0 if the call itself failed. */
  lucet_outcome_kind kind;
  /** TRAPPED: why. */
  lucet_trap_code trap_code;
  /** YIELDED: the value; EXITED: the guest's code; HOST_ERROR: the host function's code. */
  uint64_t value;
  /** TRAPPED: offset of the instruction in the artifact's .text, in bytes. */
  uint64_t pc;
  /** TRAPPED by an access: its offset from byte 0 of the memory, if known, else 0. */
  uint64_t fault_address;
  /** TRAPPED: offset of the operator in the wasm file, UINT32_MAX if unknown. */
  uint32_t wasm_offset;
  /** TRAPPED: index of the function, UINT32_MAX if unknown; see lucet_instance_function_name. */
  uint32_t function;
} lucet_outcome;

/**
 * The name of a status as it stands here, such as "LUCET_STATUS_BUSY". Static, never NULL;
 * "unknown" for other numbers. Any thread. */
const char *lucet_status_name(lucet_status status);

/**
 * The name of an outcome as it stands here, such as "LUCET_OUTCOME_TRAPPED". Static, never NULL. */
const char *lucet_outcome_name(lucet_outcome_kind kind);

/** A trap code in words, such as "out of bounds memory access". Static, never NULL. */
const char *lucet_trap_name(lucet_trap_code code);

/* ---- values ---------------------------------------------------------------------------------- */

/** The type of a value. The numbers are the bytes that stand for types in a wasm file. */
LUCET_ENUM(lucet_val_type) {
  /** of.i32 */
  LUCET_VAL_I32 = 127,
  /** of.i64 */
  LUCET_VAL_I64 = 126,
  /** of.f32 */
  LUCET_VAL_F32 = 125,
  /** of.f64 */
  LUCET_VAL_F64 = 124,
  /** of.v128 */
  LUCET_VAL_V128 = 123,
  /** of.ref: an opaque word from this instance; 0 is null */
  LUCET_VAL_FUNCREF = 112,
  /** of.ref: any word the host likes; 0 is null */
  LUCET_VAL_EXTERNREF = 111,
  /** of.ref: an exception of this instance; 0 is null */
  LUCET_VAL_EXNREF = 105,
};

/** The value of a lucet_val; its type says which member is meant. */
typedef union lucet_val_of {
  /** i32, signed or not as the guest takes it */
  int32_t i32;
  /** i64 */
  int64_t i64;
  /** f32; NaN bits are preserved */
  float f32;
  /** f64; NaN bits are preserved */
  double f64;
  /** funcref, externref, exnref */
  uint64_t ref;
  /** v128, little-endian */
  uint8_t v128[16];
} lucet_val_of;

/**
 * A value with its type: 32 bytes, aligned to 8.
 *
 *     lucet_val v = {.of.i32 = 42, .type = LUCET_VAL_I32}; */
typedef struct lucet_val {
  /** The value. */
  lucet_val_of of;
  /** Which member of `of` it is. Arguments of another type than the function's are refused. */
  lucet_val_type type;
  /** For types of later versions. Ignored in arguments, 0 in results. */
  uint32_t reserved_[3];
} lucet_val;

/* ---- the library ----------------------------------------------------------------------------- */

/**
 * The version of the library in use, such as "0.1.0"; LUCET_VERSION_MAJOR and so on are those of
 * the header a program was compiled with. Static, never NULL. Any thread. */
const char *lucet_version(void);

/**
 * The message of the last call that failed on this thread: a sentence for people, UTF-8, that says
 * what went wrong, where, and what to do. Never NULL; "" if no call has failed yet. A call that
 * succeeds leaves it as it is, so look at statuses first.
 *
 * The text belongs to lucet and stays valid until the next call that fails on this thread, or the
 * thread's end. Copy it to keep it. */
const char *lucet_last_error(void);

/**
 * Makes the calling thread able to run guests: installs the process's handlers of SIGSEGV, SIGBUS,
 * SIGILL and SIGFPE if this is the first time, and an alternate signal stack for this thread. The
 * first run on a thread does this anyway; call it where a failure is easier to handle, for
 * instance when a worker starts. Signals that are not a guest's go to the handlers that were there
 * before.
 *
 * LUCET_STATUS_SIGNALS_BLOCKED if this thread blocks one of these signals,
 * LUCET_STATUS_OUT_OF_MEMORY. */
lucet_status lucet_thread_prepare(void);

/**
 * Whether lucet may start a thread that watches time limits, slices and terminations; it may at
 * first, and does with the first of them. A program that has a timer already may say no before,
 * and call lucet_check_deadlines itself. Any thread; for the whole process.
 *
 * LUCET_STATUS_WRONG_STATE if the thread was started and should not be there. */
lucet_status lucet_set_watchdog(bool allowed);

/**
 * Looks whether the time of any run is up, and ends or interrupts it. For programs that said
 * lucet_set_watchdog(false): without this call their limits are not kept, and a termination may
 * come too late for a guest that makes no host calls. `*next` is in how many nanoseconds to call
 * it again at the latest, UINT64_MAX if not before a run with a limit begins; it may be NULL.
 *
 * To be called from a thread that does not run guests at that moment: a limit is kept as exactly
 * as this is called. Allocates nothing; takes a lock, so not in a signal handler. Any thread. */
lucet_status lucet_check_deadlines(uint64_t *next);

/**
 * For programs whose own handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGURG were installed
 * after lucet's and so replaced them. Their handlers call this first, with their arguments (`info`
 * is the `siginfo_t *`, `context` the `void *`). If it returns true, the signal was a guest's:
 * return from the handler at once, and the thread goes on where it should. If it returns false,
 * the signal is the program's own business.
 *
 *     static void on_fault(int signal, siginfo_t *info, void *context)
 *     {
 *         if (!lucet_handle_signal(signal, info, context))
 *             report_and_abort();
 *     }
 *
 * Such a handler is installed with SA_SIGINFO and SA_ONSTACK. Allocates and locks nothing. The
 * only function that may be called in a signal handler. */
bool lucet_handle_signal(int signal, void *info, void *context);

/* ---- regions --------------------------------------------------------------------------------- */

/**
 * Address space cut into slots. Each slot holds one instance: its memory, stack and globals.
 * Created once; any thread may use it, several at the same time. */
typedef struct lucet_region lucet_region;

/** Settings for a region. Any thread may use it. */
typedef struct lucet_region_config lucet_region_config;

/**
 * A configuration with the defaults: 64 slots, 256 KiB of stack, up to 4 GiB of memory for each
 * instance, guarded slots. Free it with lucet_region_config_free; regions keep a copy. NULL if
 * there is no memory (see lucet_last_error). */
lucet_region_config *lucet_region_config_create(void);

/** Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error. */
void lucet_region_config_free(lucet_region_config *config);

/**
 * How many instances may live in the region at the same time; 64 by default. A guarded slot takes
 * more than 4 GiB of address space but no memory before it is used; the address space of a process
 * has room for about 30,000 of them. Values are checked by lucet_region_create. */
lucet_status lucet_region_config_set_slots(lucet_region_config *config, uint32_t slots);

/**
 * Bytes of stack for each instance; 256 KiB by default, at least 16 KiB. Host functions run on the
 * thread's own stack and take nothing from it. */
lucet_status lucet_region_config_set_stack_bytes(lucet_region_config *config, uint64_t bytes);

/**
 * Most bytes of linear memory that an instance may have or grow to, in all its memories together;
 * 4 GiB by default. Compact regions reserve exactly this much for each slot. */
lucet_status lucet_region_config_set_max_memory(lucet_region_config *config, uint64_t bytes);

/**
 * Most bytes of instance data (globals, import slots and the like) that a module may need; 128 KiB
 * by default. */
lucet_status lucet_region_config_set_max_instance_data(lucet_region_config *config, uint32_t bytes);

/**
 * Packs slots tightly, without guards between them, for very many small instances. Only modules
 * compiled with `lucetc --memory compact` fit. Off by default. */
lucet_status lucet_region_config_set_compact(lucet_region_config *config, bool compact);

/**
 * Compact regions only: how many instances may run or be suspended at the same time; 1024 by
 * default. Stacks are lent to instances while they need one. */
lucet_status lucet_region_config_set_stacks(lucet_region_config *config, uint32_t stacks);

/**
 * Whether making a used slot pristine may rely on SIGSEGV reaching lucet, which makes fresh
 * instances cheapest (Linux 6.13 or newer). On by default; turn it off in a program whose handlers
 * of SIGSEGV cannot be trusted to pass it on. Traps of guests need that signal in any case. */
lucet_status lucet_region_config_set_first_touch(lucet_region_config *config, bool first_touch);

/**
 * Most elements that a table of an instance may have or grow to; as many as its module asks for by
 * default. A module whose table begins with more is LUCET_STATUS_LIMIT_EXCEEDED. */
lucet_status lucet_region_config_set_max_table_elements(lucet_region_config *config,
    uint32_t elements);

/**
 * The time limit that new instances have, see lucet_instance_set_time_limit; 0, none, by default.
 * It holds for their start functions too, which nobody else could end. */
lucet_status lucet_region_config_set_time_limit(lucet_region_config *config, uint64_t nanoseconds);

/**
 * Bytes of memory that used slots keep for their next instances at most: each of them (1 MiB by
 * default) and all together (256 MiB by default). Keeping is what makes fresh instances cheap; a
 * slot past either is emptied when its instance is freed, and its next one pays page faults. */
lucet_status lucet_region_config_set_resident_bytes(lucet_region_config *config, uint64_t per_slot,
    uint64_t all);

/**
 * Whether lucet_region_get_stats tells how long creating and running instances takes. Off by
 * default: it reads a clock twice for each, some 50 ns. */
lucet_status lucet_region_config_set_latency_histograms(lucet_region_config *config, bool on);

/**
 * Whether runs of the region's instances that end badly leave a backtrace: see
 * lucet_instance_set_backtrace, which changes it for one instance. Off by default. */
lucet_status lucet_region_config_set_backtrace(lucet_region_config *config, bool on);

/**
 * Creates a region; NULL as `config` means the defaults. `*out` is the region, or NULL if the call
 * fails. Free it with lucet_region_free. Any thread.
 *
 * LUCET_STATUS_INVALID_ARGUMENT for sizes that make no sense, LUCET_STATUS_OUT_OF_MEMORY if the
 * system refuses so much address space (see `ulimit -v`). */
LUCET_NODISCARD lucet_status lucet_region_create(const lucet_region_config *config,
    lucet_region **out);

/**
 * Frees a region and gives its address space back. All of its instances must have been freed. Any
 * thread. In a forked child it may always be called: the parent keeps what it has.
 *
 * LUCET_STATUS_BUSY while instances are alive. */
lucet_status lucet_region_free(lucet_region *region);

/* ---- modules --------------------------------------------------------------------------------- */

/**
 * Compiled code, loaded and checked. Immutable; any thread may use it, several at the same time. */
typedef struct lucet_module lucet_module;

/** What to load modules with: host functions and what is allowed. Any thread may use it. */
typedef struct lucet_module_config lucet_module_config;

/**
 * Any host function: cast yours to this type. Its real type follows from its signature:
 *
 *     R f(lucet_vmctx *ctx, void *user_data, ARGUMENTS...)
 *
 *     i32 -> int32_t    i64 -> int64_t    f32 -> float    f64 -> double
 *     funcref, externref -> uint64_t      v128 -> const uint8_t * (16 bytes)
 *
 * No result is void, one is R. Several results, or a v128, go to an array of 16-byte places, each
 * written at its beginning; a pointer to it is a further, last parameter, and R is void.
 *
 * It runs on the stack of the thread that runs the guest. It must return: longjmp out of it, and
 * exceptions or panics that leave it, end the process or worse. To stop the guest, call
 * lucet_vmctx_trap, _fail, _exit or _terminate and return. */
typedef void (*lucet_host_fn)(void);

/** Takes something back: frees `data`, say. On any thread, with none of lucet's locks held. */
typedef void (*lucet_drop_fn)(void *data);

/**
 * A module that is linked into the program. `lucetc plugin.wasm --emit obj` writes `plugin.o`,
 * which defines one:
 *
 *     extern const lucet_static_module lucet_artifact_plugin; */
typedef struct lucet_static_module {
  /** Private. */
  uint64_t private_[4];
} lucet_static_module;

/**
 * An exported function, looked up once. Plain data: copy it as you like. Valid for instances of
 * the module it came from and of snapshots taken of those in this process, refused by others. */
typedef struct lucet_func {
  /** Private. */
  uint64_t module_;
  /** Private. */
  uint64_t index_;
} lucet_func;

/**
 * A configuration that offers no host functions and trusts nobody. Free it with
 * lucet_module_config_free; modules keep a copy. NULL if there is no memory. */
lucet_module_config *lucet_module_config_create(void);

/** Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error. */
void lucet_module_config_free(lucet_module_config *config);

/**
 * Offers `fn` to modules as `module`.`name`. This is the whitelist: modules reach nothing else.
 *
 * `signature` is the wasm type as text: "(i32, i64) -> f32", "() -> ()", "(i32) -> (i32, i32)".
 * Types are i32, i64, f32, f64, v128, funcref, externref. It is compared with the module's import
 * when a module is loaded; that `fn` really has the C type that belongs to it (see lucet_host_fn)
 * nobody can check, so write them beside each other. Texts are copied. `user_data` is handed to
 * each call; what it points to must live as long as modules loaded with it are used.
 *
 * funcref stands for any type of function reference in the import. One that `fn` returns must be a
 * function of the calling instance that fits the type; otherwise the run ends with
 * LUCET_OUTCOME_HOST_ERROR and LUCET_STATUS_INVALID_ARGUMENT as its code.
 *
 *     static double price(lucet_vmctx *ctx, void *user_data, int32_t item);
 *     lucet_module_config_add_function(config, "shop", "price", "(i32) -> f64",
 *                                      (lucet_host_fn)price, &shop);
 *
 * LUCET_STATUS_INVALID_ARGUMENT for a signature that makes no sense, a text that is not UTF-8, or
 * a name that was added before. */
lucet_status lucet_module_config_add_function(lucet_module_config *config, const char *module,
    const char *name, const char *signature, lucet_host_fn fn, void *user_data);

/**
 * Marks a function that was added before as impure: it gives guests random numbers, the time, or
 * whatever else must not be the same in each instance of a snapshot. An instance that called it
 * becomes a snapshot only if it can be reseeded; see lucet_instance_snapshot. Calls of functions
 * that are not marked cost nothing more.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if there is no such function. */
lucet_status lucet_module_config_mark_impure(lucet_module_config *config, const char *module,
    const char *name);

/**
 * Hands `data` over, which host functions of the configuration need: their user data, say. As soon
 * as nothing needs it, `drop(data)` is called once: when the configuration and all modules loaded
 * with it from now on, snapshots and instances of those included, are freed. If the call fails,
 * `data` stays the caller's.
 *
 * LUCET_STATUS_OUT_OF_MEMORY. */
lucet_status lucet_module_config_own(lucet_module_config *config, void *data, lucet_drop_fn drop);

/**
 * Whether artifacts that nobody vouches for are loaded. The machine code in an artifact is trusted
 * like any library's, so allow this only for files that you compiled yourself and that nobody else
 * can write to; otherwise see lucet_module_config_add_key. Off by default. */
lucet_status lucet_module_config_allow_unsigned(lucet_module_config *config, bool allow);

/**
 * Whether imports that no host function satisfies are left to be provided by other instances of a
 * group (lucet_group_instantiate); a module that has such imports cannot be instantiated alone.
 * Off by default: a missing import fails when the module is loaded. */
lucet_status lucet_module_config_set_linkable(lucet_module_config *config, bool linkable);

/**
 * Development mode: code is mapped from the artifact's own file, so that perf knows the names of
 * guest functions and lucet_module_write_gdb_script works. The file must then not change while the
 * module is loaded. Off by default. */
lucet_status lucet_module_config_set_development(lucet_module_config *config, bool development);

/**
 * Loads an artifact that lucetc wrote. It is checked completely, and its imports are bound; its
 * bytes are copied into sealed memory (but see lucet_module_config_set_development), so the file
 * may be replaced afterwards. NULL as `config` means the defaults, which trust nobody and load
 * nothing. `*out` is the module, or NULL if the call fails. Free it with lucet_module_free. Takes
 * milliseconds: do it when the server starts. Any thread.
 *
 * LUCET_STATUS_IO, LUCET_STATUS_NOT_AN_ARTIFACT, LUCET_STATUS_INVALID_ARTIFACT,
 * LUCET_STATUS_UNSUPPORTED_ARTIFACT, LUCET_STATUS_UNTRUSTED_ARTIFACT, LUCET_STATUS_MISSING_IMPORT,
 * LUCET_STATUS_IMPORT_TYPE_MISMATCH, LUCET_STATUS_CONTRACT_REFUSED, LUCET_STATUS_OUT_OF_MEMORY. */
LUCET_NODISCARD lucet_status lucet_module_load_file(const char *path,
    const lucet_module_config *config, lucet_module **out);

/** Loads an artifact from memory: `len` bytes, which are copied. As lucet_module_load_file. */
LUCET_NODISCARD lucet_status lucet_module_load_bytes(const void *bytes, size_t len,
    const lucet_module_config *config, lucet_module **out);

/**
 * Loads an artifact from an open regular file (a memfd is one): all of it, whatever the position
 * of `fd`, which is neither changed nor closed. As lucet_module_load_file, and
 * LUCET_STATUS_INVALID_ARGUMENT if `fd` is not open for reading. */
LUCET_NODISCARD lucet_status lucet_module_load_fd(int32_t fd, const lucet_module_config *config,
    lucet_module **out);

/**
 * Loads a module that is linked into the program. As lucet_module_load_bytes, but nobody has to
 * vouch for it: it is as trusted as the program it is a part of. Contract and imports are checked
 * as always. Any thread.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if `module` is not what lucetc defined. */
LUCET_NODISCARD lucet_status lucet_module_from_static(const lucet_static_module *module,
    const lucet_module_config *config, lucet_module **out);

/**
 * Gives the handle back. Code stays in memory until the last instance of the module is freed, and
 * lucet_func values of it work until then. Any thread. */
lucet_status lucet_module_free(lucet_module *module);

/**
 * Looks up an exported function, so that requests need not search by name. `signature` is the type
 * the caller counts on, as in lucet_module_config_add_function, or NULL for any. `*out` is written
 * if the call succeeds. Any thread.
 *
 * LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH, LUCET_STATUS_INVALID_ARGUMENT. */
LUCET_NODISCARD lucet_status lucet_module_find(lucet_module *module, const char *name,
    const char *signature, lucet_func *out);

/**
 * Writes a file for gdb's `source` command, which then knows the module's functions by name and
 * can break in them. The module must have been loaded from a file in development mode. The file is
 * created or replaced. Any thread.
 *
 * LUCET_STATUS_WRONG_STATE without development mode, LUCET_STATUS_IO,
 * LUCET_STATUS_INVALID_ARGUMENT. */
lucet_status lucet_module_write_gdb_script(lucet_module *module, const char *path);

/* ---- contracts ------------------------------------------------------------------------------- */

/**
 * Most bytes of linear memory that an instance may have or grow to, in all its memories together;
 * what contract and region allow unless set. A module that begins with more is refused
 * (LUCET_STATUS_CONTRACT_REFUSED); the growth of others ends here, whatever maximum they declare.
 */
lucet_status lucet_module_config_set_max_memory(lucet_module_config *config, uint64_t bytes);

/** The same for the elements of each table. */
lucet_status lucet_module_config_set_max_table_elements(lucet_module_config *config,
    uint32_t elements);

/**
 * Refuses modules without this label, or with another value of it; NULL as `value` means any.
 * Labels come from the policy file that a module was compiled under. Once for each name. */
lucet_status lucet_module_config_require_label(lucet_module_config *config, const char *name,
    const char *value);

/**
 * Refuses modules of older compilers, on the day of a compiler's bug. `version` is a semantic one:
 * "1.2.3". */
lucet_status lucet_module_config_set_min_compiler(lucet_module_config *config, const char *version);

/**
 * Refuses modules that use a feature of the language: "simd", "exceptions", "memory64" and so on
 * (LUCET_STATUS_INVALID_ARGUMENT lists them), or "all" beyond WebAssembly 1.0. */
lucet_status lucet_module_config_deny_feature(lucet_module_config *config, const char *name);

/** Takes that back for one feature, or "all". */
lucet_status lucet_module_config_allow_feature(lucet_module_config *config, const char *name);

/**
 * The value of a label in a module's contract, for logs: who made it, which version it is. `buf`,
 * `cap` and `len` as for lucet_instance_function_name; it may be anything, so escape it.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if there is no such label. */
lucet_status lucet_module_label(lucet_module *module, const char *name, char *buf, size_t cap,
    size_t *len);

/* ---- trust ----------------------------------------------------------------------------------- */

/**
 * Trusts artifacts that this key signed: `public_key` is its line ("RW...", 56 characters) or the
 * contents of its .pub file, as lucetc keygen and minisign write them. The text is copied. 64 keys
 * at most; to replace one, give the old and the new for a while.
 *
 * Trusted is what one of the keys signed, what lucet_module_config_add_hash pinned, and everything
 * after lucet_module_config_allow_unsigned. Anything else is LUCET_STATUS_UNTRUSTED_ARTIFACT when
 * it is loaded, before more than its hash was looked at; lucet_last_error names the keys. So is,
 * even if pinned or allowed, what names one of the keys as its signer and was not signed by it.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if it is no key, or one with which anybody could sign;
 * LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY. */
lucet_status lucet_module_config_add_key(lucet_module_config *config, const char *public_key);

/**
 * Loads the one artifact with this hash, whoever signed it or did not: 128 hexadecimal digits, as
 * lucetc verify prints them. A snapshot has its own hash, not its parent's. 4096 at most.
 *
 * LUCET_STATUS_INVALID_ARGUMENT, LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY. */
lucet_status lucet_module_config_add_hash(lucet_module_config *config, const char *hash);

/* ---- instances ------------------------------------------------------------------------------- */

/**
 * One sandbox: a module's code with its own memory, globals and stack, in a slot of a region. Any
 * thread may use it, one at a time: a second one gets LUCET_STATUS_BUSY. A suspended instance may
 * be resumed by another thread than ran it. */
typedef struct lucet_instance lucet_instance;

/**
 * Creates a fresh instance of `module` in a free slot of `region`, and runs its start function if
 * it has one. `*out` is the instance, or NULL if the call fails. Free it with lucet_instance_free.
 * Takes microseconds: create one for each request. Any thread.
 *
 * LUCET_STATUS_REGION_FULL, LUCET_STATUS_LIMIT_EXCEEDED if the module does not fit a slot,
 * LUCET_STATUS_START_FAILED, LUCET_STATUS_OUT_OF_MEMORY, LUCET_STATUS_SIGNALS_BLOCKED. */
LUCET_NODISCARD lucet_status lucet_instance_create(lucet_region *region, lucet_module *module,
    lucet_instance **out);

/**
 * Frees an instance, suspended or not; its slot is free for the next one. Any thread, but not a
 * host function that the instance called.
 *
 * LUCET_STATUS_BUSY while it runs, LUCET_STATUS_INVALID_HANDLE if it was freed before. */
lucet_status lucet_instance_free(lucet_instance *instance);

/**
 * Makes an instance as fresh as a new one: memory, globals, tables; the start function runs again.
 * A suspended run is abandoned. What lucet_instance_set_user_data set stays.
 *
 * LUCET_STATUS_START_FAILED (the instance is faulted then), LUCET_STATUS_OUT_OF_MEMORY. */
lucet_status lucet_instance_reset(lucet_instance *instance);

/**
 * Looks up an exported function of the instance's module, as lucet_module_find does.
 *
 * LUCET_STATUS_BUSY while it runs; otherwise as lucet_module_find. */
LUCET_NODISCARD lucet_status lucet_instance_find(lucet_instance *instance, const char *name,
    const char *signature, lucet_func *out);

/**
 * Calls an exported function by name and returns when it returned, trapped, yielded or was
 * stopped.
 *
 * `args` are `nargs` values of exactly the types of its parameters; `results` has room for exactly
 * its `nresults` results, and is written only if the outcome is LUCET_OUTCOME_RETURNED. Either may
 * be NULL if its number is 0. `*outcome` says what the guest did; its kind is 0 if the call fails.
 *
 *     lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
 *                          {.of.i32 = 3, .type = LUCET_VAL_I32}}, sum;
 *     lucet_outcome outcome;
 *     if (lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome) == LUCET_STATUS_OK &&
 *         outcome.kind == LUCET_OUTCOME_RETURNED)
 *         printf("%d\n", sum.of.i32);
 *
 * LUCET_STATUS_NO_SUCH_EXPORT; LUCET_STATUS_EXPORT_TYPE_MISMATCH if arguments or the number of
 * results do not fit; LUCET_STATUS_WRONG_STATE if the instance is suspended or faulted;
 * LUCET_STATUS_BUSY if it runs already, which includes that a host function called this instead of
 * lucet_vmctx_run; LUCET_STATUS_INVALID_ARGUMENT, LUCET_STATUS_SIGNALS_BLOCKED. */
LUCET_NODISCARD lucet_status lucet_instance_run(lucet_instance *instance, const char *name,
    const lucet_val *args, size_t nargs, lucet_val *results, size_t nresults,
    lucet_outcome *outcome);

/**
 * Calls a function that lucet_module_find looked up; otherwise as lucet_instance_run.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if it was looked up in another module than the instance's. */
LUCET_NODISCARD lucet_status lucet_instance_run_func(lucet_instance *instance, lucet_func func,
    const lucet_val *args, size_t nargs, lucet_val *results, size_t nresults,
    lucet_outcome *outcome);

/**
 * Continues a suspended instance. `value` goes to the lucet_resume_fn that the host function named
 * when it yielded; if it named none, `value` itself is the result of the guest's call. `results`
 * are those of the function that was run at first: exactly `nresults`, also if it yields again.
 *
 * LUCET_STATUS_WRONG_STATE if the instance is not suspended; otherwise as lucet_instance_run. */
LUCET_NODISCARD lucet_status lucet_instance_resume(lucet_instance *instance, uint64_t value,
    lucet_val *results, size_t nresults, lucet_outcome *outcome);

/**
 * Copies `len` bytes at `offset` of the instance's memory to `dst`.
 *
 * LUCET_STATUS_OUT_OF_BOUNDS if the range is not inside the memory (nothing is copied then),
 * LUCET_STATUS_BUSY while it runs. */
LUCET_NODISCARD lucet_status lucet_instance_memory_read(lucet_instance *instance, uint64_t offset,
    void *dst, size_t len);

/**
 * Copies `len` bytes from `src` to `offset` of the instance's memory.
 *
 * LUCET_STATUS_OUT_OF_BOUNDS if the range is not inside the memory (nothing is copied then),
 * LUCET_STATUS_BUSY while it runs. */
LUCET_NODISCARD lucet_status lucet_instance_memory_write(lucet_instance *instance, uint64_t offset,
    const void *src, size_t len);

/**
 * The address of `len` bytes at `offset` of the instance's memory, to work on them in place. Valid
 * until the instance runs again, is reset or freed. `*out` is NULL if the call fails.
 *
 * LUCET_STATUS_OUT_OF_BOUNDS if the range is not inside the memory, LUCET_STATUS_BUSY while it
 * runs (host functions use lucet_vmctx_memory_range). */
LUCET_NODISCARD lucet_status lucet_instance_memory_range(lucet_instance *instance, uint64_t offset,
    uint64_t len, void **out);

/**
 * The size of the instance's memory in bytes: 0 if it has none.
 *
 * LUCET_STATUS_BUSY while it runs. */
lucet_status lucet_instance_memory_size(lucet_instance *instance, uint64_t *bytes);

/**
 * A range of an exported memory, for modules with several: the calls above mean the first one.
 * `*out` is its address, as from lucet_instance_memory_range, `*bytes` the size of the memory;
 * both are 0 if the call fails.
 *
 * LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH if the export is no memory,
 * LUCET_STATUS_OUT_OF_BOUNDS, LUCET_STATUS_BUSY while it runs. */
LUCET_NODISCARD lucet_status lucet_instance_exported_memory(lucet_instance *instance,
    const char *name, uint64_t offset, uint64_t len, void **out, uint64_t *bytes);

/**
 * The value of an exported global.
 *
 * LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH if the export is no global. */
lucet_status lucet_instance_global_get(lucet_instance *instance, const char *name, lucet_val *out);

/**
 * Sets an exported mutable global to a value of its type.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if it is immutable or of another type; otherwise as
 * lucet_instance_global_get. */
lucet_status lucet_instance_global_set(lucet_instance *instance, const char *name,
    const lucet_val *value);

/**
 * Sets the pointer that host functions get from lucet_vmctx_user_data, NULL at first: the request
 * that the instance works for, say. lucet never looks at what it points to. */
lucet_status lucet_instance_set_user_data(lucet_instance *instance, void *user_data);

/**
 * Limits the time that each run and each resume from now on may take, in nanoseconds of a clock
 * that does not jump (CLOCK_MONOTONIC), host functions included; 0 lifts the limit. A new instance
 * has the region's (lucet_region_config_set_time_limit), by default none. A run that takes longer
 * ends with LUCET_OUTCOME_TIMED_OUT: guest code at once, a host function when it returns. Compiled
 * code is not slower for it, and the host's system calls are not interrupted.
 *
 * The first limit in a process starts a thread that sleeps while nothing is to be watched. It and
 * lucet_instance_terminate use the signal SIGURG, which must not be blocked in threads that run
 * guests; a handler that was installed before gets what is not meant for guests. */
lucet_status lucet_instance_set_time_limit(lucet_instance *instance, uint64_t nanoseconds);

/**
 * Gives each run and each resume from now on a slice of time, in nanoseconds of the same clock; 0:
 * no slices, as in a new instance. A run that has used up its slice comes back with
 * LUCET_OUTCOME_PREEMPTED: guest code at once, wherever it is, a host function when it returns.
 * lucet_instance_resume (its value is ignored) continues it with a new slice, on any thread, as
 * if nothing had happened. Meanwhile the instance is in the middle of its work: memory, globals
 * and everything else are LUCET_STATUS_BUSY, but resume, reset, terminate and free work. An
 * instance that belongs to a group keeps all of the group busy.
 *
 * Runs inside lucet_vmctx_run are not interrupted, nor is the run around them before they are
 * over. The time limit counts for each slice; lucet_instance_set_cpu_limit bounds all of them
 * together. Compiled code is not slower for it. */
lucet_status lucet_instance_set_time_slice(lucet_instance *instance, uint64_t nanoseconds);

/**
 * Limits the processor time that a run and all its resumes together may use, in nanoseconds, host
 * functions included; 0 lifts the limit, and is the value of a new instance. A run that uses more
 * ends with LUCET_OUTCOME_TIMED_OUT. Costs two clock reads per run or resume. */
lucet_status lucet_instance_set_cpu_limit(lucet_instance *instance, uint64_t nanoseconds);

/**
 * Limits what the instance's memory may grow to, in bytes, within what its module and region
 * allow: the value of a new instance. All its memories count together. What is larger already
 * stays as it is. */
lucet_status lucet_instance_set_memory_limit(lucet_instance *instance, uint64_t bytes);

/** The same for each of its tables, in elements. */
lucet_status lucet_instance_set_table_limit(lucet_instance *instance, uint32_t elements);

/**
 * Limits the stack that the instance's runs may use, in bytes, within what the region gives: the
 * value of a new instance.
 *
 * LUCET_STATUS_INVALID_ARGUMENT for less than 16 KiB, LUCET_STATUS_WRONG_STATE while it is
 * suspended. */
lucet_status lucet_instance_set_stack_limit(lucet_instance *instance, uint64_t bytes);

/**
 * Ends the run that is going on: it returns LUCET_OUTCOME_TERMINATED to whoever started it, guest
 * code at once, a host function when it returns. A suspended run is abandoned. If nothing runs,
 * nothing happens, and the next run is not affected; so calling it twice, or too late, does no
 * harm.
 *
 * May be called from any thread at any time, also while the instance runs: that is what it is for.
 *
 * LUCET_STATUS_BUSY for a suspended member of a group of which another member runs: terminate that
 * one. */
lucet_status lucet_instance_terminate(lucet_instance *instance);

/**
 * The name of a function by its index, as lucet_outcome has it: for logs. At most `cap` bytes are
 * written to `buf`, the terminating NUL included; `*len` is the length of the whole name without
 * NUL, 0 if the function has none. `buf` may be NULL if `cap` is 0, and `len` may be NULL.
 *
 * The name comes from the module, so it may be anything: escape it where that matters.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if there is no such function. */
lucet_status lucet_instance_function_name(lucet_instance *instance, uint32_t function, char *buf,
    size_t cap, size_t *len);

/* ---- replacing modules ----------------------------------------------------------------------- */

/**
 * A reference to a module that can be replaced while requests run: each instance is of the version
 * that was published last, and keeps it until it is freed. Any thread may use it, several at the
 * same time. It survives a fork as modules do; each process then publishes for itself.
 *
 *     lucet_module_ref_create(&ref);
 *     lucet_module_ref_require(ref, "alloc", "(i32) -> i32");             // funcs[0]
 *     lucet_module_ref_require(ref, "on_request", "(i32, i32) -> i64");   // funcs[1]
 *     lucet_module_ref_load_file(ref, "plugin.so", config);      // again whenever it changed
 *
 *     lucet_module_ref_instantiate(ref, region, funcs, 2, &version, &instance);  // each request
 *     lucet_instance_run_func(instance, funcs[1], ...);
 *
 * A version that was replaced goes when its last instance is freed; no thread has to do anything
 * for that. To try a version before requests meet it, load it, create an instance, see what it
 * answers, and publish it then. */
typedef struct lucet_module_ref lucet_module_ref;

/**
 * Creates a reference to nothing. `*out` is NULL if the call fails. Free it with
 * lucet_module_ref_free.
 *
 * LUCET_STATUS_LIMIT_EXCEEDED if there are 65,536. */
LUCET_NODISCARD lucet_status lucet_module_ref_create(lucet_module_ref **out);

/**
 * Requires every version to export the function `name`, of the type `signature` (NULL: of any), as
 * in lucet_module_find. lucet_module_ref_instantiate gives the functions in the order of these
 * calls. At most 64.
 *
 * LUCET_STATUS_WRONG_STATE once something was published, LUCET_STATUS_INVALID_ARGUMENT for a
 * signature that makes no sense or a name that is required already, LUCET_STATUS_LIMIT_EXCEEDED. */
lucet_status lucet_module_ref_require(lucet_module_ref *ref, const char *name,
    const char *signature);

/**
 * Makes `module` what instances are created of from now on, on all threads; NULL: withdraws what
 * was published. The caller keeps its handle, and may free it. If the call fails, what was
 * published stays.
 *
 * LUCET_STATUS_NO_SUCH_EXPORT or LUCET_STATUS_EXPORT_TYPE_MISMATCH for a module that lacks what is
 * required, LUCET_STATUS_MISSING_IMPORT for one that can only be a member of a group. */
LUCET_NODISCARD lucet_status lucet_module_ref_publish(lucet_module_ref *ref, lucet_module *module);

/**
 * Loads an artifact and publishes it: lucet_module_load_file and lucet_module_ref_publish. If
 * either fails, what was published stays, and lucet_last_error says why. */
LUCET_NODISCARD lucet_status lucet_module_ref_load_file(lucet_module_ref *ref, const char *path,
    const lucet_module_config *config);

/**
 * Creates a fresh instance of the version that was published last, as lucet_instance_create does;
 * threads share nothing by that. `funcs` has room for exactly the `nfuncs` functions that are
 * required (NULL if there are none), and gets those of the instance. `version`, which may be NULL,
 * is how often something had been published: for one thread it never goes back. The first
 * instances of a new version take as long as the first of any module.
 *
 * LUCET_STATUS_WRONG_STATE if nothing is published, LUCET_STATUS_INVALID_ARGUMENT for another
 * `nfuncs`; otherwise as lucet_instance_create. */
LUCET_NODISCARD lucet_status lucet_module_ref_instantiate(lucet_module_ref *ref,
    lucet_region *region, lucet_func *funcs, size_t nfuncs, uint64_t *version,
    lucet_instance **out);

/**
 * What is published: a handle to the module, to be freed by the caller, or NULL; and how often
 * something was. Either may be NULL. */
lucet_status lucet_module_ref_current(lucet_module_ref *ref, lucet_module **module,
    uint64_t *version);

/** Gives the reference back, and what is published with it. Instances live on. */
lucet_status lucet_module_ref_free(lucet_module_ref *ref);

/* ---- groups ---------------------------------------------------------------------------------- */

/**
 * Instances that import functions, memories, tables, globals and exception tags of one another:
 * one plugin made of several modules. Whichever member runs, the group is for one thread at a
 * time; the others get LUCET_STATUS_BUSY. */
typedef struct lucet_group lucet_group;

/**
 * Creates a group without members. Its instances will be in slots of `region`, one each. `*out` is
 * the group, or NULL if the call fails. Free it with lucet_group_free. Any thread.
 *
 *     lucet_module_config_set_linkable(config, true);     // and load both modules with it
 *     lucet_group_create(region, &group);
 *     lucet_group_instantiate(group, "codec", codec, NULL);
 *     lucet_group_instantiate(group, NULL, plugin, &instance);   // imports codec.decode
 *     lucet_instance_run(instance, "on_request", ...); */
LUCET_NODISCARD lucet_status lucet_group_create(lucet_region *region, lucet_group **out);

/**
 * Creates an instance of `module` as a member. What it imports comes from the member whose name is
 * the import's module name, else from the host functions that `module` was loaded with. `name` is
 * what later members import it by; a later member of the same name hides it; NULL: by none.
 *
 * `*out` is the instance, to run as any other; `out` may be NULL. It lives as long as the group,
 * and can be neither freed nor reset alone. If the call fails, the group is as it was, but what
 * segments or the start function have written to others stays written.
 *
 * LUCET_STATUS_MISSING_IMPORT, LUCET_STATUS_IMPORT_TYPE_MISMATCH, LUCET_STATUS_BUSY while a member
 * runs; otherwise as lucet_instance_create. */
lucet_status lucet_group_instantiate(lucet_group *group, const char *name, lucet_module *module,
    lucet_instance **out);

/**
 * Lets later members import the member `name` by `alias` too.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if there is no such member. */
lucet_status lucet_group_alias(lucet_group *group, const char *name, const char *alias);

/**
 * Frees a group and all of its members. Any thread, but not a host function that one of them
 * called.
 *
 * LUCET_STATUS_BUSY while a member runs. */
lucet_status lucet_group_free(lucet_group *group);

/* ---- growth ---------------------------------------------------------------------------------- */

/** What grows, for lucet_growth_fn. Numbers never change. */
LUCET_ENUM(lucet_growth_kind) {
  /** A memory; sizes are bytes, of all memories of the instance together. */
  LUCET_GROWTH_MEMORY = 1,
  /** A table; sizes are elements. */
  LUCET_GROWTH_TABLE = 2,
};

/**
 * Whether a memory or table of `instance` may grow from `from` to `to`; if not, the guest's
 * memory.grow or table.grow returns -1. Called after every limit has allowed it, on the thread and
 * in the middle of the run, on the host's stack: what holds for host functions holds for it, and
 * `instance` is busy. */
typedef bool (*lucet_growth_fn)(void *user_data, lucet_instance *instance, lucet_growth_kind kind,
    uint64_t from, uint64_t to);

/**
 * Asks `fn` before a memory or table grows; NULL, nobody, by default. It may be called by several
 * threads at the same time, one for each instance that runs. */
lucet_status lucet_region_config_set_growth_callback(lucet_region_config *config,
    lucet_growth_fn fn, void *user_data);

/* ---- statistics ------------------------------------------------------------------------------ */

/**
 * What a region has done since it was created, and holds now. Later versions add fields at the
 * end; `size` says which ones the caller knows. */
typedef struct lucet_region_stats {
  /**
   * Set it to sizeof(lucet_region_stats) before the call. Afterwards: the bytes that were
   * written, fewer if the library is older than the header. */
  uint64_t size;
  /** Instances alive. */
  uint64_t live;
  /** Instances that could be created beside them. */
  uint64_t free;
  /**
   * Most slots that were in use at the same time, by instances alive or kept for the next
   * instance of the module they were used for last. */
  uint64_t high_water;
  /** Bytes of memory that used slots keep for their next instances. */
  uint64_t resident_bytes;
  /** Instances created. */
  uint64_t created;
  /** Slots made pristine by copying over the pages ever touched. */
  uint64_t resets_first_touch;
  /** Slots made pristine by copying over the pages that the kernel says have contents. */
  uint64_t resets_page_map_scan;
  /** Slots made pristine by copying and clearing all of a small memory. */
  uint64_t resets_copy_and_clear;
  /** Slots made pristine by giving their pages back. */
  uint64_t resets_decommit;
  /** Runs that were terminated. */
  uint64_t terminated;
  /** Runs that took longer than they may. */
  uint64_t timed_out;
  /** Runs in which the guest asked to exit. */
  uint64_t exited;
  /** Runs that ended because a host function failed. */
  uint64_t host_errors;
  /** Runs whose fuel was used up. */
  uint64_t out_of_fuel;
  /** Runs that trapped, by lucet_trap_code. */
  uint64_t traps[32];
  /**
   * How long creating an instance took: element n counts 2^n to 2^(n+1) nanoseconds. All 0
   * without lucet_region_config_set_latency_histograms. */
  uint64_t create_times[40];
  /** The same of runs and resumes, each until it returned, yielded or ended otherwise. */
  uint64_t run_times[40];
  /** Runs that an exception left. */
  uint64_t exceptions;
} lucet_region_stats;

/**
 * What the region has done and holds. Set `stats->size` before; as many bytes are written. The
 * numbers are read one after the other while other threads work; each is right by itself. Takes
 * microseconds: for a scrape each second, not for each request. Any thread.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if `stats->size` is smaller than that field itself or not a
 * multiple of 8, LUCET_STATUS_FORKED in a child of the process that created the region. */
lucet_status lucet_region_get_stats(const lucet_region *region, lucet_region_stats *stats);

/* ---- backtraces ------------------------------------------------------------------------------ */

/** What a frame of a backtrace is. Numbers never change; skip unknown ones. */
LUCET_ENUM(lucet_frame_kind) {
  /** A function of the module. */
  LUCET_FRAME_GUEST = 1,
  /** A host function that the guest called. */
  LUCET_FRAME_IMPORT = 2,
  /** lucet at work for the guest: memory.grow, memory.copy and the like. */
  LUCET_FRAME_BUILTIN = 3,
  /** Not a frame: `pc` frames are left out here, between the innermost and the outermost. */
  LUCET_FRAME_OMITTED = 4,
};

/** One frame of a backtrace. Fields that do not belong to `kind` are 0, or UINT32_MAX. */
typedef struct lucet_frame {
  /** What it is. */
  lucet_frame_kind kind;
  /** GUEST, IMPORT: index of the function; see lucet_instance_function_name. */
  uint32_t function;
  /**
   * GUEST: offset in the wasm file of the operator that was executed, of the call in frames of
   * callers; UINT32_MAX if unknown. */
  uint32_t wasm_offset;
  /** 0 in this version. */
  uint32_t reserved;
  /** GUEST: offset in the artifact's .text, in bytes, of an address in the instruction. */
  uint64_t pc;
} lucet_frame;

/**
 * Whether runs of the instance that trap, fail, are terminated or take too long leave a
 * backtrace. A new instance has the region's setting (lucet_region_config_set_backtrace), which
 * is off unless changed. Off costs nothing. On, a run that ends badly takes some nanoseconds more
 * for each frame, and the first one of an instance allocates about a kilobyte; runs that end well
 * cost what they did. */
lucet_status lucet_instance_set_backtrace(lucet_instance *instance, bool on);

/**
 * Where the last run ended, from the inside out: the function that trapped, its caller, and so on
 * to the function that was called from C, through host functions that ran the guest again
 * (lucet_vmctx_run). For a run that was terminated or took too long: what it was doing. For a
 * suspended instance: where it waits, whether backtraces are on or not. Functions that made a tail
 * call have no frame. Of a deep recursion the innermost and the outermost frames are there.
 *
 * At most `cap` frames are written; `*len` is the number there is, at most 65. `frames` may be
 * NULL if `cap` is 0. The backtrace is there until the instance runs again, is reset or freed.
 *
 * LUCET_STATUS_WRONG_STATE if the last run ended well or backtraces were off. */
LUCET_NODISCARD lucet_status lucet_instance_backtrace(lucet_instance *instance, lucet_frame *frames,
    size_t cap, size_t *len);

/**
 * The backtrace as text for a log, a line for each frame:
 *
 *        0: parse_header (function 12) at wasm offset 0x1f0
 *        1: import env.read (function 0)
 *        2: on_request (function 3) at wasm offset 0x2a
 *
 * What is not printable in names is escaped, so a line is a line. At most `cap` bytes are written
 * to `buf`, the terminating NUL included; `*len` is the length of the whole text without NUL.
 * `buf` may be NULL if `cap` is 0, and `len` may be NULL.
 *
 * As lucet_instance_backtrace. */
LUCET_NODISCARD lucet_status lucet_instance_write_backtrace(lucet_instance *instance, char *buf,
    size_t cap, size_t *len);

/* ---- exceptions ------------------------------------------------------------------------------ */

/**
 * After LUCET_OUTCOME_EXCEPTION: what the guest threw. The instance is as the guest left it, and
 * can be used on.
 *
 * `*len` is the length of the name under which the tag is exported, 0 if it is not; at most `cap`
 * bytes of it are written to `buf`, the terminating NUL included. `*nvalues` is how many values
 * the exception carries; the first `room` of them are written to `values`. `buf` and `values` may
 * be NULL if there is no room in them, `len` and `nvalues` may be NULL.
 *
 * LUCET_STATUS_WRONG_STATE if no run of the instance ended with an exception. */
lucet_status lucet_instance_exception(lucet_instance *instance, char *buf, size_t cap, size_t *len,
    lucet_val *values, size_t room, size_t *nvalues);

/* ---- snapshots ------------------------------------------------------------------------------- */

/** How to take snapshots. Any thread may use it. */
typedef struct lucet_snapshot_config lucet_snapshot_config;

/**
 * A configuration with the defaults: lucet_reseed as reseed function, if there is one, and frozen
 * randomness refused. Free it with lucet_snapshot_config_free. NULL if there is no memory. */
lucet_snapshot_config *lucet_snapshot_config_create(void);

/** Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error. */
void lucet_snapshot_config_free(lucet_snapshot_config *config);

/**
 * Names the export that every instance of the snapshot calls before it is handed out, to get
 * random numbers of its own: of type () -> (), or (i64) -> () and given 64 random bits (which
 * costs a system call). NULL: lucet_reseed, if the module has it. The text is copied.
 *
 * LUCET_STATUS_INVALID_ARGUMENT. */
lucet_status lucet_snapshot_config_set_reseed(lucet_snapshot_config *config, const char *name);

/**
 * Whether snapshots are taken although the instance called impure functions (see
 * lucet_module_config_mark_impure) and nothing reseeds: every instance then has the same random
 * numbers and the same time. Off by default. */
lucet_status lucet_snapshot_config_allow_frozen_randomness(lucet_snapshot_config *config,
    bool allow);

/**
 * For lucet_snapshot_in_child: an export of type () -> () that is called after the start function,
 * such as "_initialize". NULL: none. The text is copied.
 *
 * LUCET_STATUS_INVALID_ARGUMENT. */
lucet_status lucet_snapshot_config_set_function(lucet_snapshot_config *config, const char *name);

/**
 * For lucet_snapshot_in_child: the child is killed after so many nanoseconds; 10 seconds by
 * default. */
lucet_status lucet_snapshot_config_set_time_limit(lucet_snapshot_config *config,
    uint64_t nanoseconds);

/**
 * Makes a module of an instance that ran its start-up: its instances begin where this one is, with
 * its memory, globals and tables, and cost what those of any module cost. Start functions do not
 * run again. The snapshot has the code, imports and exports of the instance's module, and shares
 * its memory for code; a lucet_func of one works for the other. The instance stays as it is.
 *
 * `config` may be NULL for the defaults. `*out` is the module, or NULL if the call fails. Free it
 * with lucet_module_free. Any thread.
 *
 * LUCET_STATUS_BUSY while the instance runs, LUCET_STATUS_WRONG_STATE if it is suspended or
 * faulted; LUCET_STATUS_IMPURE if it called impure functions and nothing reseeds, the message
 * names them; LUCET_STATUS_UNSUPPORTED if a table or global of it holds an externref;
 * LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH for the reseed function;
 * LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY, LUCET_STATUS_IO. */
LUCET_NODISCARD lucet_status lucet_instance_snapshot(lucet_instance *instance,
    const lucet_snapshot_config *config, lucet_module **out);

/**
 * Creates an instance of `module` in a child process, runs its start-up there, and makes a module
 * of it here: start-up code may loop, crash or eat memory without harm to this process. Only the
 * state comes back, checked like a file; the code is the module's. Blocks until the child is done
 * or its time is up.
 *
 * The child is a fork: it has this process's user, limits and descriptors, the default action for
 * signals, and may leave no core file. If this process has one thread, the child raises no SIGCHLD
 * and waitpid(-1) does not find it; handlers of pthread_atfork are not called. Otherwise it is a
 * child like any, and host functions that start-up calls must not wait for locks that other
 * threads of yours may hold. `region` says how large the child's slot is. NULL for either
 * configuration means its defaults. `*out` as in lucet_instance_snapshot.
 *
 * LUCET_STATUS_START_FAILED if start-up ended in any way but returning, took too long, or ended
 * the child; otherwise as lucet_instance_create, lucet_instance_run and lucet_instance_snapshot. */
LUCET_NODISCARD lucet_status lucet_snapshot_in_child(lucet_module *module,
    const lucet_region_config *region, const lucet_snapshot_config *config, lucet_module **out);

/**
 * Writes a module to a file that lucet_module_load_file loads: a snapshot as an artifact that is
 * not signed and names its parent's hash, any other module as it was loaded. The file appears when
 * it is complete and on the disk, and replaces one of that name; if the call fails nothing is left
 * behind. Its mode is 0600, for it holds what the guest's memory held. Any thread.
 *
 * LUCET_STATUS_IO, LUCET_STATUS_OUT_OF_MEMORY, LUCET_STATUS_LIMIT_EXCEEDED if it is larger than an
 * artifact may be, LUCET_STATUS_INVALID_ARGUMENT. */
LUCET_NODISCARD lucet_status lucet_module_save(lucet_module *module, const char *path);

/**
 * Writes the same to an open descriptor, at its position. If the call fails, part of it may be
 * there. The descriptor stays open.
 *
 * As lucet_module_save; LUCET_STATUS_INVALID_ARGUMENT if `fd` is negative. */
LUCET_NODISCARD lucet_status lucet_module_save_fd(lucet_module *module, int32_t fd);

/* ---- inside a host function ------------------------------------------------------------------ */

/**
 * The instance that called a host function. Valid in that call of the host function (or
 * lucet_resume_fn), on the thread it was called on, and nowhere else. Other than a handle it must
 * really be what the host function was given. */
typedef struct lucet_vmctx lucet_vmctx;

/**
 * Finishes a host function's work when the guest is resumed: the guest's call returns what this
 * returns. `resume_value` is what lucet_instance_resume was given, `state` what lucet_vmctx_yield
 * was. It may do all that a host function may, yield again included; then what it returns is
 * ignored. A float result is returned as the bits of it. If the host function has an out-pointer
 * for results, that stays valid meanwhile: pass it on in `state`. */
typedef uint64_t (*lucet_resume_fn)(lucet_vmctx *ctx, uint64_t resume_value, void *state);

/**
 * The calling instance. It is running, so functions that take it are LUCET_STATUS_BUSY until the
 * run is over. NULL if `ctx` is none. */
lucet_instance *lucet_vmctx_instance(lucet_vmctx *ctx);

/**
 * The pointer that lucet_instance_set_user_data set, which belongs to the instance (the host
 * function's own comes as its second parameter). NULL if none was set, or `ctx` is none. */
void *lucet_vmctx_user_data(lucet_vmctx *ctx);

/**
 * The address of `len` bytes at `offset` of the caller's memory. A guest's addresses and lengths
 * are claims: this is how to check them. Valid until the host function returns or runs the guest.
 * `*out` is NULL if the call fails.
 *
 *     static void host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
 *     {
 *         void *text;
 *         if (lucet_vmctx_memory_range(ctx, (uint32_t)address, (uint32_t)len, &text) !=
 *             LUCET_STATUS_OK) {
 *             lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
 *             return;
 *         }
 *         fwrite(text, 1, (uint32_t)len, user_data);
 *     }
 *
 * LUCET_STATUS_OUT_OF_BOUNDS. */
LUCET_NODISCARD lucet_status lucet_vmctx_memory_range(lucet_vmctx *ctx, uint64_t offset,
    uint64_t len, void **out);

/** The size of the caller's memory in bytes: 0 if it has none. */
lucet_status lucet_vmctx_memory_size(lucet_vmctx *ctx, uint64_t *bytes);

/**
 * Notes that this call gave the guest something that must not be the same in each instance of a
 * snapshot. For functions that do so only sometimes; mark those that always do with
 * lucet_module_config_mark_impure. */
lucet_status lucet_vmctx_mark_impure(lucet_vmctx *ctx);

/**
 * Suspends the guest when the host function returns, instead of blocking the thread: the run ends
 * with LUCET_OUTCOME_YIELDED and `value`. What the host function returns is ignored. `resume`
 * gives the guest's call its result when lucet_instance_resume is called; NULL means that the
 * value given there is the result. `state` is handed to `resume`, and must live until then.
 *
 * LUCET_STATUS_NESTED_YIELD inside a nested run or a start function; LUCET_STATUS_WRONG_STATE if
 * the host function has decided to yield or to stop the guest already. */
lucet_status lucet_vmctx_yield(lucet_vmctx *ctx, uint64_t value, lucet_resume_fn resume,
    void *state);

/**
 * Says what becomes of the `state` of a yield that is never resumed, because the instance is
 * reset, freed or terminated. Then `abandoned(state)` is called once, instead of the
 * lucet_resume_fn, on the thread that ends it. It may release what `state` holds, and not use the
 * instance. To be called after lucet_vmctx_yield, each time, in the same host function.
 *
 * LUCET_STATUS_WRONG_STATE if it did not yield, or without a `resume`; nothing is called then. */
lucet_status lucet_vmctx_on_abandon(lucet_vmctx *ctx, lucet_drop_fn abandoned, void *state);

/**
 * Makes the guest trap with `code` when the host function returns.
 *
 * LUCET_STATUS_WRONG_STATE if the host function has decided on another end already;
 * LUCET_STATUS_INVALID_ARGUMENT if there is no such trap. */
lucet_status lucet_vmctx_trap(lucet_vmctx *ctx, lucet_trap_code code);

/**
 * Ends the run with LUCET_OUTCOME_HOST_ERROR and `code` when the host function returns: something
 * went wrong on the host's side, and the guest cannot go on.
 *
 * LUCET_STATUS_WRONG_STATE if the host function has decided on another end already. */
lucet_status lucet_vmctx_fail(lucet_vmctx *ctx, uint64_t code);

/**
 * Ends the run with LUCET_OUTCOME_EXITED and `code` when the host function returns: the guest
 * asked for it, as with exit() in C.
 *
 * LUCET_STATUS_WRONG_STATE if the host function has decided on another end already. */
lucet_status lucet_vmctx_exit(lucet_vmctx *ctx, uint64_t code);

/**
 * Ends the run with LUCET_OUTCOME_TERMINATED when the host function returns: the host does not
 * want it any more.
 *
 * LUCET_STATUS_WRONG_STATE if the host function has decided on another end already. */
lucet_status lucet_vmctx_terminate(lucet_vmctx *ctx);

/**
 * Calls an exported function of the calling instance from inside the host function: a nested run,
 * on the same guest stack. Parameters as in lucet_instance_run. Host functions called by it may
 * not yield. If it ends in any other way than returning, the run around it ends in the same way
 * when this host function returns.
 *
 * LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH; LUCET_STATUS_WRONG_STATE if the
 * host function has decided to yield or to stop the guest already; LUCET_STATUS_INVALID_ARGUMENT.
 */
LUCET_NODISCARD lucet_status lucet_vmctx_run(lucet_vmctx *ctx, const char *name,
    const lucet_val *args, size_t nargs, lucet_val *results, size_t nresults,
    lucet_outcome *outcome);

/**
 * Calls a function that lucet_module_find looked up; otherwise as lucet_vmctx_run.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if it was looked up in another module than the instance's. */
LUCET_NODISCARD lucet_status lucet_vmctx_run_func(lucet_vmctx *ctx, lucet_func func,
    const lucet_val *args, size_t nargs, lucet_val *results, size_t nresults,
    lucet_outcome *outcome);

/* ---- fuel ------------------------------------------------------------------------------------ */

/**
 * The fuel that each instance of modules loaded with this configuration begins with, its start
 * function included. Without this call there is no limit, so a start function that never ends is
 * stopped by nobody: set it for modules that you do not trust.
 *
 * Only modules compiled with `lucetc --fuel` count: loading another one with this configuration
 * is LUCET_STATUS_UNSUPPORTED. A start function that runs out is LUCET_STATUS_START_FAILED. To ask
 * for such modules and limit nothing yet, pass UINT64_MAX. */
lucet_status lucet_module_config_set_fuel(lucet_module_config *config, uint64_t units);

/**
 * Sets how many units of fuel an instance has, whatever it had: about one for each wasm operator
 * that it may execute. When they are used up, a run ends with LUCET_OUTCOME_OUT_OF_FUEL at a place
 * that depends on nothing but artifact, arguments and fuel: not on time, machine or thread.
 * The instance is suspended; give it more and call lucet_instance_resume (its `value` is ignored),
 * on any thread, and it goes on at exactly that place. Each member of a group has fuel of its own.
 *
 * The counter is looked at when functions and rounds of loops begin, before calls of host
 * functions and before bulk operations, so it may be below zero by what lies between: see
 * lucet_instance_fuel. A run that costs n units in all never stops if it has n.
 *
 * Time that host functions take costs nothing; see lucet_vmctx_charge_fuel. Run out inside
 * lucet_vmctx_run, a guest cannot be suspended: that run, and the run around it when the host
 * function returns, end with LUCET_OUTCOME_OUT_OF_FUEL, and the instance is faulted.
 *
 * Values of 2^63 and more are as good as no limit. Reset gives an instance what it began with.
 *
 * LUCET_STATUS_UNSUPPORTED if the module was compiled without --fuel, LUCET_STATUS_BUSY while it
 * runs. */
lucet_status lucet_instance_set_fuel(lucet_instance *instance, uint64_t units);

/**
 * Gives an instance so many units of fuel more. If the counter is below zero, that is taken off
 * them: so what a run is given in all is what it has used and what is left.
 *
 * Otherwise as lucet_instance_set_fuel. */
lucet_status lucet_instance_add_fuel(lucet_instance *instance, uint64_t units);

/**
 * The units of fuel that an instance has left: below zero if what it did between two looks at the
 * counter cost more than was left, INT64_MAX or close to it if no limit was set. After a trap or a
 * stop from outside, what was used since the last call or loop may be missing in it.
 *
 * Errors as for lucet_instance_set_fuel; `*left` is 0 then. */
lucet_status lucet_instance_fuel(lucet_instance *instance, int64_t *left);

/**
 * Takes units off the fuel of the guest that called this host function, for what the function
 * does: it costs 64 otherwise, whatever it does. The guest stops at the next place that looks at
 * the counter, if it is used up then.
 *
 * LUCET_STATUS_UNSUPPORTED if the module was compiled without --fuel. */
lucet_status lucet_vmctx_charge_fuel(lucet_vmctx *ctx, uint64_t units);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LUCET_H */
