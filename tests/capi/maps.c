/*
 * No mapping of the process is ever writable and executable: looked at after loading, from inside a
 * host function, after a trap, and after everything is freed.   maps ARTIFACT
 */
#include <lucet.h>
#include <stdio.h>
#include <string.h>

static int looks, bad;

static void look_at_maps(const char *when)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL) {
        perror("/proc/self/maps");
        bad++;
        return;
    }
    looks++;
    while (fgets(line, sizeof line, maps) != NULL) {
        /* "55d0c0a00000-55d0c0a01000 rwxp 00000000 ..." */
        const char *rights = strchr(line, ' ');
        if (rights != NULL && rights[2] == 'w' && rights[3] == 'x') {
            printf("%s: %s", when, line);
            bad++;
        }
    }
    fclose(maps);
}

static void look(lucet_vmctx *ctx, void *user_data)
{
    (void)ctx, (void)user_data;
    look_at_maps("in a host function");
}

static void must(const char *what, lucet_status got)
{
    if (got != LUCET_STATUS_OK) {
        printf("%s: %s: %s\n", what, lucet_status_name(got), lucet_last_error());
        bad++;
    }
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_region *region;
    lucet_module *module;
    lucet_instance *instance;
    lucet_outcome outcome;
    lucet_val result;

    if (argc != 2) {
        return 2;
    }
    must("unsigned", lucet_module_config_allow_unsigned(config, true));
    must("look", lucet_module_config_add_function(config, "env", "look", "() -> ()",
                                                  (lucet_host_fn)look, NULL));
    must("load", lucet_module_load_file(argv[1], config, &module));
    must("region", lucet_region_create(NULL, &region));
    if (bad != 0) {
        return 1;
    }
    look_at_maps("after loading");
    must("instance", lucet_instance_create(region, module, &instance));
    look_at_maps("with an instance");
    must("looks", lucet_instance_run(instance, "looks", NULL, 0, NULL, 0, &outcome));
    must("outside", lucet_instance_run(instance, "outside", NULL, 0, &result, 1, &outcome));
    if (outcome.kind != LUCET_OUTCOME_TRAPPED) {
        printf("an access outside memory did not trap\n");
        bad++;
    }
    look_at_maps("after a trap");
    must("reset", lucet_instance_reset(instance));
    look_at_maps("after a reset");
    must("free", lucet_instance_free(instance));
    must("free", lucet_region_free(region));
    must("free", lucet_module_free(module));
    lucet_module_config_free(config);
    look_at_maps("after freeing");
    printf("%d looks, %d mappings writable and executable\n", looks, bad);
    return looks == 6 && bad == 0 ? 0 : 1;
}
