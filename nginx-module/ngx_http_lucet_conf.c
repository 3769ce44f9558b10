/*
 * The configuration. Plugins are loaded here, in the master, when all of it has been read: each is
 * checked completely then, and one that cannot be used fails `nginx -t` with the reason.
 */


#include "ngx_http_lucet_module.h"


static char *ngx_http_lucet_item(ngx_conf_t *cf, ngx_command_t *dummy, void *conf);
static char *ngx_http_lucet_module_item(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf);
static char *ngx_http_lucet_key_item(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf);
static ngx_int_t ngx_http_lucet_load(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf,
    ngx_http_lucet_plugin_t *plugin);
static lucet_module_config *ngx_http_lucet_terms(ngx_http_lucet_main_conf_t *lmcf,
    ngx_http_lucet_plugin_t *plugin);
static void ngx_http_lucet_free_plugin(void *data);


void *
ngx_http_lucet_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_lucet_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lucet_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    ngx_rbtree_init(&lmcf->plugins, &lmcf->sentinel, ngx_str_rbtree_insert_value);

    if (ngx_array_init(&lmcf->list, cf->pool, 4, sizeof(ngx_http_lucet_plugin_t *)) != NGX_OK
        || ngx_array_init(&lmcf->links, cf->pool, 4, sizeof(ngx_http_lucet_link_t *)) != NGX_OK
        || ngx_array_init(&lmcf->keys, cf->pool, 2, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&lmcf->hashes, cf->pool, 2, sizeof(ngx_str_t)) != NGX_OK)
    {
        return NULL;
    }

    lmcf->allow_unsigned = NGX_CONF_UNSET;
    lmcf->instances = NGX_CONF_UNSET_UINT;

    return lmcf;
}


char *
ngx_http_lucet_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_lucet_main_conf_t *lmcf = conf;

    ngx_conf_init_value(lmcf->allow_unsigned, 0);
    ngx_conf_init_uint_value(lmcf->instances, 512);

    if (lmcf->instances == 0 || lmcf->instances > 20000) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"lucet_instances\" must be from 1 to 20000");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


void *
ngx_http_lucet_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_lucet_loc_conf_t  *llcf;

    llcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lucet_loc_conf_t));
    if (llcf == NULL) {
        return NULL;
    }

    llcf->links = NGX_CONF_UNSET_PTR;
    llcf->time_limit = NGX_CONF_UNSET_MSEC;
    llcf->time_slice = NGX_CONF_UNSET_MSEC;
    llcf->memory_limit = NGX_CONF_UNSET_SIZE;
    llcf->response_buffer_size = NGX_CONF_UNSET_SIZE;
    llcf->on_error = NGX_CONF_UNSET_UINT;

    return llcf;
}


char *
ngx_http_lucet_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_lucet_loc_conf_t *prev = parent;
    ngx_http_lucet_loc_conf_t *conf = child;

    ngx_http_lucet_main_conf_t  *lmcf;

    ngx_conf_merge_ptr_value(conf->links, prev->links, NULL);
    ngx_conf_merge_msec_value(conf->time_limit, prev->time_limit, NGX_HTTP_LUCET_TIME_LIMIT);
    ngx_conf_merge_msec_value(conf->time_slice, prev->time_slice, 5);
    ngx_conf_merge_size_value(conf->memory_limit, prev->memory_limit, 128 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->response_buffer_size, prev->response_buffer_size,
                              8 * 1024 * 1024);

    if (conf->on_error == NGX_CONF_UNSET_UINT) {
        conf->status = prev->status;
        conf->location = prev->location;
    }

    ngx_conf_merge_uint_value(conf->on_error, prev->on_error, NGX_HTTP_LUCET_ON_ERROR_DEFAULT);

    if (conf->links) {
        lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_lucet_module);

        if (conf->memory_limit == 0) {
            lmcf->unlimited = 1;
        }

        lmcf->max_memory = ngx_max(lmcf->max_memory, conf->memory_limit);
    }

    return NGX_CONF_OK;
}


ngx_http_lucet_plugin_t *
ngx_http_lucet_find(ngx_http_lucet_main_conf_t *lmcf, ngx_str_t *name)
{
    return (ngx_http_lucet_plugin_t *)
               ngx_str_rbtree_lookup(&lmcf->plugins, name, ngx_crc32_short(name->data, name->len));
}


/* lucet { ... } */

char *
ngx_http_lucet_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                        *rv;
    ngx_conf_t                   save;
    ngx_http_lucet_main_conf_t  *lmcf = conf;

    if (lmcf->block) {
        return "is duplicate";
    }

    lmcf->block = 1;

    save = *cf;
    cf->handler = ngx_http_lucet_item;
    cf->handler_conf = conf;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv;
}


static char *
ngx_http_lucet_item(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_str_t                   *value, *hash;
    ngx_http_lucet_main_conf_t  *lmcf = conf;

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "module") == 0) {
        return ngx_http_lucet_module_item(cf, lmcf);
    }

    if (ngx_strcmp(value[0].data, "key") == 0) {
        return ngx_http_lucet_key_item(cf, lmcf);
    }

    if (ngx_strcmp(value[0].data, "hash") == 0 && cf->args->nelts == 2) {
        hash = ngx_array_push(&lmcf->hashes);
        if (hash == NULL) {
            return NGX_CONF_ERROR;
        }

        *hash = value[1];
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[0].data, "allow_unsigned") == 0 && cf->args->nelts == 2) {

        if (ngx_strcasecmp(value[1].data, (u_char *) "on") == 0) {
            lmcf->allow_unsigned = 1;
            return NGX_CONF_OK;
        }

        if (ngx_strcasecmp(value[1].data, (u_char *) "off") == 0) {
            lmcf->allow_unsigned = 0;
            return NGX_CONF_OK;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"allow_unsigned\" must be \"on\" or \"off\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[0].data, "watch") == 0 && cf->args->nelts == 2) {

        lmcf->watch = ngx_parse_time(&value[1], 0);

        if (lmcf->watch == (ngx_msec_t) NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"watch\" needs a time such as \"1s\"");
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[0].data, "hash") == 0
        || ngx_strcmp(value[0].data, "watch") == 0
        || ngx_strcmp(value[0].data, "allow_unsigned") == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\"", &value[0]);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in the block \"lucet\"", &value[0]);

    return NGX_CONF_ERROR;
}


/* module NAME PATH [CONFIG]; */

static char *
ngx_http_lucet_module_item(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf)
{
    ngx_str_t                *value;
    ngx_http_lucet_plugin_t  *plugin, **place;

    value = cf->args->elts;

    if (cf->args->nelts != 3 && cf->args->nelts != 4) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "write: module NAME PATH [CONFIG]");
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0 || value[1].data[0] == '$' || ngx_strcmp(value[1].data, "off") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a module cannot have the name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_lucet_find(lmcf, &value[1]) != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there is a module \"%V\" already", &value[1]);
        return NGX_CONF_ERROR;
    }

    plugin = ngx_pcalloc(cf->pool, sizeof(ngx_http_lucet_plugin_t));
    place = ngx_array_push(&lmcf->list);

    if (plugin == NULL || place == NULL) {
        return NGX_CONF_ERROR;
    }

    *place = plugin;

    plugin->sn.str = value[1];
    plugin->sn.node.key = ngx_crc32_short(value[1].data, value[1].len);
    plugin->path = value[2];
    plugin->file = cf->conf_file->file.name.data;
    plugin->line = cf->conf_file->line;

    if (cf->args->nelts == 4) {
        plugin->config = value[3];
    }

    if (ngx_conf_full_name(cf->cycle, &plugin->path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_rbtree_insert(&lmcf->plugins, &plugin->sn.node);

    return NGX_CONF_OK;
}


/* key FILE; or key RW...; */

static char *
ngx_http_lucet_key_item(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf)
{
    ssize_t      n;
    ngx_fd_t     fd;
    ngx_str_t   *value, *key, path;
    u_char       text[1024];

    value = cf->args->elts;

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "write: key FILE, or key RW...");
        return NGX_CONF_ERROR;
    }

    key = ngx_array_push(&lmcf->keys);
    if (key == NULL) {
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 56 && ngx_strncmp(value[1].data, "RW", 2) == 0) {
        *key = value[1];
        return NGX_CONF_OK;
    }

    path = value[1];

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(path.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", &path);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, text, sizeof(text) - 1);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &path);
    }

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", &path);
        return NGX_CONF_ERROR;
    }

    text[n] = '\0';

    key->len = n;
    key->data = ngx_pnalloc(cf->pool, n + 1);
    if (key->data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(key->data, text, n + 1);

    return NGX_CONF_OK;
}


/* lucet_plugin NAME|$variable|off [CONFIG]; several make a chain */

char *
ngx_http_lucet_plugin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                         *value;
    ngx_http_lucet_link_t             *link, **place;
    ngx_http_lucet_main_conf_t        *lmcf;
    ngx_http_compile_complex_value_t   ccv;
    ngx_http_lucet_loc_conf_t         *llcf = conf;

    value = cf->args->elts;

    if (llcf->links == NULL) {
        return "comes after \"lucet_plugin off\"";
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2 || llcf->links != NGX_CONF_UNSET_PTR) {
            return "\"off\" stands alone";
        }

        llcf->links = NULL;
        return NGX_CONF_OK;
    }

    if (llcf->links == NGX_CONF_UNSET_PTR) {
        llcf->links = ngx_array_create(cf->pool, 1, sizeof(ngx_http_lucet_link_t *));
        if (llcf->links == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_lucet_module);

    link = ngx_pcalloc(cf->pool, sizeof(ngx_http_lucet_link_t));
    if (link == NULL) {
        return NGX_CONF_ERROR;
    }

    link->name = value[1];
    link->file = cf->conf_file->file.name.data;
    link->line = cf->conf_file->line;

    if (cf->args->nelts == 3) {
        link->config = value[2];
        link->own_config = 1;
    }

    if (ngx_http_script_variables_count(&value[1])) {
        link->variable = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (link->variable == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[1];
        ccv.complex_value = link->variable;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    place = ngx_array_push(llcf->links);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }

    *place = link;

    place = ngx_array_push(&lmcf->links);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }

    *place = link;

    return NGX_CONF_OK;
}


/* lucet_on_error pass | STATUS | @named; */

char *
ngx_http_lucet_on_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t                   status;
    ngx_str_t                  *value;
    ngx_http_lucet_loc_conf_t  *llcf = conf;

    if (llcf->on_error != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "pass") == 0) {
        llcf->on_error = NGX_HTTP_LUCET_ON_ERROR_PASS;
        return NGX_CONF_OK;
    }

    if (value[1].data[0] == '@' && value[1].len > 1) {
        llcf->on_error = NGX_HTTP_LUCET_ON_ERROR_LOCATION;
        llcf->location = value[1];
        return NGX_CONF_OK;
    }

    status = ngx_atoi(value[1].data, value[1].len);

    if (status < 400 || status > 599 || status == 499) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"lucet_on_error\" is \"pass\", a status from 400 to 599, or \"@name\" "
                           "of a location, not \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    llcf->on_error = NGX_HTTP_LUCET_ON_ERROR_STATUS;
    llcf->status = status;

    return NGX_CONF_OK;
}


/* All has been read: loads what there is, and finds what is named. */

ngx_int_t
ngx_http_lucet_resolve(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf)
{
    ngx_uint_t                  i;
    ngx_http_lucet_link_t     **link;
    ngx_http_lucet_plugin_t   **plugin;
    ngx_http_lucet_loc_conf_t  *llcf;

    llcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_lucet_module);

    lmcf->start_limit = NGX_HTTP_LUCET_TIME_LIMIT;

    if (llcf->time_limit != NGX_CONF_UNSET_MSEC && llcf->time_limit != 0) {
        lmcf->start_limit = llcf->time_limit;
    }

    if (lmcf->unlimited) {
        lmcf->max_memory = 0;
    }

    plugin = lmcf->list.elts;

    for (i = 0; i < lmcf->list.nelts; i++) {
        if (ngx_http_lucet_load(cf, lmcf, plugin[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    link = lmcf->links.elts;

    for (i = 0; i < lmcf->links.nelts; i++) {
        lmcf->used = 1;

        if (link[i]->variable) {
            continue;
        }

        link[i]->plugin = ngx_http_lucet_find(lmcf, &link[i]->name);

        if (link[i]->plugin == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"lucet_plugin %V\": the block \"lucet\" has no module of this name "
                          "in %s:%ui", &link[i]->name, link[i]->file, link[i]->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lucet_load(ngx_conf_t *cf, ngx_http_lucet_main_conf_t *lmcf,
    ngx_http_lucet_plugin_t *plugin)
{
    lucet_status         status;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_lucet_free_plugin;
    cln->data = plugin;

    status = lucet_module_ref_create(&plugin->ref);

    if (status == LUCET_STATUS_OK) {
        plugin->terms = ngx_http_lucet_terms(lmcf, plugin);

        if (plugin->terms == NULL) {
            status = LUCET_STATUS_INVALID_ARGUMENT;

        } else {
            ngx_http_lucet_identify(plugin, &plugin->id);
            status = ngx_http_lucet_publish(plugin);
        }
    }

    if (status != LUCET_STATUS_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "lucet: module \"%V\" cannot be loaded from \"%V\": %s (%s) in %s:%ui",
                      &plugin->sn.str, &plugin->path, lucet_last_error(),
                      lucet_status_name(status), plugin->file, plugin->line);

        if (status == LUCET_STATUS_UNTRUSTED_ARTIFACT) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "lucet: to trust it, name the key that signed it (\"key\"), pin it "
                          "(\"hash\"), or trust every file (\"allow_unsigned on\") in the block "
                          "\"lucet\"");
        }
    }

    return (status == LUCET_STATUS_OK) ? NGX_OK : NGX_ERROR;
}


/* Loads what is in a plugin's file, checks it, and lets requests have it. */

lucet_status
ngx_http_lucet_publish(ngx_http_lucet_plugin_t *plugin)
{
    lucet_status   status;
    lucet_module  *module;

    status = lucet_module_load_file((char *) plugin->path.data, plugin->terms, &module);

    if (status != LUCET_STATUS_OK) {
        return status;
    }

    status = lucet_http_check(module, NULL, NULL);

    if (status == LUCET_STATUS_OK) {
        status = lucet_module_ref_publish(plugin->ref, module);
    }

    (void) lucet_module_free(module);

    return status;
}


void
ngx_http_lucet_identify(ngx_http_lucet_plugin_t *plugin, ngx_http_lucet_id_t *id)
{
    ngx_file_info_t  fi;

    ngx_memzero(id, sizeof(ngx_http_lucet_id_t));

    if (ngx_file_info(plugin->path.data, &fi) == NGX_FILE_ERROR) {
        return;
    }

    id->file = ngx_file_uniq(&fi);
    id->size = ngx_file_size(&fi);
    id->seconds = fi.st_mtim.tv_sec;
    id->nanoseconds = fi.st_mtim.tv_nsec;
}


/* What a plugin is loaded with; NULL if the operator's keys are none. */

static lucet_module_config *
ngx_http_lucet_terms(ngx_http_lucet_main_conf_t *lmcf, ngx_http_lucet_plugin_t *plugin)
{
    ngx_str_t            *text;
    ngx_uint_t            i;
    lucet_status          status;
    lucet_http_server     server;
    lucet_module_config  *config;

    server = ngx_http_lucet_server;
    server.config.data = (char *) plugin->config.data;
    server.config.len = plugin->config.len;

    config = lucet_module_config_create();

    status = lucet_module_config_allow_unsigned(config, lmcf->allow_unsigned);

    if (status == LUCET_STATUS_OK) {
        status = lucet_module_config_set_http_server(config, &server);
    }

    if (status == LUCET_STATUS_OK && lmcf->max_memory) {
        status = lucet_module_config_set_max_memory(config, lmcf->max_memory);
    }

    text = lmcf->keys.elts;

    for (i = 0; status == LUCET_STATUS_OK && i < lmcf->keys.nelts; i++) {
        status = lucet_module_config_add_key(config, (char *) text[i].data);
    }

    text = lmcf->hashes.elts;

    for (i = 0; status == LUCET_STATUS_OK && i < lmcf->hashes.nelts; i++) {
        status = lucet_module_config_add_hash(config, (char *) text[i].data);
    }

    if (status != LUCET_STATUS_OK) {
        lucet_module_config_free(config);
        return NULL;
    }

    return config;
}


static void
ngx_http_lucet_free_plugin(void *data)
{
    ngx_http_lucet_plugin_t *plugin = data;

    if (plugin->ref) {
        (void) lucet_module_ref_free(plugin->ref);
        plugin->ref = NULL;
    }

    lucet_module_config_free(plugin->terms);
    plugin->terms = NULL;
}
