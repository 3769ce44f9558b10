/*
 * lucet_wasi.h: programs and plugins that use WASI preview 1.
 *
 * Generated from src/capi by `make header`. Do not edit.
 *
 *   lucet_wasi_config --> lucet_wasi --> lucet_module_config_set_wasi    once
 *
 *   lucet_instance_create --> lucet_instance_run(instance, "_start", ...) --> outcome
 *                                                 |       ^
 *                              (if calls do not   v       |
 *                               block: YIELDED)  wait --> resume
 *
 *   #include <lucet_wasi.h>
 *
 *   lucet_wasi_config *wc = lucet_wasi_config_create();
 *   lucet_wasi *wasi;
 *   if (lucet_wasi_config_add_arg(wc, "hello") ||
 *       lucet_wasi_config_inherit_stdio(wc) ||
 *       lucet_wasi_config_add_directory(wc, "/srv/data", "/data", true) ||
 *       lucet_wasi_create(wc, &wasi) ||
 *       lucet_module_config_set_wasi(config, wasi)) {
 *     fprintf(stderr, "%s\n", lucet_last_error());
 *   }
 *
 * A program gets what it is given here and nothing else. exit() is LUCET_OUTCOME_EXITED, with its
 * code in `value`. A reactor (a library with _initialize) is run by its exports; call _initialize
 * first, or take a snapshot after it: lucet_snapshot_config_set_function. Instances are as fresh
 * here as they are everywhere: reset and free close what the guest opened. Everything that lucet.h
 * says of errors, pointers, handles and threads holds; lucet_wasi and lucet_wasi_config are
 * handles.
 */
