/*
 * A guest limited by steps.   fuel COUNTED PLAIN
 * Both artifacts export "down": counts its argument down to 0 and returns 7; COUNTED was compiled
 * with --fuel, and imports "env" "work", which takes 100 units.
 */
#include "env.h"

static void work(lucet_vmctx *ctx, void *user_data)
{
    (void)user_data;
    OK(lucet_vmctx_charge_fuel(ctx, 100));
}

static lucet_module *load(const char *path, uint64_t fuel, lucet_status expected)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module = NULL;
    OK(lucet_module_config_allow_unsigned(config, true));
    OK(lucet_module_config_add_function(config, "env", "work", "() -> ()", (lucet_host_fn)work,
                                        NULL));
    if (fuel != 0) {
        OK(lucet_module_config_set_fuel(config, fuel));
    }
    CHECK(lucet_module_load_file(path, config, &module) == expected);
    lucet_module_config_free(config);
    return module;
}

static void counted(lucet_region *region, lucet_module *module)
{
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_val n = i32(100), seven;
    int64_t left = -1;
    int stops = 0;

    OK(lucet_instance_create(region, module, &i));
    OK(lucet_instance_fuel(i, &left));
    CHECK(left == 1000);
    OK(lucet_instance_set_fuel(i, 50));
    OK(lucet_instance_run(i, "down", &n, 1, &seven, 1, &outcome));
    while (outcome.kind == LUCET_OUTCOME_OUT_OF_FUEL) {
        stops++;
        CHECK(outcome.value == 0 && outcome.trap_code == LUCET_TRAP_NONE);
        FAILS(lucet_instance_run(i, "down", &n, 1, &seven, 1, &outcome),
              LUCET_STATUS_WRONG_STATE, "suspended");
        OK(lucet_instance_add_fuel(i, 50));
        OK(lucet_instance_resume(i, 0, &seven, 1, &outcome));
    }
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && seven.of.i32 == 7);
    /* A call of work; five operators a round; the result. */
    OK(lucet_instance_fuel(i, &left));
    CHECK(50 * (stops + 1) - left == 64 + 100 + 100 * 5 + 1 && stops > 10);
    OK(lucet_instance_free(i));
    FAILS(lucet_instance_set_fuel(i, 1), LUCET_STATUS_INVALID_HANDLE, "freed");
}

int main(int argc, char **argv)
{
    lucet_region *region;
    lucet_instance *i;
    int64_t left = 5;

    if (argc != 3) {
        return 2;
    }
    OK(lucet_region_create(NULL, &region));
    lucet_module *with = load(argv[1], 1000, LUCET_STATUS_OK);
    counted(region, with);

    CHECK(load(argv[2], 1000, LUCET_STATUS_UNSUPPORTED) == NULL);
    lucet_module *without = load(argv[2], 0, LUCET_STATUS_OK);
    OK(lucet_instance_create(region, without, &i));
    FAILS(lucet_instance_set_fuel(i, 1), LUCET_STATUS_UNSUPPORTED, "--fuel");
    FAILS(lucet_instance_add_fuel(i, 1), LUCET_STATUS_UNSUPPORTED, "--fuel");
    FAILS(lucet_instance_fuel(i, &left), LUCET_STATUS_UNSUPPORTED, "--fuel");
    CHECK(left == 0);
    OK(lucet_instance_free(i));

    FAILS(lucet_instance_fuel(NULL, &left), LUCET_STATUS_NULL_ARGUMENT, "instance");
    FAILS(lucet_instance_fuel(i, NULL), LUCET_STATUS_NULL_ARGUMENT, "left");
    FAILS(lucet_instance_set_fuel(NULL, 1), LUCET_STATUS_NULL_ARGUMENT, "instance");
    FAILS(lucet_instance_add_fuel(NULL, 1), LUCET_STATUS_NULL_ARGUMENT, "instance");
    FAILS(lucet_module_config_set_fuel(NULL, 1), LUCET_STATUS_NULL_ARGUMENT, "config");
    FAILS(lucet_vmctx_charge_fuel(NULL, 1), LUCET_STATUS_NULL_ARGUMENT, "ctx");
    OK(lucet_module_free(with));
    OK(lucet_module_free(without));
    OK(lucet_region_free(region));
    return failures != 0;
}
