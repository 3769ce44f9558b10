/*
 * Variables for logs: $lucet_outcome, $lucet_trap, $lucet_time, $lucet_memory. They are about the
 * plugins that ran last for a request, also if it went on elsewhere after an error.
 */


#include "ngx_http_lucet_module.h"


static ngx_int_t ngx_http_lucet_outcome_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_lucet_trap_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_lucet_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_lucet_memory_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_http_lucet_ctx_t *ngx_http_lucet_last_ctx(ngx_http_request_t *r);


static ngx_str_t  ngx_http_lucet_time_name = ngx_string("lucet_time");
static ngx_str_t  ngx_http_lucet_memory_name = ngx_string("lucet_memory");


static ngx_http_variable_t  ngx_http_lucet_variables[] = {

    { ngx_string("lucet_outcome"), NULL, ngx_http_lucet_outcome_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("lucet_trap"), NULL, ngx_http_lucet_trap_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("lucet_time"), NULL, ngx_http_lucet_time_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("lucet_memory"), NULL, ngx_http_lucet_memory_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_lucet_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_lucet_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* What nobody asks for is not measured. */

void
ngx_http_lucet_note_variables(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf)
{
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        if (v[i].name.len == ngx_http_lucet_time_name.len
            && ngx_strncmp(v[i].name.data, ngx_http_lucet_time_name.data, v[i].name.len) == 0)
        {
            lmcf->timed = 1;
        }

        if (v[i].name.len == ngx_http_lucet_memory_name.len
            && ngx_strncmp(v[i].name.data, ngx_http_lucet_memory_name.data, v[i].name.len) == 0)
        {
            lmcf->measured = 1;
        }
    }
}


/* Internal redirects clear a request's contexts; its pool has them still, the last one first. */

static ngx_http_lucet_ctx_t *
ngx_http_lucet_last_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lucet_module);

    if (ctx != NULL) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_lucet_cleanup) {
            ctx = cln->data;

            if (ctx->request == r) {
                return ctx;
            }
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_lucet_outcome_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_uint_t             i;
    const char            *name;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_lucet_last_ctx(r);
    name = ctx ? ctx->outcome : NULL;

    /* a request that ends while a plugin is in the middle of its work was given up by its client */

    for (i = 0; ctx && i < ctx->nruns; i++) {
        if (ctx->runs[i].suspended) {
            name = "aborted";
        }
    }

    if (name == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = (u_char *) name;
    v->len = ngx_strlen(name);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lucet_trap_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const char            *name;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_lucet_last_ctx(r);

    if (ctx == NULL || ctx->trap == LUCET_TRAP_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    name = lucet_trap_name(ctx->trap);

    v->data = (u_char *) name;
    v->len = ngx_strlen(name);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* seconds, with microseconds */

static ngx_int_t
ngx_http_lucet_time_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                *p;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_lucet_last_ctx(r);

    if (ctx == NULL || ctx->outcome == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + 8);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%uL.%06uL", ctx->time / 1000000000, ctx->time / 1000 % 1000000) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* bytes */

static ngx_int_t
ngx_http_lucet_memory_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char                *p;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_lucet_last_ctx(r);

    if (ctx == NULL || ctx->outcome == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%uL", ctx->memory) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* The request is over, whatever its plugins were doing. */

void
ngx_http_lucet_cleanup(void *data)
{
    ngx_uint_t             i;
    ngx_http_lucet_ctx_t  *ctx = data;

    ngx_http_lucet_wake_no_more(ctx);

    for (i = 0; i < ctx->nruns; i++) {
        ngx_http_lucet_release(ctx, &ctx->runs[i]);
    }
}
