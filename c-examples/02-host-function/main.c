/*
 * Host functions are C functions with real C types. The first two parameters are the calling
 * instance's context and the pointer given at registration; then come the wasm parameters.
 */
#include "../check.h"
#include <stdint.h>

typedef struct shop {
    const double *prices;
    int32_t count;
    int calls;
} shop;

/* shop.price: (i32) -> f64 */
static double price(lucet_vmctx *ctx, void *user_data, int32_t item)
{
    shop *s = user_data;
    s->calls++;
    if (item < 1 || item > s->count) {
        /* The request is over once we return; main sees HOST_ERROR with this code. */
        lucet_vmctx_fail(ctx, 404);
        return 0;
    }
    return s->prices[item - 1];
}

/* env.host_log: (i32, i32) -> (). A guest's addresses are offsets into its memory, and claims. */
static void host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
{
    void *text;
    (void)user_data;
    if (lucet_vmctx_memory_range(ctx, (uint32_t)address, (uint32_t)len, &text) != LUCET_STATUS_OK) {
        lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        return;
    }
    printf("guest says: %.*s\n", (int)len, (const char *)text);
}

/* Loads the artifact with host_log, and price under the given signature (NULL: not at all). */
static lucet_status load(const char *path, const char *price_signature, shop *s, lucet_module **out)
{
    lucet_module_config *config = lucet_module_config_create();
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_add_function(config, "env", "host_log", "(i32, i32) -> ()",
                                           (lucet_host_fn)host_log, NULL),
          "host_log");
    if (price_signature != NULL) {
        check(lucet_module_config_add_function(config, "shop", "price", price_signature,
                                               (lucet_host_fn)price, s),
              "price");
    }
    lucet_status status = lucet_module_load_file(path, config, out);
    lucet_module_config_free(config);
    return status;
}

int main(int argc, char **argv)
{
    const double prices[] = {1.5, 2.25, 10};
    shop s = {.prices = prices, .count = 3, .calls = 0};
    lucet_module *module;
    lucet_region *region;
    lucet_instance *instance;
    lucet_val n, sum;
    lucet_outcome outcome;

    usage(argc, 1, "shop.so");
    check(load(argv[1], "(i32) -> f64", &s, &module), "load");
    check(lucet_region_create(NULL, &region), "region");
    check(lucet_instance_create(region, module, &instance), "instance");

    n = val_i32(3);
    check(lucet_instance_run(instance, "total", &n, 1, &sum, 1, &outcome), "total");
    expect(&outcome, LUCET_OUTCOME_RETURNED, "total");
    printf("total of 3 items: %.2f, price was called %d times\n", sum.of.f64, s.calls);

    /* A host function that fails ends the guest's call; the guest cannot go on as if it had not. */
    n = val_i32(4);
    check(lucet_instance_run(instance, "total", &n, 1, &sum, 1, &outcome), "total");
    expect(&outcome, LUCET_OUTCOME_HOST_ERROR, "total of 4 items");
    printf("total of 4 items: host error %llu\n", (unsigned long long)outcome.value);

    /* After anything but RETURNED or YIELDED an instance must be reset or dropped. */
    check(lucet_instance_reset(instance), "reset");
    check(lucet_instance_run(instance, "lie", NULL, 0, NULL, 0, &outcome), "lie");
    expect(&outcome, LUCET_OUTCOME_TRAPPED, "lie");
    printf("a made-up address: trap code %d\n", (int)outcome.trap_code);

    check(lucet_instance_free(instance), "free");
    check(lucet_module_free(module), "free");

    /* The contract says what the module imports: a wrong registration fails at load, not later. */
    lucet_status status = load(argv[1], "(i64) -> f64", &s, &module);
    printf("registered as (i64) -> f64: status %d\n", (int)status);
    status = load(argv[1], NULL, &s, &module);
    printf("not registered at all: status %d\n", (int)status);
    check(lucet_region_free(region), "free");
    return 0;
}
