/*
 * The host's side of the plugin interface that guests/plugin.h describes.
 */
#ifndef EXAMPLES_PLUGIN_HOST_H
#define EXAMPLES_PLUGIN_HOST_H
#include "check.h"

/* A loaded plugin with its two functions looked up once, so that no request searches by name. */
typedef struct plugin {
    lucet_module *module;
    lucet_func alloc;
    lucet_func on_request;
} plugin;

typedef void (*log_line_fn)(const char *text, size_t len);

/*
 * env.host_log. The address and length come from the plugin, so they are claims, not facts:
 * lucet_vmctx_memory_range checks them.
 */
static void plugin_host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
{
    log_line_fn log_line = *(log_line_fn *)user_data;
    void *text;
    if (lucet_vmctx_memory_range(ctx, (uint32_t)address, (uint32_t)len, &text) != LUCET_STATUS_OK) {
        lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        return;
    }
    log_line(text, (uint32_t)len);
}

/* What plugins are loaded with. `log_line` must outlive them. */
static inline lucet_module_config *plugin_config(log_line_fn *log_line)
{
    lucet_module_config *config = lucet_module_config_create();
    check(lucet_module_config_add_function(config, "env", "host_log", "(i32, i32) -> ()",
                                           (lucet_host_fn)plugin_host_log, log_line),
          "host_log");
    /* We built these artifacts ourselves, a moment ago. A server pins or verifies its own. */
    check(lucet_module_config_allow_unsigned(config, true), "unsigned");
    return config;
}

/* Loads a plugin. `log_line` must outlive it. */
static inline lucet_status plugin_load(const char *path, log_line_fn *log_line, plugin *out)
{
    lucet_module_config *config = plugin_config(log_line);
    lucet_status status = lucet_module_load_file(path, config, &out->module);
    lucet_module_config_free(config);
    if (status != LUCET_STATUS_OK) {
        return status;
    }
    status = lucet_module_find(out->module, "alloc", "(i32) -> i32", &out->alloc);
    if (status == LUCET_STATUS_OK) {
        status =
            lucet_module_find(out->module, "on_request", "(i32, i32) -> i64", &out->on_request);
    }
    return status;
}

/*
 * Has an instance answer a request. At most `cap` bytes of the answer are copied to `answer`;
 * `*len` is its whole length. A status is a fault of the host or its environment; what the plugin
 * did is in `*outcome`, and only LUCET_OUTCOME_RETURNED means that there is an answer.
 */
static inline lucet_status plugin_call(lucet_instance *instance, lucet_func alloc,
                                       lucet_func on_request, const char *request,
                                       size_t request_len, char *answer, size_t cap, size_t *len,
                                       lucet_outcome *outcome)
{
    lucet_val args[2] = {val_i32((int32_t)request_len), val_i32(0)};
    lucet_val result;

    *len = 0;
    lucet_status status = lucet_instance_run_func(instance, alloc, args, 1, &result, 1, outcome);
    if (status != LUCET_STATUS_OK || outcome->kind != LUCET_OUTCOME_RETURNED) {
        return status;
    }
    args[0] = result;
    args[1] = val_i32((int32_t)request_len);
    status = lucet_instance_memory_write(instance, (uint32_t)result.of.i32, request, request_len);
    if (status != LUCET_STATUS_OK) {
        return status;
    }
    status = lucet_instance_run_func(instance, on_request, args, 2, &result, 1, outcome);
    if (status != LUCET_STATUS_OK || outcome->kind != LUCET_OUTCOME_RETURNED) {
        return status;
    }
    uint64_t packed = (uint64_t)result.of.i64;
    *len = (uint32_t)packed;
    return lucet_instance_memory_read(instance, packed >> 32, answer, *len < cap ? *len : cap);
}

/* Answers one request with a fresh instance, as plugin_call does. */
static inline lucet_status plugin_answer(lucet_region *region, const plugin *p, const char *request,
                                         size_t request_len, char *answer, size_t cap, size_t *len,
                                         lucet_outcome *outcome)
{
    lucet_instance *instance;

    *len = 0;
    lucet_status status = lucet_instance_create(region, p->module, &instance);
    if (status != LUCET_STATUS_OK) {
        return status;
    }
    status = plugin_call(instance, p->alloc, p->on_request, request, request_len, answer, cap, len,
                         outcome);
    lucet_instance_free(instance);
    return status;
}
#endif
