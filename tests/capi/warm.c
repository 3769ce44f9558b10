/*
 * Requests in fresh instances, with marks around the warm ones for whoever counts system calls:
 *
 *   warm ARTIFACT WAY REQUESTS
 *
 * WAY is "first-touch" or "copy": how used slots become fresh ones. Each request calls a host
 * function and writes to memory; each has a time limit; every hundredth traps out of bounds, and
 * leaves a backtrace.
 */
#include "env.h"
#include <unistd.h>

static void mark(const char *text)
{
    if (write(2, text, strlen(text)) < 0) {
        failures++;
    }
}

static void requests(lucet_region *region, lucet_module *module, int n)
{
    for (int k = 0; k < n; k++) {
        lucet_instance *i = NULL;
        lucet_outcome outcome;
        lucet_val result;
        int traps = k % 100 == 99;

        OK(lucet_instance_create(region, module, &i));
        OK(lucet_instance_set_time_limit(i, 1000000000000));
        OK(lucet_instance_memory_write(i, 100, &k, sizeof k));
        OK(lucet_instance_run(i, traps ? "load" : "notes", NULL, 0, &result, 1, &outcome));
        CHECK(outcome.kind == (traps ? LUCET_OUTCOME_TRAPPED : LUCET_OUTCOME_RETURNED));
        OK(lucet_instance_free(i));
    }
}

int main(int argc, char **argv)
{
    host h = {0};
    lucet_module_config *config = env_config(&h);
    lucet_region_config *slots = lucet_region_config_create();
    lucet_module *module = NULL;
    lucet_region *region = NULL;

    if (argc != 4) {
        return 2;
    }
    OK(lucet_region_config_set_first_touch(slots, strcmp(argv[2], "first-touch") == 0));
    OK(lucet_region_config_set_backtrace(slots, true));
    OK(lucet_region_create(slots, &region));
    OK(lucet_module_load_file(argv[1], config, &module));
    requests(region, module, 1000);
    mark("warm\n");
    requests(region, module, atoi(argv[3]));
    mark("done\n");
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
    lucet_region_config_free(slots);
    lucet_module_config_free(config);
    return failures == 0 ? 0 : 1;
}
