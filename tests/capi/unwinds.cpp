/*
 * Host functions that do not return: one case in a process of its own.   unwinds ARTIFACT WAY PLACE
 *
 * WAY is how the host function leaves: throw, cancel, exit or jump. PLACE is where it is: called by
 * a run (direct), by a run that was suspended and resumed (later), by a run inside another host
 * function (nested), or itself what a suspended call is finished with (inside).
 *
 * It ends with 0 if the instance was found unusable, and worked again after a reset; with 9 if an
 * exception came out of the library.
 */
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lucet.h>
#include <pthread.h>
#include <stdexcept>
#include <unistd.h>

namespace {

const char *way;
const char *place;
lucet_instance *instance;
thread_local std::jmp_buf away;

void ok(lucet_status status, const char *what)
{
    if (status != LUCET_STATUS_OK) {
        std::printf("%s: %s\n", what, lucet_last_error());
        std::exit(1);
    }
}

bool is(const char *text, const char *other)
{
    return std::strcmp(text, other) == 0;
}

void leave()
{
    if (is(way, "throw")) {
        throw std::runtime_error("out of a host function");
    }
    if (is(way, "exit")) {
        pthread_exit(nullptr);
    }
    if (is(way, "cancel")) {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
    std::longjmp(away, 1);
}

void leaves(lucet_vmctx *, void *)
{
    leave();
}

uint64_t finishes(lucet_vmctx *, uint64_t value, void *)
{
    if (is(place, "inside")) {
        leave();
    }
    return value;
}

int32_t waits(lucet_vmctx *ctx, void *)
{
    ok(lucet_vmctx_yield(ctx, 1, finishes, nullptr), "yield");
    return 0;
}

void nests(lucet_vmctx *ctx, void *)
{
    lucet_outcome outcome;

    ok(lucet_vmctx_run(ctx, "direct", nullptr, 0, nullptr, 0, &outcome), "nested run");
}

void *runs(void *)
{
    lucet_outcome outcome;

    if (setjmp(away) == 0) {
        try {
            ok(lucet_instance_run(instance, place, nullptr, 0, nullptr, 0, &outcome), "run");
            if (outcome.kind == LUCET_OUTCOME_YIELDED) {
                ok(lucet_instance_resume(instance, 5, nullptr, 0, &outcome), "resume");
            }
        } catch (const std::exception &) {
            _exit(9);
        }
        std::printf("the run came back\n");
        std::exit(1);
    }
    return nullptr;
}

} // namespace

int main(int argc, char **argv)
{
    lucet_region *region = nullptr;
    lucet_module *module = nullptr;
    lucet_module_config *config = lucet_module_config_create();
    lucet_outcome outcome;
    lucet_val seven;
    pthread_t thread;

    if (argc != 4) {
        return 2;
    }
    way = argv[2];
    place = argv[3];
    const auto add = [&](const char *name, const char *signature, lucet_host_fn fn) {
        ok(lucet_module_config_add_function(config, "env", name, signature, fn, nullptr), name);
    };
    add("leave", "() -> ()", reinterpret_cast<lucet_host_fn>(leaves));
    add("wait", "() -> i32", reinterpret_cast<lucet_host_fn>(waits));
    add("nest", "() -> ()", reinterpret_cast<lucet_host_fn>(nests));
    ok(lucet_module_config_allow_unsigned(config, true), "config");
    ok(lucet_module_load_file(argv[1], config, &module), "load");
    ok(lucet_region_create(nullptr, &region), "region");
    ok(lucet_instance_create(region, module, &instance), "instance");
    if (pthread_create(&thread, nullptr, runs, nullptr) != 0 ||
        pthread_join(thread, nullptr) != 0) {
        return 1;
    }
    if (lucet_instance_run(instance, "seven", nullptr, 0, &seven, 1, &outcome) !=
        LUCET_STATUS_WRONG_STATE) {
        std::printf("the instance can be used as it is\n");
        return 1;
    }
    ok(lucet_instance_reset(instance), "reset");
    ok(lucet_instance_run(instance, "seven", nullptr, 0, &seven, 1, &outcome), "run again");
    if (outcome.kind != LUCET_OUTCOME_RETURNED || seven.of.i32 != 7) {
        return 1;
    }
    ok(lucet_instance_free(instance), "free");
    ok(lucet_module_free(module), "module");
    ok(lucet_region_free(region), "region");
    return 0;
}
