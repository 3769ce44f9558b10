/*
 * The library itself. Compiled with -fno-builtin, so that the compiler does not turn the loop
 * inside memcpy into a call of memcpy.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536u

extern unsigned char __heap_base; /* set by the linker: first byte after data and stack */

static uintptr_t next;

/* Each block is preceded by its size, which realloc needs. */
void *malloc(size_t size)
{
    if (next == 0) {
        next = (uintptr_t)&__heap_base;
    }
    uintptr_t block = (next + sizeof(size_t) + 15) & ~(uintptr_t)15;
    uintptr_t end = block + size;
    if (block < next || end < block) {
        return NULL; /* the address space is used up */
    }
    uintptr_t have = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > have) {
        size_t pages = (end - have + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
            return NULL; /* the contract's maximum */
        }
    }
    next = end;
    ((size_t *)block)[-1] = size;
    return (void *)block;
}

void *realloc(void *old, size_t size)
{
    size_t have = old == NULL ? 0 : ((size_t *)old)[-1];
    if (size <= have) {
        return old;
    }
    void *block = malloc(size);
    if (block != NULL && have != 0) {
        memcpy(block, old, have);
    }
    return block;
}

void free(void *p)
{
    (void)p; /* the instance ends with its request */
}

void abort(void)
{
    __builtin_trap();
}

void *memcpy(void *dst, const void *src, size_t n)
{
    unsigned char *d = dst;
    const unsigned char *s = src;
    while (n-- > 0) {
        *d++ = *s++;
    }
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    unsigned char *d = dst;
    const unsigned char *s = src;
    if (d <= s) {
        return memcpy(dst, src, n);
    }
    while (n-- > 0) {
        d[n] = s[n];
    }
    return dst;
}

void *memset(void *dst, int byte, size_t n)
{
    unsigned char *d = dst;
    while (n-- > 0) {
        *d++ = (unsigned char)byte;
    }
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i]) {
            return x[i] - y[i];
        }
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n] != '\0') {
        n++;
    }
    return n;
}
