/*
 * What nginx knows of the module: its directives, where it takes part in requests, and what it does
 * when processes begin and end.
 */


#include "ngx_http_lucet_module.h"


static ngx_int_t ngx_http_lucet_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_lucet_init_process(ngx_cycle_t *cycle);
static void ngx_http_lucet_exit_process(ngx_cycle_t *cycle);


/* where this worker's instances live; NULL: it has no room for them */
lucet_region                      *ngx_http_lucet_region;

ngx_http_output_header_filter_pt   ngx_http_lucet_next_header_filter;
ngx_http_output_body_filter_pt     ngx_http_lucet_next_body_filter;


static ngx_command_t  ngx_http_lucet_commands[] = {

    { ngx_string("lucet"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_NOARGS,
      ngx_http_lucet_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lucet_instances"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_lucet_main_conf_t, instances),
      NULL },

    { ngx_string("lucet_plugin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE12,
      ngx_http_lucet_plugin,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lucet_time_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lucet_loc_conf_t, time_limit),
      NULL },

    { ngx_string("lucet_time_slice"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lucet_loc_conf_t, time_slice),
      NULL },

    { ngx_string("lucet_memory_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lucet_loc_conf_t, memory_limit),
      NULL },

    { ngx_string("lucet_response_buffer_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lucet_loc_conf_t, response_buffer_size),
      NULL },

    { ngx_string("lucet_on_error"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_lucet_on_error,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_lucet_module_ctx = {
    ngx_http_lucet_add_variables,          /* preconfiguration */
    ngx_http_lucet_postconfiguration,      /* postconfiguration */

    ngx_http_lucet_create_main_conf,       /* create main configuration */
    ngx_http_lucet_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_lucet_create_loc_conf,        /* create location configuration */
    ngx_http_lucet_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_lucet_module = {
    NGX_MODULE_V1,
    &ngx_http_lucet_module_ctx,            /* module context */
    ngx_http_lucet_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_lucet_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_lucet_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_lucet_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt         *h;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_lucet_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_lucet_module);

    if (ngx_http_lucet_resolve(cf, lmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!lmcf->used) {
        return NGX_OK;
    }

    ngx_http_lucet_note_variables(cf, lmcf);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_lucet_handler;

    ngx_http_lucet_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_lucet_header_filter;

    ngx_http_lucet_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_lucet_body_filter;

    return NGX_OK;
}


/*
 * A worker without a region serves what needs no plugin, and answers the rest with an error: better
 * than one that cannot start, is started again, and serves nothing.
 */
static ngx_int_t
ngx_http_lucet_init_process(ngx_cycle_t *cycle)
{
    lucet_status                 status;
    lucet_region_config         *config;
    ngx_http_lucet_main_conf_t  *lmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    lmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_lucet_module);

    if (lmcf == NULL || !lmcf->used) {
        return NGX_OK;
    }

    config = lucet_region_config_create();

    status = lucet_thread_prepare();

    if (status == LUCET_STATUS_OK) {
        status = lucet_region_config_set_slots(config, (uint32_t) lmcf->instances);
    }

    if (status == LUCET_STATUS_OK) {
        status = lucet_region_config_set_time_limit(config,
                                                    (uint64_t) lmcf->start_limit * 1000000);
    }

    if (status == LUCET_STATUS_OK) {
        status = lucet_region_config_set_backtrace(config, true);
    }

    if (status == LUCET_STATUS_OK) {
        status = lucet_region_create(config, &ngx_http_lucet_region);
    }

    if (status != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "lucet: this worker cannot run plugins: no room for %ui instances "
                      "(lucet_instances): %s", lmcf->instances, lucet_last_error());
        ngx_http_lucet_region = NULL;
    }

    lucet_region_config_free(config);

    ngx_http_lucet_start_watch(cycle, lmcf);

    return NGX_OK;
}


static void
ngx_http_lucet_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_http_lucet_region == NULL) {
        return;
    }

    if (lucet_region_free(ngx_http_lucet_region) != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "lucet: requests were still in plugins when the worker ended: %s",
                      lucet_last_error());
    }

    ngx_http_lucet_region = NULL;
}
