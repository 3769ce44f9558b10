/*
 * What scenario.h does, undisturbed.   server WAY ARTIFACT SAVED
 */
#include "scenario.h"

static void never(const char *call, lucet_status status)
{
    printf("%s: %s\n", call, lucet_status_name(status));
    failures++;
}

static void nothing(void)
{
}

int main(int argc, char **argv)
{
    scenario what = {.failed = never, .begin = nothing, .end = nothing, .children = 1};

    if (argc != 4) {
        return 2;
    }
    what.way = argv[1];
    what.artifact = what.plugin = what.store = what.starts = argv[2];
    what.saved = argv[3];
    what.alone = 1;
    play(&what);
    printf("%d failures\n", failures);
    return failures != 0;
}
