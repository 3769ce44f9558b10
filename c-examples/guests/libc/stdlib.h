#ifndef GUEST_STDLIB_H
#define GUEST_STDLIB_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *p);
__attribute__((noreturn)) void abort(void);
#ifdef __cplusplus
}
#endif
#endif
