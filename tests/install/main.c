/*
 * A program outside the tree: loads an artifact, runs it, prints `2 + 3 = 5`. With -DSTATIC_PLUGIN
 * the module is a part of the program.
 */
#include <lucet.h>
#include <stdio.h>

#ifdef STATIC_PLUGIN
extern const lucet_static_module lucet_artifact_add;
#endif

static lucet_status load(const char *file, lucet_module **module)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_status status;

#ifdef STATIC_PLUGIN
    (void)file;
    status = lucet_module_from_static(&lucet_artifact_add, config, module);
#else
    status = lucet_module_config_allow_unsigned(config, true);
    if (status == LUCET_STATUS_OK) {
        status = lucet_module_load_file(file, config, module);
    }
#endif
    lucet_module_config_free(config);
    return status;
}

int main(int argc, char **argv)
{
    lucet_module *module;
    lucet_region *region;
    lucet_instance *instance;
    lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
                         {.of.i32 = 3, .type = LUCET_VAL_I32}},
              sum;
    lucet_outcome outcome;

    if (load(argc > 1 ? argv[1] : "add.so", &module) || lucet_region_create(NULL, &region) ||
        lucet_instance_create(region, module, &instance) ||
        lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome)) {
        fprintf(stderr, "%s\n", lucet_last_error());
        return 1;
    }
    printf("2 + 3 = %d\n", sum.of.i32);
    return lucet_instance_free(instance) || lucet_region_free(region) ||
           lucet_module_free(module);
}
