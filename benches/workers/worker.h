/*
 * What the measuring programs in C share. A program is a list of rows; each row does `n` of one
 * operation and says how many nanoseconds that took.
 *
 *   PROGRAM ... --rows [WORD...]   measures its rows by itself and prints a table
 *   PROGRAM ... --serve            answers requests, so that rounds of several engines alternate
 *
 * A request is a line `N ROW`, the answer a line with nanoseconds, or `?` for an unknown row. The
 * word `disturbed` behind the nanoseconds says that they should not count.
 *
 * Rows of two processes need a second one: a twin, forked before anything else is set up, that does
 * what the first does at the same time.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct bench_row {
    const char *name;
    /* Does `n` operations; returns the nanoseconds that they took, preparation not included. */
    double (*run)(long n);
} bench_row;

static inline double bench_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/*
 * Time that this thread was on a processor, in the kernel included: what other processes of a busy
 * machine use is not in it. For everything that happens on one thread and never waits.
 */
static inline double bench_now(void)
{
    return bench_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* Time as it passes: for what two threads do. */
static inline double bench_wall(void)
{
    return bench_clock(CLOCK_MONOTONIC);
}

/* How often the processor was taken from this thread. */
static inline long bench_preempted(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static inline int bench_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- two at a time --------------------------------------------------------------------------- */

/* Shared by a process and its twin, and by two threads. */
typedef struct bench_pair {
    int arrived;
    double (*run)(long n);
    long n;
    double time[2];
    long preempted[2];
    bool done;
} bench_pair;

static bench_pair *bench_shared;
/* Whether one of the two lost its processor in the last row: then it says nothing. */
static bool bench_disturbed;
static int bench_twin_pipe[2];

/* One of two: waits for the other, then runs. */
static inline void bench_half(bench_pair *pair, int which)
{
    __atomic_fetch_add(&pair->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&pair->arrived, __ATOMIC_ACQUIRE) < 2) {
    }
    long before = bench_preempted();
    double begin = bench_wall();
    pair->run(pair->n);
    pair->time[which] = bench_wall() - begin;
    pair->preempted[which] = bench_preempted() - before;
}

/* Nanoseconds of n operations at the rate that both have together. */
static inline double bench_together(const bench_pair *pair)
{
    bench_disturbed = pair->preempted[0] + pair->preempted[1] > 0;
    return 1 / (1 / pair->time[0] + 1 / pair->time[1]);
}

static void *bench_second_thread(void *pair)
{
    bench_half(pair, 1);
    return NULL;
}

static inline double bench_two_threads(double (*run)(long), long n)
{
    bench_pair pair = {.run = run, .n = n};
    pthread_t thread;
    if (pthread_create(&thread, NULL, bench_second_thread, &pair) != 0) {
        fprintf(stderr, "no second thread\n");
        exit(1);
    }
    bench_half(&pair, 0);
    pthread_join(thread, NULL);
    return bench_together(&pair);
}

/* `run` is at the same address in the twin, which is a copy of this process. */
static inline double bench_two_processes(double (*run)(long), long n)
{
    *bench_shared = (bench_pair){.run = run, .n = n};
    if (write(bench_twin_pipe[1], "", 1) != 1) {
        fprintf(stderr, "the twin is gone\n");
        exit(1);
    }
    bench_half(bench_shared, 0);
    while (!__atomic_load_n(&bench_shared->done, __ATOMIC_ACQUIRE)) {
        usleep(100);
    }
    return bench_together(bench_shared);
}

/* Never returns in the twin. */
static inline void bench_fork_twin(void (*prepare)(char **), char **arguments)
{
    bench_shared =
        mmap(NULL, sizeof *bench_shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bench_shared == MAP_FAILED || pipe(bench_twin_pipe) != 0) {
        perror("twin");
        exit(1);
    }
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (child > 0) {
        close(bench_twin_pipe[0]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        exit(0);
    }
    close(bench_twin_pipe[1]);
    prepare(arguments);
    char byte;
    while (read(bench_twin_pipe[0], &byte, 1) == 1) {
        bench_half(bench_shared, 1);
        __atomic_store_n(&bench_shared->done, true, __ATOMIC_RELEASE);
    }
    exit(0);
}

/* ---- measuring alone ------------------------------------------------------------------------- */

enum { BENCH_BATCHES = 41, BENCH_FEWEST = 7, BENCH_MAX_ROWS = 64 };
static const double BENCH_BATCH_NS = 2e6;
static const double BENCH_TABLE_NS = 10e9;

static inline bool bench_wanted(const char *name, char **words)
{
    if (strncmp(name, "checksum ", 9) == 0 || strncmp(name, "size of ", 8) == 0 ||
        strncmp(name, "count: ", 7) == 0) {
        return false; /* these are no times */
    }
    for (char **w = words; *w; w++) {
        if (strstr(name, *w)) {
            return true;
        }
    }
    return !*words;
}

/* Batches of all rows in turns, so that a disturbance of the machine meets every row. */
static inline void bench_table(const bench_row *rows, size_t count, char **words)
{
    size_t wanted = 0;
    for (size_t r = 0; r < count; r++) {
        wanted += bench_wanted(rows[r].name, words);
    }
    if (wanted == 0) {
        fprintf(stderr, "no row contains one of these words; there are:\n");
        for (size_t r = 0; r < count; r++) {
            fprintf(stderr, "  %s\n", rows[r].name);
        }
        exit(2);
    }
    static double times[BENCH_MAX_ROWS][BENCH_BATCHES];
    long n[BENCH_MAX_ROWS] = {0};
    for (size_t r = 0; r < count && r < BENCH_MAX_ROWS; r++) {
        if (bench_wanted(rows[r].name, words)) {
            double once = rows[r].run(64) / 64;
            once = rows[r].run(64) / 64;
            n[r] = once > 0 && BENCH_BATCH_NS / once > 16 ? (long)(BENCH_BATCH_NS / once) : 16;
        }
    }
    double begin = bench_wall();
    int batches = 0;
    while (batches < BENCH_BATCHES &&
           (batches < BENCH_FEWEST || bench_wall() - begin < BENCH_TABLE_NS)) {
        for (size_t r = 0; r < count && r < BENCH_MAX_ROWS; r++) {
            if (n[r] > 0) {
                times[r][batches] = rows[r].run(n[r]) / (double)n[r];
            }
        }
        batches++;
    }
    printf("%-44s %10s %10s %8s\n", "nanoseconds", "median", "least", "spread");
    for (size_t r = 0; r < count && r < BENCH_MAX_ROWS; r++) {
        if (n[r] > 0) {
            double *t = times[r];
            qsort(t, (size_t)batches, sizeof *t, bench_ascending);
            double median = t[batches / 2];
            double spread = (t[batches * 3 / 4] - t[batches / 4]) / median;
            printf("%-44s %10.1f %10.1f %7.1f%%\n", rows[r].name, median, t[0], spread * 100);
        }
    }
}

/* ---- measuring on request -------------------------------------------------------------------- */

static inline void bench_serve(const bench_row *rows, size_t count)
{
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        char *name;
        long n = strtol(line, &name, 10);
        name += *name == ' ';
        name[strcspn(name, "\n")] = '\0';
        const bench_row *row = NULL;
        for (size_t r = 0; r < count; r++) {
            row = strcmp(rows[r].name, name) == 0 ? &rows[r] : row;
        }
        if (row && n > 0) {
            bench_disturbed = false;
            double time = row->run(n);
            printf("%.1f%s\n", time, bench_disturbed ? " disturbed" : "");
        } else {
            puts("?");
        }
        fflush(stdout);
    }
}

/* `arguments` of the program up to --rows or --serve go to `prepare`. */
static inline int bench_main(char **argv, void (*prepare)(char **), const bench_row *rows,
                             size_t count)
{
    char **mode = argv + 1;
    while (*mode && strncmp(*mode, "--", 2) != 0) {
        mode++;
    }
    bool serve = *mode && strcmp(*mode, "--serve") == 0;
    if (!*mode || (!serve && strcmp(*mode, "--rows") != 0)) {
        fprintf(stderr, "usage: %s FILES... --rows [WORD...] | --serve\n", argv[0]);
        return 2;
    }
    char **words = mode + 1;
    *mode = NULL;
    bench_fork_twin(prepare, argv + 1);
    prepare(argv + 1);
    if (serve) {
        bench_serve(rows, count);
    } else {
        bench_table(rows, count, words);
    }
    return 0;
}
#endif
