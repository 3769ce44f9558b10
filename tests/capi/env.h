/*
 * The host functions that works.wat imports, and how the programs here say what they expect.
 */
#ifndef TESTS_CAPI_ENV_H
#define TESTS_CAPI_ENV_H
#include <lucet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s  (%s)\n", __FILE__, __LINE__, #condition, lucet_last_error());       \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)
#define OK(call) CHECK((call) == LUCET_STATUS_OK)

/* Expects a status, and a message with `hint` in it. */
#define FAILS(call, wanted, hint) want(__LINE__, #call, (call), (wanted), (hint))

static inline void want(int line, const char *what, lucet_status got, lucet_status wanted,
                        const char *hint)
{
    if (got != wanted || strstr(lucet_last_error(), hint) == NULL) {
        printf("line %d: %s: %s, wanted %s with \"%s\": %s\n", line, what, lucet_status_name(got),
               lucet_status_name(wanted), hint, lucet_last_error());
        failures++;
    }
}

static inline lucet_val i32(int32_t value)
{
    lucet_val v = {.of = {.i32 = value}, .type = LUCET_VAL_I32};
    return v;
}

static inline lucet_val i64(int64_t value)
{
    lucet_val v = {.of = {.i64 = value}, .type = LUCET_VAL_I64};
    return v;
}

/* What host functions saw, and what misuse.c wants them to try. */
typedef struct host {
    int notes;
    lucet_vmctx *ctx;
    void (*inside)(lucet_vmctx *ctx);
} host;

static inline double env_note(lucet_vmctx *ctx, void *user_data, int32_t a, int64_t b, float c,
                              double d)
{
    host *h = user_data;
    h->notes++;
    h->ctx = ctx;
    if (h->inside != NULL) {
        h->inside(ctx);
    }
    return (double)a + (double)b + (double)c + d;
}

/* Yields 1 and then, at the first resume, 2; the results add up. */
static inline uint64_t env_second(lucet_vmctx *ctx, uint64_t value, void *state)
{
    (void)ctx;
    return value + (uint64_t)*(int *)state;
}

static inline uint64_t env_first(lucet_vmctx *ctx, uint64_t value, void *state)
{
    *(int *)state += (int)value;
    CHECK(lucet_vmctx_yield(ctx, 2, env_second, state) == LUCET_STATUS_OK);
    return 0;
}

static inline int32_t env_wait(lucet_vmctx *ctx, void *user_data, int32_t how)
{
    static int sum;
    (void)user_data;
    sum = 0;
    CHECK(lucet_vmctx_yield(ctx, 1, how == 0 ? NULL : env_first, &sum) == LUCET_STATUS_OK);
    return -1;
}

typedef struct place {
    uint8_t bytes[16];
} place;

static inline void env_pair(lucet_vmctx *ctx, void *user_data, int32_t n, place out[2])
{
    int64_t wide = (int64_t)n * 1000000000000;
    (void)ctx, (void)user_data;
    memcpy(&out[0], &n, sizeof n);
    memcpy(&out[1], &wide, sizeof wide);
}

/* Runs the guest from inside: 0 adds, 1 traps. */
static inline int32_t env_again(lucet_vmctx *ctx, void *user_data, int32_t how)
{
    const char *names[] = {"add", "unreachable"};
    lucet_val args[2] = {i32(20), i32(22)};
    lucet_val result = {.type = 0};
    lucet_outcome outcome;
    size_t nargs = how == 0 ? 2 : 0;
    (void)user_data;
    CHECK(lucet_vmctx_run(ctx, names[how], args, nargs, &result, how == 0 ? 1 : 0, &outcome) ==
          LUCET_STATUS_OK);
    CHECK(outcome.kind == (how == 1 ? LUCET_OUTCOME_TRAPPED : LUCET_OUTCOME_RETURNED));
    return result.of.i32;
}

static inline void env_end(lucet_vmctx *ctx, void *user_data, int32_t how)
{
    (void)user_data;
    switch (how) {
    case 0:
        CHECK(lucet_vmctx_trap(ctx, LUCET_TRAP_INTEGER_OVERFLOW) == LUCET_STATUS_OK);
        break;
    case 1:
        CHECK(lucet_vmctx_fail(ctx, 404) == LUCET_STATUS_OK);
        break;
    case 2:
        CHECK(lucet_vmctx_exit(ctx, 3) == LUCET_STATUS_OK);
        break;
    default:
        CHECK(lucet_vmctx_terminate(ctx) == LUCET_STATUS_OK);
        break;
    }
    CHECK(lucet_vmctx_trap(ctx, LUCET_TRAP_UNREACHABLE) == LUCET_STATUS_WRONG_STATE);
}

/* A configuration with all of it. */
static inline lucet_module_config *env_config(host *h)
{
    lucet_module_config *c = lucet_module_config_create();
    OK(lucet_module_config_allow_unsigned(c, true));
    OK(lucet_module_config_add_function(c, "env", "note", "(i32, i64, f32, f64) -> f64",
                                        (lucet_host_fn)env_note, h));
    OK(lucet_module_config_add_function(c, "env", "wait", "(i32) -> i32", (lucet_host_fn)env_wait,
                                        h));
    OK(lucet_module_config_add_function(c, "env", "pair", "(i32) -> (i32, i64)",
                                        (lucet_host_fn)env_pair, h));
    OK(lucet_module_config_add_function(c, "env", "again", "(i32) -> i32",
                                        (lucet_host_fn)env_again, h));
    OK(lucet_module_config_add_function(c, "env", "end", "(i32) -> ()", (lucet_host_fn)env_end,
                                        h));
    return c;
}
#endif
