/*
 * Every kind of trap arrives as an outcome with a code. The host goes on: after each one the same
 * slot is reset and works again.
 */
#include "../check.h"

static const struct {
    const char *function;
    lucet_trap_code code;
} cases[] = {
    {"unreachable", LUCET_TRAP_UNREACHABLE},
    {"load_outside", LUCET_TRAP_MEMORY_OUT_OF_BOUNDS},
    {"store_far_outside", LUCET_TRAP_MEMORY_OUT_OF_BOUNDS},
    {"call_outside_table", LUCET_TRAP_TABLE_OUT_OF_BOUNDS},
    {"call_null", LUCET_TRAP_INDIRECT_CALL_TO_NULL},
    {"call_wrong_type", LUCET_TRAP_BAD_SIGNATURE},
    {"divide_by_zero", LUCET_TRAP_INTEGER_DIVISION_BY_ZERO},
    {"divide_overflow", LUCET_TRAP_INTEGER_OVERFLOW},
    {"convert_nan", LUCET_TRAP_BAD_CONVERSION_TO_INTEGER},
    {"convert_too_large", LUCET_TRAP_INTEGER_OVERFLOW},
    {"recurse_forever", LUCET_TRAP_STACK_OVERFLOW},
};

/* How many results the export has; the API wants exactly as many places. */
static size_t results_of(lucet_module *module, const char *function)
{
    lucet_func ignored;
    return lucet_module_find(module, function, "() -> i32", &ignored) == LUCET_STATUS_OK ? 1 : 0;
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;
    lucet_region *region;
    lucet_instance *instance;
    int failures = 0;

    usage(argc, 1, "traps.so");
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_load_file(argv[1], config, &module), "load");
    check(lucet_region_create(NULL, &region), "region");
    check(lucet_instance_create(region, module, &instance), "instance");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *function = cases[i].function;
        lucet_outcome outcome;
        lucet_val result;
        char where[64] = "?";
        size_t len;

        check(lucet_instance_run(instance, function, NULL, 0, &result,
                                 results_of(module, function), &outcome),
              function);
        expect(&outcome, LUCET_OUTCOME_TRAPPED, function);
        if (outcome.function != UINT32_MAX) {
            lucet_instance_function_name(instance, outcome.function, where, sizeof where, &len);
        }
        printf("%-18s  trap %d (%s) in %s\n", function, (int)outcome.trap_code,
               lucet_trap_name(outcome.trap_code), where);
        failures += outcome.trap_code != cases[i].code;

        /* A faulted instance refuses to run; reset makes it as fresh as a new one. */
        check(lucet_instance_reset(instance), "reset");
        check(lucet_instance_run(instance, "works", NULL, 0, &result, 1, &outcome), "works");
        expect(&outcome, LUCET_OUTCOME_RETURNED, "works");
        failures += result.of.i32 != 42;
    }
    printf("%s\n", failures == 0 ? "the host goes on" : "some codes are wrong");

    check(lucet_instance_free(instance), "free");
    check(lucet_region_free(region), "free");
    check(lucet_module_free(module), "free");
    lucet_module_config_free(config);
    return failures == 0 ? 0 : 1;
}
