/*
 * Host functions that do not return: one ends its thread, one jumps away and its thread ends later.
 * What they left is faulted then, like after a trap.   leaves ARTIFACT
 */
#include "env.h"
#include <setjmp.h>

static __thread jmp_buf away;
static int how;

static double leaves(lucet_vmctx *ctx, void *user_data, int32_t a, int64_t b, float c, double d)
{
    (void)ctx, (void)user_data, (void)a, (void)b, (void)c, (void)d;
    if (how == 0) {
        pthread_exit(NULL);
    }
    longjmp(away, 1);
}

static void *runs(void *instance)
{
    lucet_outcome outcome;
    lucet_val result;

    if (setjmp(away) == 0) {
        OK(lucet_instance_run(instance, "notes", NULL, 0, &result, 1, &outcome));
        CHECK(!"the run came back");
    }
    /* Whoever jumped cannot know that nobody waits for the run any more. */
    CHECK(lucet_instance_free(instance) == LUCET_STATUS_BUSY);
    return NULL;
}

int main(int argc, char **argv)
{
    host h = {0};
    lucet_module_config *config = lucet_module_config_create();
    lucet_region_config *slots = lucet_region_config_create();
    lucet_module *module = NULL;
    lucet_region *region = NULL;
    lucet_instance *i = NULL;

    if (argc != 2) {
        return 2;
    }
    OK(lucet_region_config_set_slots(slots, 2));
    OK(lucet_region_create(slots, &region));
    OK(lucet_module_config_allow_unsigned(config, true));
    OK(lucet_module_config_add_function(config, "env", "note", "(i32, i64, f32, f64) -> f64",
                                        (lucet_host_fn)leaves, NULL));
    OK(lucet_module_config_add_function(config, "env", "wait", "(i32) -> i32",
                                        (lucet_host_fn)env_wait, &h));
    OK(lucet_module_config_add_function(config, "env", "pair", "(i32) -> (i32, i64)",
                                        (lucet_host_fn)env_pair, &h));
    OK(lucet_module_config_add_function(config, "env", "again", "(i32) -> i32",
                                        (lucet_host_fn)env_again, &h));
    OK(lucet_module_config_add_function(config, "env", "end", "(i32) -> ()",
                                        (lucet_host_fn)env_end, &h));
    OK(lucet_module_load_file(argv[1], config, &module));
    lucet_module_config_free(config);
    OK(lucet_instance_create(region, module, &i));
    for (int round = 0; round < 100; round++) {
        pthread_t thread;
        lucet_outcome outcome;
        lucet_val result;

        how = round % 2;
        CHECK(pthread_create(&thread, NULL, runs, i) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        FAILS(lucet_instance_run(i, "count", NULL, 0, &result, 1, &outcome),
              LUCET_STATUS_WRONG_STATE, "reset or free it");
        OK(lucet_instance_reset(i));
        OK(lucet_instance_run(i, "count", NULL, 0, &result, 1, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 6);
    }
    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
    lucet_region_config_free(slots);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
