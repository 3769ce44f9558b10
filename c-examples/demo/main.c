/*
 * Answers requests with a plugin, a fresh instance each:   main PLUGIN.so REQUEST...
 * Exit code 0: all answered; 1: a plugin failed on a request; 3: the plugin was not accepted.
 */
#include "../plugin_host.h"
#include <string.h>

static void print_line(const char *text, size_t len)
{
    printf("log:    %.*s\n", (int)len, text);
}

int main(int argc, char **argv)
{
    static log_line_fn log_line = print_line;
    plugin p;
    lucet_region *region;
    int code = 0;

    usage(argc, 2, "PLUGIN.so REQUEST...");
    lucet_status status = plugin_load(argv[1], &log_line, &p);
    if (status != LUCET_STATUS_OK) {
        printf("refused: status %d (%s)\n", (int)status, lucet_status_name(status));
        printf("         %s\n", lucet_last_error());
        return 3;
    }
    check(lucet_region_create(NULL, &region), "region");
    for (int i = 2; i < argc; i++) {
        char answer[4096];
        size_t len;
        lucet_outcome outcome;
        printf("ask:    %s\n", argv[i]);
        check(plugin_answer(region, &p, argv[i], strlen(argv[i]), answer, sizeof answer, &len,
                            &outcome),
              argv[i]);
        if (outcome.kind == LUCET_OUTCOME_RETURNED) {
            int shown = len < sizeof answer ? (int)len : (int)sizeof answer;
            printf("answer: %.*s\n", shown, answer);
        } else {
            printf("failed: %s, %s\n", lucet_outcome_name(outcome.kind),
                   lucet_trap_name(outcome.trap_code));
            code = 1;
        }
    }
    check(lucet_region_free(region), "free");
    check(lucet_module_free(p.module), "free");
    return code;
}
