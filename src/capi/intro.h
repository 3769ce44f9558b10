/*
 * lucet.h: run WebAssembly, compiled ahead of time, inside a C or C++ server.
 *
 * Generated from src/capi by `make header`. Do not edit.
 *
 * LIFE
 *
 *   lucetc plugin.wasm -o plugin.so             once, when the plugin is deployed
 *
 *   lucet_module_config --> lucet_module --+    once, when the server starts
 *   lucet_region_config --> lucet_region --+
 *                                          |
 *                                          v
 *             lucet_instance_create --> run --> outcome --> lucet_instance_free
 *             (one per request)          ^         |
 *                                        resume <--+ (if it yielded)
 *
 *   #include <lucet.h>
 *
 *   lucet_module_config *config = lucet_module_config_create();
 *   lucet_module *module;
 *   lucet_region *region;
 *   lucet_instance *instance;
 *   lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
 *                        {.of.i32 = 3, .type = LUCET_VAL_I32}}, sum;
 *   lucet_outcome outcome;
 *
 *   if (lucet_module_config_allow_unsigned(config, true) ||
 *       lucet_module_load_file("plugin.so", config, &module) ||
 *       lucet_region_create(NULL, &region) ||
 *       lucet_instance_create(region, module, &instance) ||
 *       lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome)) {
 *     fprintf(stderr, "%s\n", lucet_last_error());
 *   } else if (outcome.kind == LUCET_OUTCOME_RETURNED) {
 *     printf("%d\n", sum.of.i32);
 *   }
 *
 * ERRORS
 *
 *   A function that can fail returns a lucet_status: LUCET_STATUS_OK is 0. Others mean that the
 *   caller or the environment did something wrong; lucet_last_error() says what, for people. What
 *   the guest did, trap included, is the lucet_outcome of a call that succeeded. Each function
 *   lists the statuses that say something about it. Possible wherever there is something to be
 *   wrong about, and not listed: LUCET_STATUS_NULL_ARGUMENT, LUCET_STATUS_INVALID_HANDLE, and
 *   LUCET_STATUS_BUSY for an instance that is running. LUCET_STATUS_INTERNAL is a bug in lucet.
 *
 * POINTERS
 *
 *   lucet_region, lucet_module, lucet_module_ref, lucet_instance, lucet_group and lucet_*_config
 *   are handles: numbers that nobody dereferences. One that is NULL, freed, of another kind or made
 *   up gives a status, never a crash. All other pointers must point to what their type and the
 *   length beside them say until the call returns; a required one that is NULL gives
 *   LUCET_STATUS_NULL_ARGUMENT. Texts are UTF-8 and end with NUL. lucet copies what it needs later,
 *   except user data, which it never looks at. Results go to out-parameters; a handle or pointer
 *   there is NULL if the call failed.
 *
 * OWNERSHIP
 *
 *   Whoever creates or loads something frees it, in any order, with two rules: a region can be
 *   freed when its instances are, and a running instance cannot be freed. A module's code stays in
 *   memory as long as an instance needs it. Freeing a configuration leaves what was made with it
 *   alone.
 *
 * THREADS
 *
 *   Every function may be called on any thread, and everything but instances may be used by several
 *   threads at the same time. An instance is for one thread at a time (LUCET_STATUS_BUSY
 *   otherwise), not always the same. Not for signal handlers. lucet handles SIGSEGV, SIGBUS, SIGILL
 *   and SIGFPE and passes those that are not a guest's on to the handlers that were installed
 *   before.
 */
