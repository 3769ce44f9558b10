/*
 * What is handed over to lucet comes back once, when nothing needs it any more: data of host
 * functions, and the state of yields that are never resumed.
 */
#include "env.h"

static int given, dropped, abandoned;
static int state;
static lucet_func add;

static void drop(void *data)
{
    CHECK(data == &given);
    dropped++;
}

static void abandon(void *s)
{
    CHECK(s == &state);
    abandoned++;
}

static uint64_t later(lucet_vmctx *ctx, uint64_t value, void *s)
{
    CHECK(s == &state);
    if (value == 1) {
        OK(lucet_vmctx_yield(ctx, 2, later, &state));
        OK(lucet_vmctx_on_abandon(ctx, abandon, &state));
    }
    if (value == 2) {
        OK(lucet_vmctx_yield(ctx, 3, later, &state));
    }
    return value;
}

static int32_t wait(lucet_vmctx *ctx, void *user_data, int32_t how)
{
    (void)user_data;
    FAILS(lucet_vmctx_on_abandon(ctx, abandon, &state), LUCET_STATUS_WRONG_STATE, "yield first");
    OK(lucet_vmctx_yield(ctx, 1, how == 1 ? NULL : later, &state));
    if (how == 1) {
        FAILS(lucet_vmctx_on_abandon(ctx, abandon, &state), LUCET_STATUS_WRONG_STATE, "resume");
    } else {
        FAILS(lucet_vmctx_on_abandon(ctx, NULL, &state), LUCET_STATUS_NULL_ARGUMENT, "abandoned");
        FAILS(lucet_vmctx_on_abandon(NULL, abandon, &state), LUCET_STATUS_NULL_ARGUMENT, "ctx");
        /* What was said last counts. */
        OK(lucet_vmctx_on_abandon(ctx, drop, &state));
        OK(lucet_vmctx_on_abandon(ctx, abandon, &state));
    }
    return 0;
}

/* Calls what was looked up in the module, nested. */
static int32_t again(lucet_vmctx *ctx, void *user_data, int32_t how)
{
    lucet_val args[2] = {i32(20), i32(22)}, result = {.type = 0};
    lucet_outcome outcome;
    lucet_func none = {0, 0};
    (void)user_data, (void)how;
    OK(lucet_vmctx_run_func(ctx, add, args, 2, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 42);
    FAILS(lucet_vmctx_run_func(ctx, none, args, 2, &result, 1, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "another module");
    FAILS(lucet_vmctx_run_func(ctx, add, args, 1, &result, 1, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "called with");
    FAILS(lucet_vmctx_run_func(NULL, add, args, 2, &result, 1, &outcome),
          LUCET_STATUS_NULL_ARGUMENT, "ctx");
    FAILS(lucet_instance_find(lucet_vmctx_instance(ctx), "add", NULL, &none), LUCET_STATUS_BUSY,
          "run");
    return result.of.i32;
}

static lucet_outcome_kind waits(lucet_instance *i, int32_t how)
{
    lucet_val arg = i32(how), result;
    lucet_outcome outcome;
    OK(lucet_instance_run(i, "waits", &arg, 1, &result, 1, &outcome));
    return outcome.kind;
}

static lucet_outcome_kind resume(lucet_instance *i, uint64_t value)
{
    lucet_val result;
    lucet_outcome outcome;
    OK(lucet_instance_resume(i, value, &result, 1, &outcome));
    return outcome.kind;
}

static void states_come_back(lucet_instance *i)
{
    /* Resumed: the state is the resume function's. */
    CHECK(waits(i, 0) == LUCET_OUTCOME_YIELDED && resume(i, 9) == LUCET_OUTCOME_RETURNED);
    /* Yields again, with and without. */
    CHECK(waits(i, 0) == LUCET_OUTCOME_YIELDED && resume(i, 1) == LUCET_OUTCOME_YIELDED);
    CHECK(resume(i, 2) == LUCET_OUTCOME_YIELDED && resume(i, 9) == LUCET_OUTCOME_RETURNED);
    CHECK(waits(i, 1) == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_reset(i));
    CHECK(waits(i, 0) == LUCET_OUTCOME_YIELDED && resume(i, 2) == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_reset(i));
    CHECK(abandoned == 0);
    CHECK(waits(i, 0) == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_reset(i));
    CHECK(abandoned == 1);
    CHECK(waits(i, 0) == LUCET_OUTCOME_YIELDED && resume(i, 1) == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_terminate(i));
    CHECK(abandoned == 2);
    OK(lucet_instance_terminate(i));
    OK(lucet_instance_reset(i));
    CHECK(waits(i, 0) == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_free(i));
    CHECK(abandoned == 3);
}

int main(int argc, char **argv)
{
    host h = {0};
    lucet_module_config *c = lucet_module_config_create();
    lucet_module *module, *snapshot;
    lucet_region *region;
    lucet_instance *i;
    lucet_func found;
    lucet_val arg = i32(0), result;
    lucet_outcome outcome;

    CHECK(argc == 2);
    OK(lucet_module_config_allow_unsigned(c, true));
    OK(lucet_module_config_add_function(c, "env", "note", "(i32, i64, f32, f64) -> f64",
                                        (lucet_host_fn)env_note, &h));
    OK(lucet_module_config_add_function(c, "env", "wait", "(i32) -> i32", (lucet_host_fn)wait, &h));
    OK(lucet_module_config_add_function(c, "env", "pair", "(i32) -> (i32, i64)",
                                        (lucet_host_fn)env_pair, &h));
    OK(lucet_module_config_add_function(c, "env", "again", "(i32) -> i32", (lucet_host_fn)again,
                                        &h));
    OK(lucet_module_config_add_function(c, "env", "end", "(i32) -> ()", (lucet_host_fn)env_end,
                                        &h));
    FAILS(lucet_module_config_own(c, &given, NULL), LUCET_STATUS_NULL_ARGUMENT, "drop");
    FAILS(lucet_module_config_own(NULL, &given, drop), LUCET_STATUS_NULL_ARGUMENT, "config");
    OK(lucet_module_config_own(c, &given, drop));
    OK(lucet_module_load_file(argv[1], c, &module));
    OK(lucet_region_create(NULL, &region));
    OK(lucet_instance_create(region, module, &i));
    OK(lucet_instance_snapshot(i, NULL, &snapshot));

    OK(lucet_instance_find(i, "add", "(i32, i32) -> i32", &add));
    OK(lucet_module_find(module, "add", NULL, &found));
    CHECK(memcmp(&add, &found, sizeof add) == 0);
    FAILS(lucet_instance_find(i, "add", "() -> ()", &found), LUCET_STATUS_EXPORT_TYPE_MISMATCH,
          "not () -> ()");
    FAILS(lucet_instance_find(i, "none", NULL, &found), LUCET_STATUS_NO_SUCH_EXPORT, "none");
    FAILS(lucet_instance_find(i, NULL, NULL, &found), LUCET_STATUS_NULL_ARGUMENT, "name");
    FAILS(lucet_instance_find(i, "add", NULL, NULL), LUCET_STATUS_NULL_ARGUMENT, "out");
    FAILS(lucet_instance_find(NULL, "add", NULL, &found), LUCET_STATUS_NULL_ARGUMENT, "instance");
    OK(lucet_instance_run(i, "nests", &arg, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    states_come_back(i);

    OK(lucet_instance_create(region, module, &i));
    lucet_module_config_free(c);
    OK(lucet_module_free(module));
    CHECK(dropped == 0);
    OK(lucet_instance_free(i));
    CHECK(dropped == 0);
    OK(lucet_instance_create(region, snapshot, &i));
    OK(lucet_module_free(snapshot));
    CHECK(dropped == 0);
    OK(lucet_instance_free(i));
    CHECK(dropped == 1);
    OK(lucet_region_free(region));
    return failures != 0;
}
