/*
 * The plugin interface of these examples, seen from the guest.
 *
 *   host                                   guest
 *   ────                                   ─────
 *   p = alloc(len)                     ──► reserves len bytes
 *   copies the request to p
 *   r = on_request(p, len)             ──► returns the answer as (address << 32 | length)
 *   copies the answer out
 *   drops the instance                     nothing to free: the next request gets a fresh memory
 *
 * The one thing a plugin may ask of its host is env.host_log.
 */
#ifndef PLUGIN_H
#define PLUGIN_H
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

#ifdef __cplusplus
extern "C" {
#endif

IMPORT("env", "host_log") void host_log(const char *text, size_t len);

EXPORT("alloc") void *alloc(size_t len);
EXPORT("on_request") uint64_t on_request(const char *request, size_t len);

static inline uint64_t answer(const char *text, size_t len)
{
    return (uint64_t)(uintptr_t)text << 32 | (uint32_t)len;
}

#ifdef __cplusplus
}
#endif
#endif
