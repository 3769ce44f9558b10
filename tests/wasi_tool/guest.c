/*
 * What tests/wasi_tool.rs has lucet-wasi run: the first argument says what to do. The lines of
 * `divide` are counted by a test.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) static int divide(int a, int b)
{
    return a / b; /* line 13 */
}

__attribute__((noinline)) static int recurse(int n)
{
    return n == 0 ? 1 : recurse(n + 1) * 3 / (n | 1);
}

static int copy(const char *from)
{
    FILE *f = fopen(from, "r");
    int c;

    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", from, strerror(errno));
        return 1;
    }
    while ((c = getc(f)) != EOF) {
        putchar(c);
    }
    return fclose(f);
}

static int write_to(const char *path)
{
    FILE *f = fopen(path, "w");

    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    fputs("written\n", f);
    return fclose(f);
}

/* A library function, for --invoke. */
__attribute__((export_name("sum"))) double sum(int a, long long b, float c, double d)
{
    return a + (double)b + (double)c + d;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *arg = argc > 2 ? argv[2] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(what, "args") == 0) {
        for (int i = 0; i < argc; i++) {
            puts(argv[i]);
        }
    } else if (strcmp(what, "env") == 0) {
        const char *value = getenv(arg);
        puts(value == NULL ? "(none)" : value);
    } else if (strcmp(what, "exit") == 0) {
        exit(atoi(arg));
    } else if (strcmp(what, "cat") == 0) {
        return copy(arg);
    } else if (strcmp(what, "write") == 0) {
        return write_to(arg);
    } else if (strcmp(what, "upper") == 0) {
        for (int c; (c = getchar()) != EOF;) {
            putchar(c >= 'a' && c <= 'z' ? c - 32 : c);
        }
    } else if (strcmp(what, "spin") == 0) {
        puts("ready");
        for (volatile int i = 0;; i++) {
        }
    } else if (strcmp(what, "wait") == 0) {
        puts("ready");
        return getchar();
    } else if (strcmp(what, "sleep") == 0) {
        puts("ready");
        sleep(1000);
    } else if (strcmp(what, "divide") == 0) {
        printf("%d\n", divide(argc, atoi(arg)));
    } else if (strcmp(what, "abort") == 0) {
        abort();
    } else if (strcmp(what, "outside") == 0) {
        printf("%d\n", *(volatile int *)0xfffffff0u);
    } else if (strcmp(what, "recurse") == 0) {
        printf("%d\n", recurse(1));
    } else if (strcmp(what, "grow") == 0) {
        size_t blocks = 0;
        for (volatile char *p; (p = malloc(1 << 20)) != NULL; blocks++) {
            *p = 1;
        }
        printf("%zu\n", blocks);
    } else if (strcmp(what, "random") == 0) {
        unsigned long long n = 0;
        getentropy(&n, sizeof n);
        printf("%llx\n", n);
    } else {
        puts("nothing to do");
    }
    return 0;
}
