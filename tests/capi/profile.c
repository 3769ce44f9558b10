/*
 * Development mode: a guest that computes for about a second, for perf to look at.
 *   profile ARTIFACT
 */
#include <lucet.h>
#include <stdio.h>

static void look(lucet_vmctx *ctx, void *user_data)
{
    (void)ctx, (void)user_data;
}

static int must(const char *what, lucet_status got)
{
    if (got != LUCET_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, lucet_status_name(got), lucet_last_error());
    }
    return got == LUCET_STATUS_OK;
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_region *region;
    lucet_module *module;
    lucet_instance *instance;
    lucet_outcome outcome;
    lucet_val turns = {.of.i32 = 300000000, .type = LUCET_VAL_I32};
    lucet_val result;

    if (argc != 2 || !must("unsigned", lucet_module_config_allow_unsigned(config, true)) ||
        !must("development", lucet_module_config_set_development(config, true)) ||
        !must("look", lucet_module_config_add_function(config, "env", "look", "() -> ()",
                                                       (lucet_host_fn)look, NULL)) ||
        !must("load", lucet_module_load_file(argv[1], config, &module)) ||
        !must("region", lucet_region_create(NULL, &region)) ||
        !must("instance", lucet_instance_create(region, module, &instance)) ||
        !must("spin", lucet_instance_run(instance, "spin", &turns, 1, &result, 1, &outcome))) {
        return 1;
    }
    return outcome.kind == LUCET_OUTCOME_RETURNED ? 0 : 1;
}
