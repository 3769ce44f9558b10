/*
 * Responses that somebody else makes, on their way to the client.
 *
 * If no plugin asked for the body, response phases run when the headers pass, to their time limit.
 * If one did, headers and body are held back until all of the body is there (or there is too much
 * of it); then response phases can be suspended like request phases.
 */


#include "ngx_http_lucet_module.h"


static ngx_uint_t ngx_http_lucet_has_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_lucet_collect(ngx_http_lucet_ctx_t *ctx, ngx_chain_t *in,
    ngx_uint_t *last);
static ngx_int_t ngx_http_lucet_release_response(ngx_http_lucet_ctx_t *ctx);
static ngx_int_t ngx_http_lucet_give_up(ngx_http_lucet_ctx_t *ctx, ngx_int_t status);


ngx_int_t
ngx_http_lucet_header_filter(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lucet_module);

    if (ctx == NULL
        || (ctx->state != NGX_HTTP_LUCET_CONTENT && ctx->state != NGX_HTTP_LUCET_BUFFERING))
    {
        return ngx_http_lucet_next_header_filter(r);
    }

    for (i = 0; i < ctx->left; i++) {
        if (ctx->runs[i].sees_response) {
            break;
        }
    }

    if (i == ctx->left) {
        ctx->state = NGX_HTTP_LUCET_DONE;
        return ngx_http_lucet_next_header_filter(r);
    }

    /* a response that replaces one that was being collected begins again */

    ngx_memzero(&ctx->original, sizeof(ngx_http_lucet_body_t));

    if (ctx->features & LUCET_HTTP_BUFFER_RESPONSE) {

        if (ngx_http_lucet_has_body(r)) {
            ctx->state = NGX_HTTP_LUCET_BUFFERING;
            r->filter_need_in_memory = 1;
            r->allow_ranges = 0;
            return NGX_OK;
        }

        /* a plugin may write a body, but this response cannot have one */
        r->header_only = 1;
    }

    ctx->state = NGX_HTTP_LUCET_RESPONSE;

    rc = ngx_http_lucet_respond_phases(ctx, 0);

    ctx->state = NGX_HTTP_LUCET_DONE;

    if (rc != NGX_OK) {
        return ngx_http_lucet_give_up(ctx, rc);
    }

    return ngx_http_lucet_next_header_filter(r);
}


static ngx_uint_t
ngx_http_lucet_has_body(ngx_http_request_t *r)
{
    return !r->header_only && r->method != NGX_HTTP_HEAD
           && r->headers_out.status != NGX_HTTP_NO_CONTENT
           && r->headers_out.status != NGX_HTTP_NOT_MODIFIED;
}


ngx_int_t
ngx_http_lucet_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t              rc;
    ngx_uint_t             last;
    ngx_http_lucet_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lucet_module);

    if (ctx == NULL
        || (ctx->state != NGX_HTTP_LUCET_BUFFERING && ctx->state != NGX_HTTP_LUCET_RESPONSE))
    {
        return ngx_http_lucet_next_body_filter(r, in);
    }

    if (ctx->state == NGX_HTTP_LUCET_BUFFERING) {

        last = 0;

        rc = ngx_http_lucet_collect(ctx, in, &last);
        if (rc != NGX_OK) {
            return ngx_http_lucet_give_up(ctx, rc);
        }

        if (!last) {
            return NGX_OK;
        }

        ctx->state = NGX_HTTP_LUCET_RESPONSE;
    }

    ngx_http_lucet_wake_no_more(ctx);

    rc = ngx_http_lucet_respond_phases(ctx, 1);

    if (rc == NGX_AGAIN) {
        r->buffered |= NGX_HTTP_LUCET_BUFFERED;
        ngx_http_lucet_wake_soon(ctx);
        return NGX_AGAIN;
    }

    r->buffered &= ~NGX_HTTP_LUCET_BUFFERED;

    if (rc != NGX_OK) {
        return ngx_http_lucet_give_up(ctx, rc);
    }

    return ngx_http_lucet_release_response(ctx);
}


/* Copies what has arrived, so that whoever sent it can use his buffers again. */

static ngx_int_t
ngx_http_lucet_collect(ngx_http_lucet_ctx_t *ctx, ngx_chain_t *in, ngx_uint_t *last)
{
    size_t               len;
    ngx_buf_t           *b;
    ngx_http_request_t  *r;

    r = ctx->request;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;

        if (ngx_buf_in_memory(b)) {
            len = b->last - b->pos;

            if (ctx->original.size + (off_t) len > (off_t) ctx->conf->response_buffer_size) {
                ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                              "lucet: the response is too long for a plugin that wants all of its "
                              "body: more than %uz bytes (lucet_response_buffer_size)",
                              ctx->conf->response_buffer_size);
                ctx->outcome = "too_large";
                return NGX_HTTP_BAD_GATEWAY;
            }

            if (ngx_http_lucet_append(r->pool, &ctx->original, b->pos, len) != NGX_OK) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }

            b->pos = b->last;

        } else if (b->in_file) {
            ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                          "lucet: a response came from a file, not from memory");
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (b->last_buf || (b->last_in_chain && r != r->main)) {
            *last = 1;
        }
    }

    return NGX_OK;
}


/* Sends what was held back. */

static ngx_int_t
ngx_http_lucet_release_response(ngx_http_lucet_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;
    ctx->state = NGX_HTTP_LUCET_DONE;

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    r->headers_out.content_length_n = ctx->original.size;

    if (ctx->rewritten) {
        ngx_http_clear_last_modified(r);
        ngx_http_weak_etag(r);
    }

    rc = ngx_http_lucet_next_header_filter(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_lucet_finish_body(r, &ctx->original, ngx_http_lucet_next_body_filter);
}


/* The end of a response, with its body. */

ngx_int_t
ngx_http_lucet_finish_body(ngx_http_request_t *r, ngx_http_lucet_body_t *body,
    ngx_http_output_body_filter_pt filter)
{
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (body->last) {
        b = body->last->buf;

    } else {
        b = ngx_calloc_buf(r->pool);
        if (b == NULL) {
            return NGX_ERROR;
        }

        b->sync = (r == r->main) ? 0 : 1;
    }

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    if (body->last) {
        return filter(r, body->first);
    }

    out.buf = b;
    out.next = NULL;

    return filter(r, &out);
}


/* Nothing was sent yet: the response is an error. */

static ngx_int_t
ngx_http_lucet_give_up(ngx_http_lucet_ctx_t *ctx, ngx_int_t status)
{
    ngx_uint_t  i;

    ctx->state = NGX_HTTP_LUCET_DONE;

    for (i = 0; i < ctx->nruns; i++) {
        ngx_http_lucet_release(ctx, &ctx->runs[i]);
    }

    /* nginx closes the connection after a response that a filter replaced: let the client know */

    ctx->request->keepalive = 0;

    return ngx_http_filter_finalize_request(ctx->request, &ngx_http_lucet_module, status);
}
