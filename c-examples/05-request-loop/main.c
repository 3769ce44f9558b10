/*
 * The main job: one fresh instance per request. Beside it, the same job with the same code by
 * fork and exec of a native program, which is the other way to give each request its own sandbox.
 *
 *   main shout.so native [requests [forks]]
 */
#include "../plugin_host.h"
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUEST "get /index"
#define ANSWER "<GET /INDEX>"

static uint64_t lines;

static void count_line(const char *text, size_t len)
{
    (void)text, (void)len;
    lines++;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int right(const char *answer, size_t len)
{
    return len == strlen(ANSWER) && memcmp(answer, ANSWER, len) == 0;
}

/* One request in a fresh instance: 1 if the answer is right. */
static int by_instance(lucet_region *region, const plugin *p)
{
    char answer[256];
    size_t len;
    lucet_outcome outcome;
    check(plugin_answer(region, p, REQUEST, strlen(REQUEST), answer, sizeof answer, &len, &outcome),
          "answer");
    expect(&outcome, LUCET_OUTCOME_RETURNED, "answer");
    return right(answer, len);
}

/* One request in a fresh process: 1 if the answer is right. */
static int by_process(const char *program)
{
    char answer[256];
    size_t len = 0;
    ssize_t n;
    int fds[2];
    int status;

    if (pipe(fds) != 0) {
        perror("pipe");
        exit(1);
    }
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (child == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execl(program, program, REQUEST, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    while (len < sizeof answer && (n = read(fds[0], answer + len, sizeof answer - len)) > 0) {
        len += (size_t)n;
    }
    close(fds[0]);
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "%s: failed\n", program);
        exit(1);
    }
    return right(answer, len);
}

int main(int argc, char **argv)
{
    static log_line_fn log_line = count_line;
    plugin p;
    lucet_region *region;

    usage(argc, 2, "shout.so native [requests [forks]]");
    long requests = argc > 3 ? atol(argv[3]) : 100000;
    long forks = argc > 4 ? atol(argv[4]) : 1000;
    if (requests < 1 || forks < 1) {
        fprintf(stderr, "requests and forks must be positive numbers\n");
        return 2;
    }

    check(plugin_load(argv[1], &log_line, &p), argv[1]);

    /* Processes first: fork copies page tables, and a region would make that dearer. */
    long right_answers = 0;
    double begin = now();
    for (long i = 0; i < forks; i++) {
        right_answers += by_process(argv[2]);
    }
    double process = (now() - begin) / (double)forks;
    printf("%ld requests by fork and exec: %ld right\n", forks, right_answers);
    int ok = right_answers == forks;

    check(lucet_region_create(NULL, &region), "region");
    right_answers = 0;
    begin = now();
    for (long i = 0; i < requests; i++) {
        right_answers += by_instance(region, &p);
    }
    double instance = (now() - begin) / (double)requests;
    printf("%ld requests in fresh instances: %ld right, %llu lines logged\n", requests,
           right_answers, (unsigned long long)lines);
    ok = ok && right_answers == requests && lines == (uint64_t)requests;

    printf("measured: fork and exec   %10.2f us %10.0f requests/s\n", process * 1e6, 1 / process);
    printf("measured: fresh instance  %10.2f us %10.0f requests/s\n", instance * 1e6, 1 / instance);
    printf("measured: ratio           %10.0f x\n", process / instance);

    check(lucet_region_free(region), "free");
    check(lucet_module_free(p.module), "free");
    return ok ? 0 : 1;
}
