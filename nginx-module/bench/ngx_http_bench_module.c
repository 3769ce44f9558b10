/*
 * The two tasks of the benchmark as a C module does them: `bench_hello` and `bench_realistic` do
 * what tests/server/plugins/hello.c and realistic.c do.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static char *ngx_http_bench_hello(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_bench_realistic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#define LINE  "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.\n"
#define FOUR  LINE LINE LINE LINE

static u_char  ngx_http_bench_page[] = FOUR FOUR FOUR FOUR;


static ngx_command_t  ngx_http_bench_commands[] = {

    { ngx_string("bench_hello"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_bench_hello, 0, 0, NULL },

    { ngx_string("bench_realistic"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_bench_realistic, 0, 0, NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_bench_module_ctx = {
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
};


ngx_module_t  ngx_http_bench_module = {
    NGX_MODULE_V1,
    &ngx_http_bench_module_ctx,
    ngx_http_bench_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_bench_send(ngx_http_request_t *r, ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_bench_hello_handler(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_buf_t  *b;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_set(&r->headers_out.content_type, "text/plain");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    b = ngx_create_temp_buf(r->pool, 6);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_cpymem(b->last, "hello\n", 6);

    return ngx_http_bench_send(r, b);
}


static uint32_t
ngx_http_bench_mix(uint32_t hash, ngx_table_elt_t *h)
{
    size_t  i;

    for (i = 0; h && i < h->value.len; i++) {
        hash = (hash ^ h->value.data[i]) * 16777619u;
    }

    return hash;
}


/* Looks headers up by name, as a plugin has to. */

static ngx_table_elt_t *
ngx_http_bench_header(ngx_http_request_t *r, char *name, size_t len)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h;
    ngx_list_part_t  *part;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == len && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0) {
                return &h[i];
            }
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_bench_realistic_handler(ngx_http_request_t *r)
{
    uint32_t          hash;
    ngx_int_t         rc;
    ngx_buf_t        *b;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    hash = ngx_http_bench_mix(2166136261u, ngx_http_bench_header(r, "Host", 4));
    hash = ngx_http_bench_mix(hash, ngx_http_bench_header(r, "User-Agent", 10));
    hash = ngx_http_bench_mix(hash, ngx_http_bench_header(r, "Accept", 6));

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "X-Request-Hash");
    h->value.len = 8;
    h->value.data = ngx_pnalloc(r->pool, 8);
    b = ngx_create_temp_buf(r->pool, 1024);

    if (h->value.data == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < 8; i++) {
        h->value.data[i] = "0123456789abcdef"[hash >> (28 - 4 * i) & 15];
    }

    b->last = ngx_cpymem(b->last, ngx_http_bench_page, 1024);

    return ngx_http_bench_send(r, b);
}


static char *
ngx_http_bench_hello(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_bench_hello_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_bench_realistic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_bench_realistic_handler;

    return NGX_CONF_OK;
}
