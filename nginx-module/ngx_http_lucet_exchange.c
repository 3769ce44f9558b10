/*
 * A request's plugins: a fresh instance for each, what its phases come to, and what the request
 * comes to if one fails.
 *
 *   handler --> begin --> run --+--> RETURNED   the next plugin, the response, or the content
 *                 ^             +--> PREEMPTED  an event of the next round resumes it
 *                 |             +--> YIELDED    it waits for the request's body
 *                 |             +--> others     the instance is freed; lucet_on_error
 *                 +-- resume <--+
 *
 * Nothing here blocks: a plugin runs for a slice at most, then other requests have their turn.
 */


#include "ngx_http_lucet_module.h"


/* what a phase came to, besides NGX_OK, NGX_AGAIN, NGX_ERROR and statuses */
#define NGX_HTTP_LUCET_RESPOND       -100
#define NGX_HTTP_LUCET_WAIT          -101

#define NGX_HTTP_LUCET_FRAMES        8

/* longer than any round, in milliseconds */
#define NGX_HTTP_LUCET_WAKE          60000


static ngx_http_lucet_ctx_t *ngx_http_lucet_create_ctx(ngx_http_request_t *r,
    ngx_http_lucet_loc_conf_t *llcf);
static ngx_int_t ngx_http_lucet_begin(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run);
static ngx_int_t ngx_http_lucet_choose(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run);
static ngx_int_t ngx_http_lucet_run(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run,
    ngx_uint_t response);
static ngx_int_t ngx_http_lucet_returned(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run,
    lucet_http_next next);
static ngx_int_t ngx_http_lucet_ended(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run,
    lucet_outcome *outcome);
static ngx_int_t ngx_http_lucet_suspend(ngx_http_lucet_ctx_t *ctx);
static void ngx_http_lucet_wake(ngx_event_t *ev);
static ngx_int_t ngx_http_lucet_await_body(ngx_http_lucet_ctx_t *ctx);
static void ngx_http_lucet_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_lucet_fail(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run,
    const char *outcome, ngx_uint_t status);
static ngx_int_t ngx_http_lucet_failed(ngx_http_lucet_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_lucet_send(ngx_http_lucet_ctx_t *ctx);
static u_char *ngx_http_lucet_where(lucet_instance *instance, u_char *p, u_char *last);


/* whose plugin runs start-up code, which does not know its request */
ngx_http_lucet_ctx_t  *ngx_http_lucet_starting;


static ngx_inline uint64_t
ngx_http_lucet_clock(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


/* The precontent phase, at first and whenever a request goes on. */

ngx_int_t
ngx_http_lucet_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_lucet_ctx_t       *ctx;
    ngx_http_lucet_run_t       *run;
    ngx_http_lucet_loc_conf_t  *llcf;

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lucet_module);

    if (llcf->links == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_lucet_module);

    if (ctx == NULL) {
        ctx = ngx_http_lucet_create_ctx(r, llcf);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ctx->state != NGX_HTTP_LUCET_REQUEST) {
        return NGX_DECLINED;
    }

    ngx_http_lucet_wake_no_more(ctx);

    for ( /* void */ ; ctx->at < ctx->nruns; ctx->at++) {

        run = &ctx->runs[ctx->at];

        rc = run->began ? NGX_OK : ngx_http_lucet_begin(ctx, run);

        if (rc == NGX_OK && run->instance) {
            rc = ngx_http_lucet_run(ctx, run, 0);
        }

        if (rc == NGX_OK) {
            continue;
        }

        if (rc == NGX_AGAIN) {
            return ngx_http_lucet_suspend(ctx);
        }

        if (rc == NGX_HTTP_LUCET_WAIT) {
            return ngx_http_lucet_await_body(ctx);
        }

        ctx->left = ctx->at;

        if (rc == NGX_HTTP_LUCET_RESPOND) {
            return ngx_http_lucet_send(ctx);
        }

        return ngx_http_lucet_failed(ctx, rc);
    }

    ctx->left = ctx->nruns;
    ctx->state = NGX_HTTP_LUCET_CONTENT;

    return NGX_DECLINED;
}


static ngx_http_lucet_ctx_t *
ngx_http_lucet_create_ctx(ngx_http_request_t *r, ngx_http_lucet_loc_conf_t *llcf)
{
    ngx_uint_t               i;
    ngx_pool_cleanup_t      *cln;
    ngx_http_lucet_ctx_t    *ctx;
    ngx_http_lucet_link_t  **link;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_lucet_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_lucet_ctx_t));

    ctx->request = r;
    ctx->conf = llcf;
    ctx->nruns = llcf->links->nelts;
    ctx->runs = &ctx->one;

    if (ctx->nruns > 1) {
        ctx->runs = ngx_pcalloc(r->pool, ctx->nruns * sizeof(ngx_http_lucet_run_t));
        if (ctx->runs == NULL) {
            return NULL;
        }
    }

    link = llcf->links->elts;

    for (i = 0; i < ctx->nruns; i++) {
        ctx->runs[i].link = link[i];
        ctx->runs[i].plugin = link[i]->plugin;
    }

    cln->handler = ngx_http_lucet_cleanup;
    ngx_http_set_ctx(r, ctx, ngx_http_lucet_module);

    return ctx;
}


/* Gives a plugin its instance; without one and NGX_OK there is none to run. */

static ngx_int_t
ngx_http_lucet_begin(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run)
{
    ngx_int_t                    rc;
    lucet_status                 status;
    ngx_http_request_t          *r;
    ngx_http_lucet_loc_conf_t   *conf;
    ngx_http_lucet_main_conf_t  *lmcf;

    r = ctx->request;
    conf = ctx->conf;
    lmcf = ngx_http_get_module_main_conf(r, ngx_http_lucet_module);
    run->began = 1;

    if (run->plugin == NULL) {
        rc = ngx_http_lucet_choose(ctx, run);
        if (rc != NGX_OK || run->plugin == NULL) {
            return rc;
        }
    }

    if (ngx_http_lucet_region == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "lucet: plugin \"%V\" cannot run: this worker has no room for instances, see "
                      "what it logged when it started", &run->plugin->sn.str);
        return ngx_http_lucet_fail(ctx, run, "unavailable", NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    ngx_http_lucet_starting = ctx;
    status = lucet_module_ref_instantiate(run->plugin->ref, ngx_http_lucet_region, NULL, 0, NULL,
                                          &run->instance);
    ngx_http_lucet_starting = NULL;

    if (status == LUCET_STATUS_REGION_FULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "lucet: plugin \"%V\" cannot run: all instances of this worker are in use "
                      "(lucet_instances)", &run->plugin->sn.str);
        return ngx_http_lucet_fail(ctx, run, "busy", NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    if (status == LUCET_STATUS_OK) {
        status = lucet_http_attach(run->instance, ctx);
    }

    /* what is as in any instance needs not be said */

    if (status == LUCET_STATUS_OK && conf->time_limit != lmcf->start_limit) {
        status = lucet_instance_set_time_limit(run->instance,
                                               (uint64_t) conf->time_limit * 1000000);
    }

    if (status == LUCET_STATUS_OK && conf->time_slice) {
        status = lucet_instance_set_time_slice(run->instance,
                                               (uint64_t) conf->time_slice * 1000000);
    }

    if (status == LUCET_STATUS_OK && conf->memory_limit
        && conf->memory_limit != lmcf->max_memory)
    {
        status = lucet_instance_set_memory_limit(run->instance, conf->memory_limit);
    }

    if (status != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "lucet: plugin \"%V\" cannot run: %s (%s)", &run->plugin->sn.str,
                      lucet_last_error(), lucet_status_name(status));
        return ngx_http_lucet_fail(ctx, run, "unavailable", NGX_HTTP_INTERNAL_SERVER_ERROR);
    }

    return NGX_OK;
}


/* Which plugin a variable names. If it names none there is none. */

static ngx_int_t
ngx_http_lucet_choose(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run)
{
    ngx_str_t                    name;
    ngx_http_request_t          *r;
    ngx_http_lucet_main_conf_t  *lmcf;

    r = ctx->request;

    if (ngx_http_complex_value(r, run->link->variable, &name) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (name.len == 0) {
        return NGX_OK;
    }

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_lucet_module);

    run->plugin = ngx_http_lucet_find(lmcf, &name);

    if (run->plugin == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "lucet: there is no plugin \"%V\", which \"lucet_plugin %V\" came to in "
                      "%s:%ui", &name, &run->link->name, run->link->file, run->link->line);
        return ngx_http_lucet_fail(ctx, run, "unavailable", NGX_HTTP_INTERNAL_SERVER_ERROR);
    }

    return NGX_OK;
}


/* Runs a phase, or what is left of it. */

static ngx_int_t
ngx_http_lucet_run(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run, ngx_uint_t response)
{
    uint64_t                     began, took, bytes;
    lucet_status                 status;
    lucet_outcome                outcome;
    lucet_http_next              next;
    ngx_http_lucet_main_conf_t  *lmcf;

    lmcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_lucet_module);
    began = (lmcf->timed || run->suspended) ? ngx_http_lucet_clock() : 0;
    next = LUCET_HTTP_CONTINUE_WITHOUT_RESPONSE;

    if (run->suspended) {
        run->suspended = 0;
        status = lucet_http_resume(run->instance, 0, &next, &outcome);

    } else if (response) {
        status = lucet_http_handle_response(run->instance, false, &outcome);

    } else {
        status = lucet_http_handle_request(run->instance, &next, &outcome);
    }

    if (began) {
        took = ngx_http_lucet_clock() - began;
        ctx->time += took;

    } else {
        /* nobody looked at the clock, which matters only if it was a slice */
        took = (uint64_t) ctx->conf->time_slice * 1000000;
    }

    if (status != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "lucet: plugin \"%V\" cannot run: %s (%s)", &run->plugin->sn.str,
                      lucet_last_error(), lucet_status_name(status));
        return ngx_http_lucet_fail(ctx, run, "unavailable", NGX_HTTP_INTERNAL_SERVER_ERROR);
    }

    if (lmcf->measured && outcome.kind != LUCET_OUTCOME_PREEMPTED
        && lucet_instance_memory_size(run->instance, &bytes) == LUCET_STATUS_OK)
    {
        ctx->memory = ngx_max(ctx->memory, bytes);
    }

    if (outcome.kind == LUCET_OUTCOME_RETURNED) {
        return ngx_http_lucet_returned(ctx, run, next);
    }

    if (outcome.kind == LUCET_OUTCOME_PREEMPTED) {
        run->suspended = 1;
        run->spent += took;

        if (ctx->conf->time_limit == 0
            || run->spent < (uint64_t) ctx->conf->time_limit * 1000000)
        {
            return NGX_AGAIN;
        }

        outcome.kind = LUCET_OUTCOME_TIMED_OUT;
    }

    if (outcome.kind == LUCET_OUTCOME_YIELDED && ctx->body_awaited) {
        run->suspended = 1;
        return NGX_HTTP_LUCET_WAIT;
    }

    return ngx_http_lucet_ended(ctx, run, &outcome);
}


static ngx_int_t
ngx_http_lucet_returned(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run,
    lucet_http_next next)
{
    if (ctx->outcome == NULL) {
        ctx->outcome = "returned";
    }

    run->spent = 0;
    ngx_memzero(&ctx->read, sizeof(ngx_http_lucet_place_t));

    if (ctx->state == NGX_HTTP_LUCET_RESPONSE) {
        ngx_http_lucet_release(ctx, run);

        if (ctx->response_body.written) {
            ctx->original = ctx->response_body;
            ctx->rewritten = 1;
            ngx_memzero(&ctx->response_body, sizeof(ngx_http_lucet_body_t));
        }

        return NGX_OK;
    }

    if (next == LUCET_HTTP_RESPOND) {
        ngx_http_lucet_release(ctx, run);
        return NGX_HTTP_LUCET_RESPOND;
    }

    /* somebody else makes the response, so what the plugin made of it is not wanted */

    ctx->status = 0;
    ngx_memzero(&ctx->response_body, sizeof(ngx_http_lucet_body_t));

    if (next == LUCET_HTTP_CONTINUE) {
        run->sees_response = 1;

    } else {
        ngx_http_lucet_release(ctx, run);
    }

    return ngx_http_lucet_use_request_body(ctx) == NGX_OK ? NGX_OK
                                                          : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/* A plugin did not return: says so in a way that its operator understands. */

static ngx_int_t
ngx_http_lucet_ended(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run, lucet_outcome *outcome)
{
    u_char              *p, *last;
    ngx_log_t           *log;
    const char          *name, *problem;
    u_char               where[512];

    log = ctx->request->connection->log;
    last = where + sizeof(where) - 1;

    p = ngx_http_lucet_where(run->instance, where, last);
    *p = '\0';

    switch (outcome->kind) {

    case LUCET_OUTCOME_TRAPPED:
        name = "trapped";
        ctx->trap = outcome->trap_code;
        ngx_log_error(NGX_LOG_ERR, log, 0, "lucet: plugin \"%V\" trapped: %s%s",
                      &run->plugin->sn.str, lucet_trap_name(outcome->trap_code), where);
        break;

    case LUCET_OUTCOME_TIMED_OUT:
        name = "timed_out";
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lucet: plugin \"%V\" took longer than %Mms (lucet_time_limit)%s",
                      &run->plugin->sn.str, ctx->conf->time_limit, where);
        break;

    case LUCET_OUTCOME_HOST_ERROR:
        name = "refused";
        problem = lucet_http_problem(outcome);
        ngx_log_error(NGX_LOG_ERR, log, 0, "lucet: plugin \"%V\" was stopped: %s%s",
                      &run->plugin->sn.str,
                      problem ? problem : "it asked for what cannot be done", where);
        break;

    case LUCET_OUTCOME_EXCEPTION:
        name = "exception";
        ngx_log_error(NGX_LOG_ERR, log, 0, "lucet: plugin \"%V\" threw an exception",
                      &run->plugin->sn.str);
        break;

    default:
        name = "stopped";
        ngx_log_error(NGX_LOG_ERR, log, 0, "lucet: plugin \"%V\" ended with %s%s",
                      &run->plugin->sn.str, lucet_outcome_name(outcome->kind), where);
    }

    return ngx_http_lucet_fail(ctx, run, name, NGX_HTTP_INTERNAL_SERVER_ERROR);
}


/* " in f < g < h": the function that ended, its caller, and so on. Names are the plugin's words. */

static u_char *
ngx_http_lucet_where(lucet_instance *instance, u_char *p, u_char *last)
{
    char         name[96];
    u_char      *q;
    size_t       i, n, len;
    const char  *between;
    lucet_frame  frame[NGX_HTTP_LUCET_FRAMES];

    if (lucet_instance_backtrace(instance, frame, NGX_HTTP_LUCET_FRAMES, &n) != LUCET_STATUS_OK) {
        return p;
    }

    n = ngx_min(n, NGX_HTTP_LUCET_FRAMES);
    between = " in ";

    for (i = 0; i < n; i++) {

        if (frame[i].kind == LUCET_FRAME_OMITTED || frame[i].function == UINT32_MAX) {
            continue;
        }

        if (lucet_instance_function_name(instance, frame[i].function, name, sizeof(name), &len)
            != LUCET_STATUS_OK || len == 0)
        {
            p = ngx_slprintf(p, last, "%sfunction %uD", between, frame[i].function);

        } else {
            for (q = (u_char *) name; *q; q++) {
                if (*q < 0x20 || *q >= 0x7f) {
                    *q = '?';
                }
            }

            p = ngx_slprintf(p, last, "%s%s", between, name);
        }

        between = " < ";
    }

    return p;
}


/* The plugin's part in the request is over. NGX_OK: the request goes on as if it were not there. */

static ngx_int_t
ngx_http_lucet_fail(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run, const char *outcome,
    ngx_uint_t status)
{
    ctx->outcome = outcome;

    ngx_http_lucet_release(ctx, run);

    ctx->status = 0;
    ngx_memzero(&ctx->response_body, sizeof(ngx_http_lucet_body_t));
    ngx_memzero(&ctx->request_body, sizeof(ngx_http_lucet_body_t));
    ngx_memzero(&ctx->read, sizeof(ngx_http_lucet_place_t));

    /* what it said of a response does not belong to the one that comes now */

    if (ctx->state == NGX_HTTP_LUCET_REQUEST
        && (ctx->at == 0 || ctx->conf->on_error != NGX_HTTP_LUCET_ON_ERROR_PASS))
    {
        ngx_http_clean_header(ctx->request);
    }

    switch (ctx->conf->on_error) {

    case NGX_HTTP_LUCET_ON_ERROR_PASS:
        return NGX_OK;

    case NGX_HTTP_LUCET_ON_ERROR_STATUS:
        return ctx->conf->status;

    default:
        return status;
    }
}


/* The request is over, or goes on elsewhere, before anybody made a response. */

static ngx_int_t
ngx_http_lucet_failed(ngx_http_lucet_ctx_t *ctx, ngx_int_t rc)
{
    ngx_uint_t           i;
    ngx_http_request_t  *r;

    r = ctx->request;
    ctx->state = NGX_HTTP_LUCET_DONE;

    for (i = 0; i < ctx->nruns; i++) {
        ngx_http_lucet_release(ctx, &ctx->runs[i]);
    }

    if (ctx->conf->on_error == NGX_HTTP_LUCET_ON_ERROR_LOCATION) {
        (void) ngx_http_named_location(r, &ctx->conf->location);
        ngx_http_finalize_request(r, NGX_DONE);
        return NGX_DONE;
    }

    return rc;
}


void
ngx_http_lucet_release(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run)
{
    run->suspended = 0;
    run->sees_response = 0;

    if (run->instance == NULL) {
        return;
    }

    if (lucet_instance_free(run->instance) != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_ALERT, ctx->request->connection->log, 0,
                      "lucet: an instance could not be freed: %s", lucet_last_error());
    }

    run->instance = NULL;
}


/* Others have their turn; the client may give up meanwhile. */

static ngx_int_t
ngx_http_lucet_suspend(ngx_http_lucet_ctx_t *ctx)
{
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = ctx->request;
    rev = r->connection->read;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_lucet_wake_soon(ctx);

    return NGX_AGAIN;
}


/* A worker that shuts down waits for timers, not for what is to happen in the next round. */

void
ngx_http_lucet_wake_soon(ngx_http_lucet_ctx_t *ctx)
{
    ctx->wake.data = ctx;
    ctx->wake.handler = ngx_http_lucet_wake;
    ctx->wake.log = ctx->request->connection->log;

    ngx_post_event(&ctx->wake, &ngx_posted_next_events);
    ngx_add_timer(&ctx->wake, NGX_HTTP_LUCET_WAKE);
}


void
ngx_http_lucet_wake_no_more(ngx_http_lucet_ctx_t *ctx)
{
    if (ctx->wake.posted) {
        ngx_delete_posted_event(&ctx->wake);
    }

    if (ctx->wake.timer_set) {
        ngx_del_timer(&ctx->wake);
    }
}


static void
ngx_http_lucet_wake(ngx_event_t *ev)
{
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_lucet_wake_no_more(ctx);

    ngx_http_set_log_request(c->log, r);

    if (ctx->state == NGX_HTTP_LUCET_REQUEST) {
        r->read_event_handler = ngx_http_block_reading;
    }

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_lucet_await_body(ngx_http_lucet_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    rc = ngx_http_read_client_request_body(r, ngx_http_lucet_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_lucet_body_handler(ngx_http_request_t *r)
{
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lucet_module);

    ctx->body_is_read = 1;
    ctx->body_awaited = 0;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


/* Sends the response that a plugin made. Plugins before it see it as they see any. */

static ngx_int_t
ngx_http_lucet_send(ngx_http_lucet_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_http_request_t     *r;
    ngx_http_lucet_body_t   body;

    r = ctx->request;

    ctx->state = NGX_HTTP_LUCET_CONTENT;

    body = ctx->response_body;
    ngx_memzero(&ctx->response_body, sizeof(ngx_http_lucet_body_t));

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    r->headers_out.status = ctx->status ? ctx->status : NGX_HTTP_OK;
    r->headers_out.content_length_n = body.size;

    rc = ngx_http_send_header(r);

    if (rc != NGX_ERROR && rc <= NGX_OK && !r->header_only) {
        rc = ngx_http_lucet_finish_body(r, &body, ngx_http_output_filter);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/* The response phases that are left, last plugin first. */

ngx_int_t
ngx_http_lucet_respond_phases(ngx_http_lucet_ctx_t *ctx, ngx_uint_t may_suspend)
{
    ngx_int_t              rc;
    ngx_http_lucet_run_t  *run;

    for ( /* void */ ; ctx->left; ctx->left--) {

        ctx->at = ctx->left - 1;
        run = &ctx->runs[ctx->at];

        if (run->instance == NULL || !run->sees_response) {
            continue;
        }

        if (!may_suspend && ctx->conf->time_slice) {
            (void) lucet_instance_set_time_slice(run->instance, 0);
        }

        rc = ngx_http_lucet_run(ctx, run, 1);

        if (rc == NGX_OK) {
            continue;
        }

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        /* responses never wait for the request's body */

        return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}
