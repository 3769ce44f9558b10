/*
 * Plugins that are a part of the program: one file to deploy, and nothing that could be missing,
 * replaced or of another version when it starts.
 */
#include "../check.h"
#include <string.h>

/* `lucetc shipping.wat --emit obj` wrote shipping.o, which defines this. */
extern const lucet_static_module lucet_artifact_shipping;
extern const lucet_static_module lucet_artifact_discount;

static const struct {
    const char *name;
    const lucet_static_module *module;
    int32_t argument;
} plugins[] = {
    {"shipping", &lucet_artifact_shipping, 2300},
    {"discount", &lucet_artifact_discount, 2500},
};

/* How many of this process's mappings are of a file with this in its name. */
static int mapped(const char *name)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;

    while (maps && fgets(line, sizeof line, maps)) {
        n += strstr(line, name) != NULL;
    }
    if (maps) {
        fclose(maps);
    }
    return n;
}

int main(void)
{
    lucet_region *region;

    check(lucet_region_create(NULL, &region), "region");
    for (size_t i = 0; i < sizeof plugins / sizeof plugins[0]; i++) {
        lucet_val argument = val_i32(plugins[i].argument), price;
        lucet_module *module;
        lucet_instance *instance;
        lucet_outcome outcome;

        /* No configuration: nobody has to vouch for what is a part of the program. */
        check(lucet_module_from_static(plugins[i].module, NULL, &module), plugins[i].name);
        check(lucet_instance_create(region, module, &instance), "instance");
        check(lucet_instance_run(instance, "price", &argument, 1, &price, 1, &outcome), "run");
        expect(&outcome, LUCET_OUTCOME_RETURNED, plugins[i].name);
        printf("%s(%d) = %d cents\n", plugins[i].name, (int)argument.of.i32, (int)price.of.i32);
        check(lucet_instance_free(instance), "free");
        check(lucet_module_free(module), "free");
    }
    check(lucet_region_free(region), "free");
    printf("mappings of liblucet.so: %d, of shipping.so: %d\n", mapped("liblucet"),
           mapped("shipping"));
    return 0;
}
