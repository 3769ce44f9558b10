/*
 * Other versions of plugins without a reload: each worker looks at the files now and then, and what
 * changed is loaded, checked and published. Requests that have begun keep the version they have.
 * What cannot be used is said once, and changes nothing.
 */


#include "ngx_http_lucet_module.h"


static void ngx_http_lucet_watch(ngx_event_t *ev);
static void ngx_http_lucet_look(ngx_http_lucet_plugin_t *plugin, ngx_log_t *log);


static ngx_event_t       ngx_http_lucet_watch_event;

/* Timers of workers that shut down have a connection, for what logs their state looks at one. */
static ngx_connection_t  ngx_http_lucet_watch_connection;


void
ngx_http_lucet_start_watch(ngx_cycle_t *cycle, ngx_http_lucet_main_conf_t *lmcf)
{
    ngx_event_t  *ev;

    if (lmcf->watch == 0) {
        return;
    }

    ev = &ngx_http_lucet_watch_event;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ngx_http_lucet_watch_connection.fd = (ngx_socket_t) -1;
    ngx_http_lucet_watch_connection.data = lmcf;

    ev->data = &ngx_http_lucet_watch_connection;
    ev->handler = ngx_http_lucet_watch;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, lmcf->watch);
}


static void
ngx_http_lucet_watch(ngx_event_t *ev)
{
    ngx_uint_t                    i;
    ngx_connection_t             *c;
    ngx_http_lucet_plugin_t     **plugin;
    ngx_http_lucet_main_conf_t   *lmcf;

    c = ev->data;
    lmcf = c->data;
    plugin = lmcf->list.elts;

    for (i = 0; i < lmcf->list.nelts; i++) {
        ngx_http_lucet_look(plugin[i], ev->log);
    }

    if (!ngx_exiting && !ngx_terminate) {
        ngx_add_timer(ev, lmcf->watch);
    }
}


static void
ngx_http_lucet_look(ngx_http_lucet_plugin_t *plugin, ngx_log_t *log)
{
    uint64_t             version;
    lucet_status         status;
    ngx_http_lucet_id_t  id;

    ngx_http_lucet_identify(plugin, &id);

    if (ngx_memcmp(&id, &plugin->id, sizeof(ngx_http_lucet_id_t)) == 0) {
        return;
    }

    plugin->id = id;

    if (id.size == 0) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "lucet: module \"%V\" is not in \"%V\" any more; the version before stays",
                      &plugin->sn.str, &plugin->path);
        return;
    }

    status = ngx_http_lucet_publish(plugin);

    if (status != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lucet: module \"%V\" changed, and cannot be loaded from \"%V\": %s (%s); "
                      "the version before stays",
                      &plugin->sn.str, &plugin->path, lucet_last_error(),
                      lucet_status_name(status));
        return;
    }

    version = 0;
    (void) lucet_module_ref_current(plugin->ref, NULL, &version);

    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "lucet: module \"%V\" changed: requests of this worker get version %uL from now "
                  "on", &plugin->sn.str, version);
}
