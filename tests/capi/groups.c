/*
 * Groups: modules that import from one another.   groups PROVIDER PLUGIN STARTS
 */
#include "env.h"

static lucet_group *group;
static lucet_instance *plugin;
static int calls;

/* What a host function may not do to the group that it was called from. */
static int32_t env_ask(lucet_vmctx *ctx, void *user_data, int32_t value)
{
    lucet_module *module = *(lucet_module **)user_data;
    calls++;
    (void)ctx;
    FAILS(lucet_group_free(group), LUCET_STATUS_BUSY, "running");
    FAILS(lucet_group_instantiate(group, "late", module, NULL), LUCET_STATUS_BUSY, "running");
    return value + 1;
}

static lucet_vmctx *seen;

/* Called by code of the store, whichever member runs it. A negative number is a wish to stop. */
static int32_t env_look(lucet_vmctx *ctx, void *user_data, int32_t at)
{
    uint64_t bytes = 0;
    void *letter = NULL;

    (void)user_data;
    seen = ctx;
    CHECK(lucet_vmctx_instance(ctx) != NULL);
    FAILS(lucet_instance_free(lucet_vmctx_instance(ctx)), LUCET_STATUS_BUSY, "running");
    OK(lucet_vmctx_memory_size(ctx, &bytes));
    CHECK(bytes == 65536);
    if (at < 0) {
        OK(lucet_vmctx_fail(ctx, 42));
        FAILS(lucet_vmctx_trap(ctx, LUCET_TRAP_UNREACHABLE), LUCET_STATUS_WRONG_STATE, "decided");
        return 0;
    }
    OK(lucet_vmctx_memory_range(ctx, (uint32_t)at, 1, &letter));
    if (at == 500) {
        lucet_val two = i32(2), four = {.type = 0};
        lucet_outcome outcome;
        OK(lucet_vmctx_run(ctx, "twice", &two, 1, &four, 1, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && four.of.i32 == 4);
    }
    return letter == NULL ? -1 : *(char *)letter;
}

static int32_t run(lucet_instance *i, const char *name, int32_t arg)
{
    lucet_val args[1], result = {.type = 0};
    lucet_outcome outcome;

    args[0] = i32(arg);
    OK(lucet_instance_run(i, name, args, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    return result.of.i32;
}

static void look(lucet_instance *store, lucet_instance *by)
{
    lucet_val args[1], result;
    lucet_outcome outcome;

    OK(lucet_instance_memory_write(store, 300, "x", 1));
    CHECK(run(by, "look", 300) == 'x' && run(by, "look", 500) == 0);
    args[0] = i32(-1);
    OK(lucet_instance_run(by, "look", args, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_HOST_ERROR && outcome.value == 42);
    FAILS(lucet_vmctx_memory_size(seen, &outcome.value), LUCET_STATUS_WRONG_STATE, "returned");
}

/* Called by a start function: the group is being worked on. */
static void env_started(lucet_vmctx *ctx, void *user_data)
{
    (void)ctx;
    (void)user_data;
    calls++;
    FAILS(lucet_group_free(group), LUCET_STATUS_BUSY, "working on");
    FAILS(lucet_group_alias(group, "store", "x"), LUCET_STATUS_BUSY, "working on");
}

static void members(lucet_region *region, lucet_module *provider, lucet_module *module)
{
    lucet_instance *store;
    lucet_outcome outcome;
    lucet_val args[1], result;
    char byte = 0;

    FAILS(lucet_group_instantiate(group, NULL, module, &plugin), LUCET_STATUS_MISSING_IMPORT,
          "store");
    CHECK(plugin == NULL);
    OK(lucet_group_instantiate(group, "shop", provider, &store));
    FAILS(lucet_group_alias(group, "none", "store"), LUCET_STATUS_INVALID_ARGUMENT, "none");
    OK(lucet_group_alias(group, "shop", "store"));
    OK(lucet_group_instantiate(group, NULL, module, &plugin));

    /* A function, a memory, a global and a table of the other, and a function of the host. */
    CHECK(run(plugin, "twice", 21) == 42);
    CHECK(run(plugin, "put", 7) == 7);
    OK(lucet_instance_memory_read(store, 100, &byte, 1));
    CHECK(byte == 7);
    CHECK(run(plugin, "count", 5) == 15 && run(plugin, "count", 1) == 16);
    CHECK(run(plugin, "through_table", 4) == 8);
    CHECK(run(plugin, "asked", 1) == 2 && calls == 1);

    /* The context of a host function is that of the member whose code called it. */
    look(store, plugin);

    /* A trap in a member ends the run of the other, and neither outlives the group. */
    OK(lucet_group_instantiate(group, NULL, module, &plugin));
    args[0] = i32(-1);
    OK(lucet_instance_run(plugin, "put", args, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED);
    CHECK(outcome.trap_code == LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
    FAILS(lucet_instance_free(store), LUCET_STATUS_UNSUPPORTED, "free the group");
    FAILS(lucet_instance_reset(store), LUCET_STATUS_UNSUPPORTED, "group");
    FAILS(lucet_region_free(region), LUCET_STATUS_BUSY, "");
    OK(lucet_group_free(group));
    FAILS(lucet_group_free(group), LUCET_STATUS_INVALID_HANDLE, "freed");
    FAILS(lucet_instance_run(store, "twice", args, 1, &result, 1, &outcome),
          LUCET_STATUS_INVALID_HANDLE, "freed");
}

static void misuse(lucet_region *region, lucet_module *provider, lucet_module *module)
{
    lucet_region *other;
    lucet_instance *alone;

    FAILS(lucet_group_create(NULL, &group), LUCET_STATUS_NULL_ARGUMENT, "region");
    FAILS(lucet_group_create(region, NULL), LUCET_STATUS_NULL_ARGUMENT, "out");
    FAILS(lucet_group_create((lucet_region *)provider, &group), LUCET_STATUS_INVALID_HANDLE,
          "lucet_module");
    FAILS(lucet_group_free(NULL), LUCET_STATUS_NULL_ARGUMENT, "group");
    FAILS(lucet_group_free((lucet_group *)region), LUCET_STATUS_INVALID_HANDLE, "lucet_region");
    FAILS(lucet_instance_create(region, module, &alone), LUCET_STATUS_MISSING_IMPORT, "group");
    /* A region without instances may go before a group, which then is of no use any more. */
    OK(lucet_region_create(NULL, &other));
    OK(lucet_group_create(other, &group));
    OK(lucet_region_free(other));
    FAILS(lucet_group_instantiate(group, NULL, provider, NULL), LUCET_STATUS_INVALID_HANDLE,
          "the region was freed");
    OK(lucet_group_free(group));

    OK(lucet_group_create(region, &group));
    FAILS(lucet_group_instantiate(group, "x", NULL, NULL), LUCET_STATUS_NULL_ARGUMENT, "module");
    FAILS(lucet_group_instantiate(group, "\xff", provider, NULL), LUCET_STATUS_INVALID_ARGUMENT,
          "UTF-8");
    FAILS(lucet_group_alias(group, NULL, "x"), LUCET_STATUS_NULL_ARGUMENT, "name");
    OK(lucet_group_free(group));
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_region *region;
    lucet_module *provider, *module, *starts;

    if (argc != 4) {
        return 2;
    }
    OK(lucet_module_config_allow_unsigned(config, true));
    OK(lucet_module_config_add_function(config, "env", "ask", "(i32) -> i32",
                                        (lucet_host_fn)env_ask, &provider));
    OK(lucet_module_config_add_function(config, "env", "look", "(i32) -> i32",
                                        (lucet_host_fn)env_look, NULL));
    OK(lucet_module_config_add_function(config, "env", "started", "() -> ()",
                                        (lucet_host_fn)env_started, NULL));
    FAILS(lucet_module_load_file(argv[2], config, &module), LUCET_STATUS_MISSING_IMPORT, "store");
    OK(lucet_module_config_set_linkable(config, true));
    OK(lucet_module_load_file(argv[1], config, &provider));
    OK(lucet_module_load_file(argv[2], config, &module));
    OK(lucet_module_load_file(argv[3], config, &starts));
    OK(lucet_region_create(NULL, &region));

    misuse(region, provider, module);
    for (int k = 0; k < 3; k++) {
        calls = 0;
        OK(lucet_group_create(region, &group));
        members(region, provider, module);
    }
    calls = 0;
    OK(lucet_group_create(region, &group));
    OK(lucet_group_instantiate(group, NULL, starts, NULL));
    CHECK(calls == 1);
    OK(lucet_module_free(provider));
    OK(lucet_module_free(module));
    OK(lucet_module_free(starts));
    OK(lucet_group_free(group));
    OK(lucet_region_free(region));
    lucet_module_config_free(config);
    return failures != 0;
}
