/*
 * Development mode: writes the gdb script, then calls a guest function.   debug ARTIFACT SCRIPT
 * The suite stops at here_we_are, sources the script, and stops in the guest by name.
 */
#include <lucet.h>
#include <stdio.h>

void here_we_are(void);
__attribute__((noinline)) void here_we_are(void)
{
    __asm__ volatile("");
}

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
    lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
                         {.of.i32 = 3, .type = LUCET_VAL_I32}};
    lucet_val sum;

    if (argc != 3 || !must("unsigned", lucet_module_config_allow_unsigned(config, true)) ||
        !must("development", lucet_module_config_set_development(config, true)) ||
        !must("look", lucet_module_config_add_function(config, "env", "look", "() -> ()",
                                                       (lucet_host_fn)look, NULL)) ||
        !must("load", lucet_module_load_file(argv[1], config, &module)) ||
        !must("script", lucet_module_write_gdb_script(module, argv[2])) ||
        !must("region", lucet_region_create(NULL, &region)) ||
        !must("instance", lucet_instance_create(region, module, &instance))) {
        return 1;
    }
    here_we_are();
    if (!must("add", lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome))) {
        return 1;
    }
    printf("2 + 3 = %d\n", sum.of.i32);
    return 0;
}
