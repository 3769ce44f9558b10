/*
 * A program of somebody who has the baseline's header and never heard of what came later. It uses
 * every public struct that a caller allocates.
 */
#include <lucet.h>
#include <stdio.h>
#include <string.h>

static int32_t called;

static int32_t host(lucet_vmctx *ctx, void *user_data, int32_t x)
{
    (void)ctx;
    ++*(int32_t *)user_data;
    return x;
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_region_config *region_config = lucet_region_config_create();
    lucet_module *module;
    lucet_region *region;
    lucet_instance *instance;
    lucet_func add;
    struct {
        lucet_val args[2], sum;
        uint64_t guard;
        lucet_outcome outcome;
        uint64_t guard_too;
        lucet_region_stats stats;
        uint64_t guard_three;
    } at;

    memset(&at, 0, sizeof at);
    at.guard = at.guard_too = at.guard_three = 0x5a5a5a5a5a5a5a5au;
    at.stats.size = sizeof at.stats;
    at.args[0].of.i32 = 2;
    at.args[1].of.i32 = 3;
    at.args[0].type = at.args[1].type = LUCET_VAL_I32;
    if (argc != 2 || lucet_module_config_allow_unsigned(config, true) ||
        lucet_module_config_add_function(config, "env", "host", "(i32) -> i32", (lucet_host_fn)host,
                                         &called) ||
        lucet_module_load_file(argv[1], config, &module) ||
        lucet_region_config_set_slots(region_config, 2) ||
        lucet_region_create(region_config, &region) ||
        lucet_module_find(module, "add", "(i32, i32) -> i32", &add) ||
        lucet_instance_create(region, module, &instance) ||
        lucet_instance_run_func(instance, add, at.args, 2, &at.sum, 1, &at.outcome) ||
        lucet_region_get_stats(region, &at.stats)) {
        fprintf(stderr, "%s\n", lucet_last_error());
        return 1;
    }
    if (at.guard != 0x5a5a5a5a5a5a5a5au || at.guard_too != at.guard ||
        at.guard_three != at.guard) {
        fprintf(stderr, "more was written than the baseline's structs have\n");
        return 1;
    }
    if (at.outcome.kind != LUCET_OUTCOME_RETURNED || at.sum.type != LUCET_VAL_I32) {
        fprintf(stderr, "%s\n", lucet_outcome_name(at.outcome.kind));
        return 1;
    }
    if (lucet_instance_free(NULL) != LUCET_STATUS_NULL_ARGUMENT) {
        fprintf(stderr, "NULL is another status\n");
        return 1;
    }
    printf("2 + 3 = %d\n", (int)at.sum.of.i32);
    lucet_region_config_free(region_config);
    lucet_module_config_free(config);
    return lucet_instance_free(instance) || lucet_region_free(region) ||
           lucet_module_free(module);
}
