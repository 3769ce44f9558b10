/*
 * Two modules that work as one: the plugin imports memory, function and global of the library.
 */
#include "../check.h"

static void host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
{
    void *text;

    (void)user_data;
    /* The memory is the library's; to the host function it is the plugin's all the same. */
    if (lucet_vmctx_memory_range(ctx, (uint32_t)address, (uint32_t)len, &text) !=
        LUCET_STATUS_OK) {
        lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        return;
    }
    printf("log: %.*s\n", (int)len, (const char *)text);
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *library, *plugin;
    lucet_region *region;
    lucet_group *group;
    lucet_instance *instance;
    lucet_outcome outcome;
    lucet_val changed;

    usage(argc, 2, "library.so plugin.so");
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_add_function(config, "host", "log", "(i32, i32) -> ()",
                                           (lucet_host_fn)host_log, NULL),
          "config");
    check(lucet_module_config_set_linkable(config, true), "config");
    check(lucet_module_load_file(argv[1], config, &library), "library");
    check(lucet_module_load_file(argv[2], config, &plugin), "plugin");
    check(lucet_region_create(NULL, &region), "region");

    /* One group for each request, as an instance would be. */
    for (int request = 1; request <= 2; request++) {
        check(lucet_group_create(region, &group), "group");
        check(lucet_group_instantiate(group, "library", library, NULL), "library");
        check(lucet_group_instantiate(group, NULL, plugin, &instance), "plugin");
        check(lucet_instance_run(instance, "on_request", NULL, 0, &changed, 1, &outcome), "run");
        expect(&outcome, LUCET_OUTCOME_RETURNED, "on_request");
        printf("request %d: %d letters changed\n", request, (int)changed.of.i32);
        check(lucet_group_free(group), "free");
    }

    check(lucet_region_free(region), "free");
    check(lucet_module_free(plugin), "free");
    check(lucet_module_free(library), "free");
    lucet_module_config_free(config);
    return 0;
}
