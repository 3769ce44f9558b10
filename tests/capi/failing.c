/*
 * A server in a system that fails: what scenario.h does, with a refusal somewhere in it.
 *
 *   failing calls WAY FILES...         for a supervisor that makes system calls fail: it traces the
 *                                      process and counts from one mark to the next
 *   failing memory WAY STEP FILES...   makes each STEP-th allocation fail, alone and with all that
 *                                      follow, in a child process each
 *   failing warm WAY FILES...          counts the allocations of warm requests
 *   failing load ARTIFACT...           loads each of them with no memory left from the first few
 *                                      allocations on
 *
 * FILES: the artifacts works, plugin, store, starts and one that is signed, the public key (itself,
 * not a file), and a name for a file to save to.
 *
 * It says what is left at the end: descriptors, mappings, threads, blocks of memory.
 */
#define _GNU_SOURCE
#include "scenario.h"
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *at, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *at);

/* Allocations asked for while counting, the first one to fail, and whether those after it do. */
static unsigned long asked_for, fail_at, refusals;
static int armed, from_there_on;
/* Blocks that somebody has. */
static long live;

static int refuse(void)
{
    if (!armed) {
        return 0;
    }
    asked_for++;
    if (fail_at == 0 || asked_for < fail_at || (asked_for > fail_at && !from_there_on)) {
        return 0;
    }
    refusals++;
    errno = ENOMEM;
    return 1;
}

static void *counted(void *at)
{
    if (at != NULL) {
        __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
    }
    return at;
}

/* A program's own functions of these names stand in for the C library's everywhere. */
void *malloc(size_t size)
{
    return refuse() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return refuse() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *at, size_t size)
{
    if (refuse()) {
        return NULL;
    }
    return at == NULL ? counted(__libc_malloc(size)) : __libc_realloc(at, size);
}

void *memalign(size_t align, size_t size)
{
    return refuse() ? NULL : counted(__libc_memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **to, size_t align, size_t size)
{
    void *at = memalign(align, size);

    if (at == NULL) {
        return ENOMEM;
    }
    *to = at;
    return 0;
}

void free(void *at)
{
    if (at != NULL) {
        __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
    }
    __libc_free(at);
}

static long entries(const char *directory)
{
    DIR *d = opendir(directory);
    long n = 0;

    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    /* Not itself, nor the names of the directory and the one above. */
    if (d != NULL) {
        closedir(d);
    }
    return n - 2;
}

static long mappings(void)
{
    int file = -1;
    char buffer[4096];
    long n = 0, got;
    FILE *f = fopen("/proc/self/maps", "r");

    if (f == NULL) {
        return file;
    }
    while ((got = (long)fread(buffer, 1, sizeof buffer, f)) > 0) {
        for (long k = 0; k < got; k++) {
            n += buffer[k] == '\n';
        }
    }
    fclose(f);
    return n;
}

static int failed_calls;
static char first_call[200] = "none";
static lucet_status first_status;

static void note_failure(const char *call, lucet_status s)
{
    /* The system has memory again. */
    armed = 0;
    if (failed_calls++ == 0) {
        snprintf(first_call, sizeof first_call, "%s", call);
        first_status = s;
    }
}

static void mark_begin(void)
{
    syscall(SYS_getpgid, 0x10c37);
}

static void mark_end(void)
{
    syscall(SYS_getpgid, 0x10c38);
}

static void arm(void)
{
    armed = failed_calls == 0;
}

static void disarm(void)
{
    armed = 0;
}

static void report(void)
{
    long fds = entries("/proc/self/fd"), threads = entries("/proc/self/task"), maps = mappings();

    printf("left %ld descriptors %ld mappings %ld threads %ld blocks, %d failed: %s: %s\n", fds,
           maps, threads, live, failed_calls, first_call, lucet_status_name(first_status));
    fflush(stdout);
}

/* What a child that plays the scenario answers. */
typedef struct answer {
    long asked_for, refusals, descriptors, mappings, threads, blocks;
    int failures, failed_calls;
    char call[120];
} answer;

static answer play_in_child(const scenario *what, unsigned long at, int onwards)
{
    answer a = {.failures = -1};
    int ends[2], status = 0;
    pid_t child;

    fflush(stdout);
    if (pipe(ends) != 0 || (child = fork()) < 0) {
        perror("fork");
        exit(2);
    }
    if (child == 0) {
        fail_at = at;
        from_there_on = onwards;
        close(ends[0]);
        alarm(60);
        play(what);
        a.asked_for = (long)asked_for;
        a.refusals = (long)refusals;
        a.blocks = live;
        a.descriptors = entries("/proc/self/fd");
        a.threads = entries("/proc/self/task");
        a.mappings = mappings();
        a.failures = failures;
        a.failed_calls = failed_calls;
        memcpy(a.call, first_call, sizeof a.call - 1);
        if (write(ends[1], &a, sizeof a) != (ssize_t)sizeof a) {
            _exit(3);
        }
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &a, sizeof a) != (ssize_t)sizeof a) {
        a.failures = -1;
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    if (status != 0) {
        a.failures = -1;
        printf("allocation %lu%s: the process ended with status %#x\n", at,
               onwards ? " and all after it" : "", (unsigned)status);
    }
    return a;
}

static int memory(const scenario *what, unsigned long step)
{
    answer best = play_in_child(what, 0, 0);
    unsigned long points = 0, refused_calls = 0, went_on = 0;

    if (best.failures != 0 || best.failed_calls != 0) {
        printf("the scenario fails by itself\n");
        return 1;
    }
    for (int onwards = 0; onwards < 2; onwards++) {
        for (unsigned long at = 1; at <= (unsigned long)best.asked_for; at += step) {
            answer a = play_in_child(what, at, onwards);

            points++;
            refused_calls += a.failed_calls > 0;
            went_on += a.failed_calls == 0;
            if (a.refusals == 0 && a.failures >= 0) {
                printf("allocation %lu was not reached\n", at);
                failures++;
            }
            if (a.failures != 0 || a.failed_calls > 1 || a.descriptors != best.descriptors ||
                a.threads != best.threads || a.mappings > best.mappings ||
                a.blocks > best.blocks) {
                printf("allocation %lu%s: %d failures, %d failed calls (%s), descriptors %ld/%ld, "
                       "threads %ld/%ld, mappings %ld/%ld, blocks %ld/%ld\n",
                       at, onwards ? " and all after it" : "", a.failures, a.failed_calls, a.call,
                       a.descriptors, best.descriptors, a.threads, best.threads, a.mappings,
                       best.mappings, a.blocks, best.blocks);
                failures++;
            }
        }
    }
    printf("%s: %ld allocations, %lu failure points: %lu ended in a status, %lu went on\n",
           what->way, best.asked_for, points, refused_calls, went_on);
    return failures != 0;
}

/* Loading with what was taken before memory ran out; a status or a module, never the end. Answers
   how many allocations there were. */
static unsigned long loads(const char *file, unsigned long at)
{
    int status = 0, ends[2];
    unsigned long n = 0;
    pid_t child;

    fflush(stdout);
    child = pipe(ends) == 0 ? fork() : -1;
    if (child == 0) {
        lucet_module_config *c = lucet_module_config_create();
        lucet_module *m = NULL;
        lucet_status s;

        OK(lucet_module_config_allow_unsigned(c, true));
        fail_at = at;
        from_there_on = 1;
        armed = 1;
        s = lucet_module_load_file(file, c, &m);
        armed = 0;
        if (s == LUCET_STATUS_OK) {
            OK(lucet_module_free(m));
        }
        fflush(stdout);
        _exit(failures == 0 && write(ends[1], &asked_for, sizeof asked_for) > 0 ? 0 : 3);
    }
    close(ends[1]);
    if (read(ends[0], &n, sizeof n) != (ssize_t)sizeof n) {
        n = 0;
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    if (status != 0 || n == 0) {
        printf("%s: without memory from allocation %lu on: status %#x\n", file, at,
               (unsigned)status);
        failures++;
    }
    return n;
}

static int load(int n, char **files)
{
    for (int k = 0; k < n; k++) {
        unsigned long all = loads(files[k], 0);

        for (unsigned long at = 1; at <= 16; at++) {
            loads(files[k], at);
            loads(files[k], all * at / 16);
            loads(files[k], all - at);
        }
        printf("%s: %lu allocations\n", files[k], all);
    }
    return failures != 0;
}

static void nothing(void)
{
}

/* Fresh instances of a warm module need no allocation at all, nor does anything they do. */
static int warm(const scenario *what)
{
    server s = {.h = {0}};

    now = what;
    read_bytes(what->artifact);
    start_server(&s);
    load_bytes(&s);
    for (int k = 0; k < 1010; k++) {
        if (k == 10) {
            arm();
            asked_for = 0;
        }
        request(&s);
    }
    disarm();
    printf("%s: %lu allocations in 1000 warm requests\n", what->way, asked_for);
    asked_for = 0;
    for (int k = 0; k < 20; k++) {
        bad_request(&s);
        if (k < 10) {
            asked_for = 0;
        }
        arm();
    }
    disarm();
    /* The description of each trap, which goes with the outcome. */
    printf("%s: %lu allocations in 10 requests that end badly\n", what->way, asked_for);
    end_server(&s);
    return failures != 0;
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    int more = argc > 1 && strcmp(argv[1], "memory") == 0 ? 1 : 0;
    scenario what = {.failed = note_failure, .begin = mark_begin, .end = mark_end, .children = 1};

    if (argc > 2 && strcmp(argv[1], "load") == 0) {
        return load(argc - 2, argv + 2);
    }
    if (argc != 10 + more) {
        return 2;
    }
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    /* One heap, whatever threads there are, so that mappings can be compared. */
    mallopt(M_ARENA_MAX, 1);
    what.way = argv[2];
    what.artifact = argv[3 + more];
    what.plugin = argv[4 + more];
    what.store = argv[5 + more];
    what.starts = argv[6 + more];
    what.signed_one = argv[7 + more];
    what.key = argv[8 + more];
    what.saved = argv[9 + more];
    if (strcmp(argv[1], "calls") == 0) {
        play(&what);
        report();
        return failures != 0;
    }
    what.begin = arm;
    what.end = disarm;
    what.children = 0;
    if (more) {
        return memory(&what, strtoul(argv[3], NULL, 10));
    }
    what.begin = what.end = nothing;
    return warm(&what);
}
