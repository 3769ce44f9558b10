/*
 * What a forked child may do with what its parent made: everything about modules, nothing about
 * instances, and it hears so in a status.   forks ARTIFACT
 */
#define _DEFAULT_SOURCE
#include "env.h"
#include <sys/wait.h>
#include <unistd.h>

static lucet_region *the_region;
static lucet_module *the_module;
static lucet_instance *ready, *suspended;

/* Every function that takes an instance. */
static void instances_are_the_parents(lucet_instance *i)
{
    const lucet_status forked = LUCET_STATUS_FORKED;
    const char *hint = "create a region in this process";
    lucet_outcome outcome;
    lucet_val v = i32(1);
    lucet_val args[2] = {i32(1), i32(2)};
    lucet_instance *other;
    lucet_func add;
    uint64_t n;
    void *p;
    char byte;

    OK(lucet_module_find(the_module, "add", NULL, &add));
    FAILS(lucet_instance_create(the_region, the_module, &other), forked, hint);
    CHECK(other == NULL);
    FAILS(lucet_instance_run(i, "add", args, 2, &v, 1, &outcome), forked, hint);
    FAILS(lucet_instance_run_func(i, add, args, 2, &v, 1, &outcome), forked, hint);
    FAILS(lucet_instance_resume(i, 0, &v, 1, &outcome), forked, hint);
    FAILS(lucet_instance_reset(i), forked, hint);
    FAILS(lucet_instance_memory_read(i, 0, &byte, 1), forked, hint);
    FAILS(lucet_instance_memory_write(i, 0, &byte, 1), forked, hint);
    FAILS(lucet_instance_memory_range(i, 0, 1, &p), forked, hint);
    FAILS(lucet_instance_memory_size(i, &n), forked, hint);
    FAILS(lucet_instance_global_get(i, "counter", &v), forked, hint);
    FAILS(lucet_instance_global_set(i, "counter", args), forked, hint);
    FAILS(lucet_instance_set_user_data(i, NULL), forked, hint);
    FAILS(lucet_instance_set_time_limit(i, 1), forked, hint);
    FAILS(lucet_instance_terminate(i), forked, hint);
    FAILS(lucet_instance_function_name(i, 0, &byte, 1, NULL), forked, hint);
    FAILS(lucet_instance_free(i), forked, hint);
    FAILS(lucet_instance_free(i), forked, hint);
}

/* What a worker does after the fork. */
static void a_region_of_its_own(void)
{
    lucet_region *region;
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_val v;
    lucet_val args[2] = {i32(20), i32(22)};

    OK(lucet_region_create(NULL, &region));
    OK(lucet_instance_create(region, the_module, &i));
    OK(lucet_instance_run(i, "add", args, 2, &v, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && v.of.i32 == 42);
    OK(lucet_instance_run(i, "unreachable", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED);
    CHECK(i != ready && i != suspended);
    OK(lucet_instance_free(i));
    FAILS(lucet_instance_free(i), LUCET_STATUS_INVALID_HANDLE, "freed");
    OK(lucet_region_free(region));
}

static void in_child(void (*body)(void))
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        body();
        fflush(stdout);
        _exit(failures == 0 ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void grandchild(void)
{
    instances_are_the_parents(ready);
    a_region_of_its_own();
}

static void child(void)
{
    instances_are_the_parents(ready);
    instances_are_the_parents(suspended);
    a_region_of_its_own();
    instances_are_the_parents(ready);
    in_child(grandchild);
    /* Instances of the parent's are alive in it; that is not the child's business. */
    OK(lucet_region_free(the_region));
    FAILS(lucet_region_free(the_region), LUCET_STATUS_INVALID_HANDLE, "freed");
    in_child(a_region_of_its_own);
    a_region_of_its_own();
}

static lucet_vmctx *the_ctx;

static void child_in_host_function(void)
{
    const lucet_status forked = LUCET_STATUS_FORKED;
    lucet_outcome outcome;
    lucet_val v;
    void *p;

    FAILS(lucet_vmctx_memory_range(the_ctx, 0, 1, &p), forked, "parent");
    FAILS(lucet_vmctx_yield(the_ctx, 0, NULL, NULL), forked, "parent");
    FAILS(lucet_vmctx_run(the_ctx, "add", NULL, 0, &v, 1, &outcome), forked, "parent");
    FAILS(lucet_vmctx_trap(the_ctx, LUCET_TRAP_UNREACHABLE), forked, "parent");
    CHECK(lucet_vmctx_instance(the_ctx) == NULL);
    a_region_of_its_own();
}

static void fork_inside(lucet_vmctx *ctx)
{
    the_ctx = ctx;
    in_child(child_in_host_function);
}

int main(int argc, char **argv)
{
    host h = {0, NULL, NULL};
    lucet_module_config *config = env_config(&h);
    lucet_outcome outcome;
    lucet_val result;
    lucet_val how = i32(0);
    int n;

    (void)argc;
    OK(lucet_module_load_file(argv[1], config, &the_module));
    lucet_module_config_free(config);
    /* Loaded before the fork, as servers do it: no region yet. */
    in_child(a_region_of_its_own);

    OK(lucet_region_create(NULL, &the_region));
    OK(lucet_instance_create(the_region, the_module, &ready));
    OK(lucet_instance_create(the_region, the_module, &suspended));
    OK(lucet_instance_run(suspended, "waits", &how, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_YIELDED);
    for (n = 0; n < 20; n++) {
        in_child(child);
    }
    h.inside = fork_inside;
    OK(lucet_instance_run(ready, "notes", NULL, 0, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);

    /* The parent noticed nothing. */
    OK(lucet_instance_resume(suspended, 7, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 1007);
    OK(lucet_instance_free(suspended));
    OK(lucet_instance_free(ready));
    OK(lucet_region_free(the_region));
    OK(lucet_module_free(the_module));
    return failures == 0 ? 0 : 1;
}
