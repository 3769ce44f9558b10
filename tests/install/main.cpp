// The same from C++.
#include <cstdio>
#include <lucet.h>

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module = nullptr;
    lucet_region *region = nullptr;
    lucet_instance *instance = nullptr;
    lucet_val args[2] = {}, sum = {};
    lucet_outcome outcome = {};

    for (int i = 0; i < 2; i++) {
        args[i].of.i32 = 2 + i;
        args[i].type = LUCET_VAL_I32;
    }
    if (lucet_module_config_allow_unsigned(config, true) ||
        lucet_module_load_file(argc > 1 ? argv[1] : "add.so", config, &module) ||
        lucet_region_create(nullptr, &region) ||
        lucet_instance_create(region, module, &instance) ||
        lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome)) {
        std::fprintf(stderr, "%s\n", lucet_last_error());
        return 1;
    }
    std::printf("2 + 3 = %d\n", sum.of.i32);
    lucet_module_config_free(config);
    return lucet_instance_free(instance) || lucet_region_free(region) ||
           lucet_module_free(module);
}
