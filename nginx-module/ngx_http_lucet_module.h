/*
 * ngx_http_lucet_module: plugins compiled by lucetc, one fresh instance per request.
 *
 *   ngx_http_lucet_module.c     what nginx knows of the module: directives, phases, processes
 *   ngx_http_lucet_conf.c       the configuration, and loading plugins in the master
 *   ngx_http_lucet_exchange.c   a request's plugins: instances, outcomes, suspension, failures
 *   ngx_http_lucet_server.c     what plugins may ask of nginx: the table of callbacks
 *   ngx_http_lucet_headers.c    ... of headers
 *   ngx_http_lucet_body.c       ... of bodies
 *   ngx_http_lucet_filter.c     responses that somebody else makes: header and body filter
 *   ngx_http_lucet_variables.c  variables for logs
 *   ngx_http_lucet_watch.c      other versions of plugins without a reload
 *
 *   request --> precontent phase: request phase of each plugin, in order --+--> its own response
 *                                                                          |
 *              proxy_pass, files, ... <------------------------------------+
 *                     |
 *   client <-- filters: response phase of each plugin, in reverse order
 *
 * Plugins are loaded in the master, where a bad one fails `nginx -t`. The region in which instances
 * live is made by each worker, because address space of this kind does not survive a fork.
 */


#ifndef _NGX_HTTP_LUCET_MODULE_H_INCLUDED_
#define _NGX_HTTP_LUCET_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lucet_http.h>


/* a bit of r->buffered that neither nginx's core nor its own filters but one (images) use */
#define NGX_HTTP_LUCET_BUFFERED      0x08

/* the default of lucet_time_limit, in milliseconds */
#define NGX_HTTP_LUCET_TIME_LIMIT    1000

/* how often plugins of a request may set its method or URI */
#define NGX_HTTP_LUCET_MAX_CHANGES   32


/* What a file was when it was read; all 0: there was none. */
typedef struct {
    ngx_file_uniq_t               file;
    off_t                         size;
    int64_t                       seconds;      /* of its last change */
    int64_t                       nanoseconds;
} ngx_http_lucet_id_t;


typedef struct {
    ngx_str_node_t                sn;           /* its name, in the main configuration's tree */
    ngx_str_t                     path;         /* empty: nobody says where it is */
    ngx_str_t                     config;       /* what it gets as configuration */
    u_char                       *file;         /* where it was configured */
    ngx_uint_t                    line;

    lucet_module_config          *terms;        /* what its versions are loaded with */
    lucet_module_ref             *ref;          /* the version that requests get */
    ngx_http_lucet_id_t           id;           /* the file it came from */
} ngx_http_lucet_plugin_t;


typedef struct {
    ngx_rbtree_t                  plugins;
    ngx_rbtree_node_t             sentinel;
    ngx_array_t                   list;         /* of ngx_http_lucet_plugin_t * */
    ngx_array_t                   links;        /* of ngx_http_lucet_link_t *, to be resolved */

    ngx_array_t                   keys;         /* of ngx_str_t: keys that are trusted */
    ngx_array_t                   hashes;       /* of ngx_str_t: artifacts that are trusted */
    ngx_flag_t                    allow_unsigned;
    ngx_msec_t                    watch;        /* how often files are looked at; 0: never */

    ngx_uint_t                    instances;    /* at the same time, in each worker */

    ngx_msec_t                    start_limit;  /* of start-up code, and where none other is set */
    size_t                        max_memory;   /* the most of any location; 0: no limit */

    unsigned                      unlimited:1;  /* a location has no limit of memory */
    unsigned                      block:1;      /* there is a block `lucet` */
    unsigned                      used:1;       /* a location has plugins */
    unsigned                      timed:1;      /* somebody asks for $lucet_time */
    unsigned                      measured:1;   /* somebody asks for $lucet_memory */
} ngx_http_lucet_main_conf_t;


/* One plugin of a location's chain. */
typedef struct {
    ngx_str_t                     name;
    ngx_http_lucet_plugin_t      *plugin;       /* NULL: the variable says which */
    ngx_http_complex_value_t     *variable;
    ngx_str_t                     config;
    unsigned                      own_config:1; /* `config` counts, else the plugin's */
    u_char                       *file;
    ngx_uint_t                    line;
} ngx_http_lucet_link_t;


typedef enum {
    NGX_HTTP_LUCET_ON_ERROR_DEFAULT = 0,        /* 503 if there is no instance, else 500 */
    NGX_HTTP_LUCET_ON_ERROR_PASS,
    NGX_HTTP_LUCET_ON_ERROR_STATUS,
    NGX_HTTP_LUCET_ON_ERROR_LOCATION
} ngx_http_lucet_on_error_e;


typedef struct {
    ngx_array_t                  *links;        /* of ngx_http_lucet_link_t *; NULL: no plugins */
    ngx_msec_t                    time_limit;   /* of each phase of each plugin */
    ngx_msec_t                    time_slice;
    size_t                        memory_limit;
    size_t                        response_buffer_size;

    ngx_uint_t                    on_error;     /* ngx_http_lucet_on_error_e */
    ngx_uint_t                    status;
    ngx_str_t                     location;
} ngx_http_lucet_loc_conf_t;


/* One plugin at work for a request. */
typedef struct {
    ngx_http_lucet_link_t        *link;
    ngx_http_lucet_plugin_t      *plugin;
    lucet_instance               *instance;     /* NULL: not yet, or not any more */
    uint64_t                      spent;        /* nanoseconds of the slices of this phase */
    unsigned                      began:1;
    unsigned                      suspended:1;
    unsigned                      sees_response:1;
} ngx_http_lucet_run_t;


typedef enum {
    NGX_HTTP_LUCET_REQUEST = 0,                 /* request phases are running, or will */
    NGX_HTTP_LUCET_CONTENT,                     /* somebody makes the response */
    NGX_HTTP_LUCET_BUFFERING,                   /* its body is being collected */
    NGX_HTTP_LUCET_RESPONSE,                    /* response phases are running */
    NGX_HTTP_LUCET_DONE
} ngx_http_lucet_state_e;


/* A body that a plugin writes. */
typedef struct {
    ngx_chain_t                  *first;
    ngx_chain_t                  *last;
    off_t                         size;
    unsigned                      written:1;
} ngx_http_lucet_body_t;


/* A place in a body that a plugin reads. */
typedef struct {
    ngx_chain_t                  *link;
    off_t                         offset;
    lucet_http_body               body;
    unsigned                      began:1;
} ngx_http_lucet_place_t;


typedef struct {
    ngx_http_request_t           *request;
    ngx_http_lucet_loc_conf_t    *conf;
    ngx_http_lucet_state_e        state;

    ngx_http_lucet_run_t         *runs;
    ngx_uint_t                    nruns;
    ngx_uint_t                    at;           /* the one whose turn it is */
    ngx_uint_t                    left;         /* those that may still see the response */
    ngx_http_lucet_run_t          one;          /* a chain of one needs no array */

    ngx_event_t                   wake;         /* goes on with a plugin that used up its slice */

    uint32_t                      features;     /* that plugins enabled */
    ngx_uint_t                    status;       /* of the response that a plugin makes */
    ngx_str_t                     uri;          /* as a plugin set it; data NULL: it did not */
    ngx_str_t                     address;      /* the client's, once somebody asked */
    ngx_uint_t                    changes;      /* of method and URI */
    u_char                        number[NGX_OFF_T_LEN];

    ngx_http_lucet_body_t         request_body; /* that plugins wrote */
    ngx_http_lucet_body_t         response_body;
    ngx_http_lucet_place_t        read;
    ngx_http_lucet_body_t         original;     /* the response's, collected */

    /* for logs */
    const char                   *outcome;      /* NULL: no plugin ran */
    lucet_trap_code               trap;
    uint64_t                      time;         /* nanoseconds */
    uint64_t                      memory;       /* bytes */

    unsigned                      body_is_read:1;
    unsigned                      body_awaited:1;
    unsigned                      rewritten:1;  /* a plugin wrote the response's body */
} ngx_http_lucet_ctx_t;


extern ngx_module_t                  ngx_http_lucet_module;
extern lucet_region                 *ngx_http_lucet_region;
extern ngx_http_lucet_ctx_t         *ngx_http_lucet_starting;
extern ngx_http_output_header_filter_pt  ngx_http_lucet_next_header_filter;
extern ngx_http_output_body_filter_pt    ngx_http_lucet_next_body_filter;
extern const lucet_http_server       ngx_http_lucet_server;


/* conf */
void *ngx_http_lucet_create_main_conf(ngx_conf_t *cf);
char *ngx_http_lucet_init_main_conf(ngx_conf_t *cf, void *conf);
void *ngx_http_lucet_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_lucet_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
char *ngx_http_lucet_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lucet_plugin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lucet_on_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_lucet_resolve(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf);
ngx_http_lucet_plugin_t *ngx_http_lucet_find(ngx_http_lucet_main_conf_t *lmcf, ngx_str_t *name);

void ngx_http_lucet_identify(ngx_http_lucet_plugin_t *plugin, ngx_http_lucet_id_t *id);
lucet_status ngx_http_lucet_publish(ngx_http_lucet_plugin_t *plugin);

/* watch */
void ngx_http_lucet_start_watch(ngx_cycle_t *cycle, ngx_http_lucet_main_conf_t *lmcf);

/* exchange */
ngx_int_t ngx_http_lucet_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_lucet_respond_phases(ngx_http_lucet_ctx_t *ctx, ngx_uint_t may_suspend);
void ngx_http_lucet_release(ngx_http_lucet_ctx_t *ctx, ngx_http_lucet_run_t *run);
void ngx_http_lucet_wake_soon(ngx_http_lucet_ctx_t *ctx);
void ngx_http_lucet_wake_no_more(ngx_http_lucet_ctx_t *ctx);

/* headers */
bool ngx_http_lucet_next_header(void *request, lucet_http_kind kind, lucet_http_cursor *at,
    lucet_http_text *name, lucet_http_text *value);
lucet_http_reply ngx_http_lucet_change_header(void *request, lucet_http_kind kind,
    lucet_http_change change, lucet_http_text name, lucet_http_text value);
ngx_int_t ngx_http_lucet_set_length(ngx_http_request_t *r, off_t length);

/* body */
lucet_http_reply ngx_http_lucet_read_body(void *request, lucet_http_body body, void *buf,
    size_t cap, size_t *len, bool *end);
lucet_http_reply ngx_http_lucet_write_body(void *request, lucet_http_body body, const void *bytes,
    size_t len, bool first);
ngx_int_t ngx_http_lucet_append(ngx_pool_t *pool, ngx_http_lucet_body_t *body, const u_char *bytes,
    size_t len);
ngx_int_t ngx_http_lucet_use_request_body(ngx_http_lucet_ctx_t *ctx);

/* filter */
ngx_int_t ngx_http_lucet_header_filter(ngx_http_request_t *r);
ngx_int_t ngx_http_lucet_body_filter(ngx_http_request_t *r, ngx_chain_t *in);
ngx_int_t ngx_http_lucet_finish_body(ngx_http_request_t *r, ngx_http_lucet_body_t *body,
    ngx_http_output_body_filter_pt filter);

/* variables */
ngx_int_t ngx_http_lucet_add_variables(ngx_conf_t *cf);
void ngx_http_lucet_note_variables(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf);
void ngx_http_lucet_cleanup(void *data);


#endif /* _NGX_HTTP_LUCET_MODULE_H_INCLUDED_ */
