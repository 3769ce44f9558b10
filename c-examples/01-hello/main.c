#include <lucet.h>
#include <stdio.h>
#include <stdlib.h>

static void check(lucet_status status, const char *what)
{
    if (status != LUCET_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, lucet_status_name(status), lucet_last_error());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;     /* code: loaded once, shared by all instances */
    lucet_region *region;     /* address space for instances */
    lucet_instance *instance; /* one sandbox: its own memory and globals */
    lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
                         {.of.i32 = 3, .type = LUCET_VAL_I32}};
    lucet_val sum;
    lucet_outcome outcome;

    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_load_file(argc > 1 ? argv[1] : "hello.so", config, &module), "load");
    check(lucet_region_create(NULL, &region), "region");
    check(lucet_instance_create(region, module, &instance), "instance");
    check(lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome), "run");
    if (outcome.kind == LUCET_OUTCOME_RETURNED) {
        printf("2 + 3 = %d\n", sum.of.i32);
    }
    check(lucet_instance_free(instance), "free");
    check(lucet_region_free(region), "free");
    check(lucet_module_free(module), "free");
    lucet_module_config_free(config);
    return outcome.kind == LUCET_OUTCOME_RETURNED ? 0 : 1;
}
