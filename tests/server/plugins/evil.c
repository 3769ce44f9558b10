/* Does what its configuration says, most of it bad. */
#include "http.h"

static char config[64];
static volatile u32 sink;
static char block[65536];

static int is(const char *what)
{
    u32 i;
    for (i = 0; what[i] && config[i] == what[i]; i++) {
    }
    return what[i] == 0 && config[i] == 0;
}

__attribute__((noinline)) static u32 spin(void)
{
    for (;;) {
        sink++;
    }
}

__attribute__((noinline)) static u32 recurse(u32 n)
{
    char frame[256];
    if (sink == 12345) {
        return 0; /* never, but compilers do not know */
    }
    frame[n & 255] = (char)n;
    return recurse(n + 1) + (u32)frame[(n * 7) & 255];
}

static void eat(void)
{
    while (__builtin_wasm_memory_grow(0, 16) != (unsigned long)-1) {
    }
    __builtin_trap();
}

EXPORT(handle_request) u64 handle_request(void)
{
    u32 i, n = get_config(config, sizeof config - 1);

    config[n < sizeof config ? n : 0] = 0;

    if (is("loop")) {
        spin();
    } else if (is("spin-10ms")) {
        for (i = 0; i < 10000000; i++) {
            sink++;
        }
    } else if (is("trap")) {
        __builtin_trap();
    } else if (is("out-of-bounds")) {
        sink = *(volatile u32 *)0xfffffff0u;
    } else if (is("stack")) {
        sink = recurse(1);
    } else if (is("memory")) {
        eat();
    } else if (is("inject-value")) {
        SET(RESPONSE, "X-A", "a\r\nX-Injected: yes");
    } else if (is("inject-name")) {
        SET(RESPONSE, "X-A: yes\r\nX-B", "b");
    } else if (is("pointer")) {
        write_body(RESPONSE, (const char *)0xfffffff0u, 100);
    } else if (is("status")) {
        set_status_code(101);
    } else if (is("head")) {
        set_method("HEAD", 4);
    } else if (is("endless-body")) {
        for (;;) {
            write_body(RESPONSE, block, sizeof block);
        }
    } else if (is("endless-log")) {
        for (i = 0; i < 100000; i++) {
            log_message(0, "once more", 9);
        }
    } else if (is("endless-address")) {
        for (;;) {
            sink += get_source_addr(block, sizeof block);
        }
    } else if (is("endless-uri")) {
        for (;;) {
            set_uri("/x", 2);
        }
    } else if (is("endless-headers")) {
        for (;;) {
            add_header_value(RESPONSE, "X-A", 3, "a", 1);
        }
    }

    SET(RESPONSE, "Content-Type", "text/plain");
    WRITE("survived\n");
    return RESPOND;
}
