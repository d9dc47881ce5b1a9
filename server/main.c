/*
 * The program: settings, listeners, a probe of the kernel, then the control thread's loop.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <systemd/sd-daemon.h>

#include "config/address.h"
#include "config/command_line.h"
#include "config/product.h"
#include "config/settings.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/control/control.h"
#include "server/engine/uring/probe.h"
#include "server/engine/uring/uring.h"
#include "server/net/listener.h"

/* "http://" and an address. */
#define URL_BYTES_MAX (sizeof(struct address_text) + 8)

struct program {
    struct settings settings;
    struct listener listeners[SETTINGS_LIST_MAX];
    int listen_fds[SETTINGS_LIST_MAX];
    char urls[SETTINGS_LIST_MAX][URL_BYTES_MAX];
    const char *url_pointers[SETTINGS_LIST_MAX];
    uint32_t listen_count; /* of those open */
};

static enum log_level log_level_of(enum log_choice choice)
{
    switch (choice) {
    case LOG_CHOICE_ERROR:
        return LOG_LEVEL_ERROR;
    case LOG_CHOICE_WARN:
        return LOG_LEVEL_WARN;
    case LOG_CHOICE_INFO:
        return LOG_LEVEL_INFO;
    case LOG_CHOICE_DEBUG:
        return LOG_LEVEL_DEBUG;
    }
    ASSERT(false);
    return LOG_LEVEL_INFO;
}

static const char *files_name(const struct settings *settings)
{
    return settings->files == FILES_FIXED ? "fixed" : "plain";
}

static int open_listeners(struct program *program)
{
    const struct settings_list *addresses = &program->settings.listen;
    for (uint32_t i = 0; i < addresses->count; i++) {
        struct address address;
        struct sentence error;
        ASSERT(address_parse(span_of_string(addresses->items[i]), &address, &error) ==
               0); /* config_check() has parsed it */
        struct listener *listener = &program->listeners[i];
        int rc = listener_open(&address, listener);
        if (rc < 0) {
            log_error("cannot listen on '%s': %s; %s", addresses->items[i], strerror(-rc),
                      listener_advice(rc));
            return rc;
        }
        const struct address_text text = listener->text;
        const bool is_unix = listener->address.family == ADDRESS_UNIX;
        (void)snprintf(program->urls[i], URL_BYTES_MAX, "%s%s", is_unix ? "" : "http://",
                       text.text);
        program->url_pointers[i] = program->urls[i];
        program->listen_fds[i] = listener->fd;
        program->listen_count++;
    }
    return 0;
}

static void close_listeners(struct program *program)
{
    for (uint32_t i = 0; i < program->listen_count; i++) {
        listener_close(&program->listeners[i]);
    }
    program->listen_count = 0;
}

/* The lines that scripts wait for; always written, whatever the log level. */
static void on_ready(void *context)
{
    const struct program *program = context;
    for (uint32_t i = 0; i < program->listen_count; i++) {
        (void)fprintf(stderr, /* whoever closed standard error does not wait for it */
                      PRODUCT_NAME ": ready %s engine=uring files=%s workers=%u\n",
                      program->urls[i], files_name(&program->settings), program->settings.workers);
    }
    (void)sd_notify(0, "READY=1"); /* 0: not run by systemd */
}

/* Clients are refused from here on and go elsewhere. Workers may still name the descriptors. */
static void on_draining(void *context)
{
    struct program *program = context;
    (void)sd_notify(0, "STOPPING=1");
    for (uint32_t i = 0; i < program->listen_count; i++) {
        listener_refuse(&program->listeners[i]);
    }
}

static int serve(struct program *program)
{
    struct uring_probe_result probe;
    char what[OBSTACLE_TEXT_MAX];
    if (uring_probe(&probe, what) < 0) {
        log_error("cannot use io_uring: %s", what);
        return CONTROL_EXIT_FAILED;
    }
    struct utsname kernel;
    ASSERT(uname(&kernel) == 0);
    const struct control_config config = {
        .settings = &program->settings,
        .clock = clock_system(),
        .facts =
            {
                .version = PRODUCT_VERSION,
                .kernel = kernel.release,
                .engine = "uring",
                .lifetime =
                    program->settings.files == FILES_FIXED ? lifetime_name(probe.lifetime) : "none",
                .freshness = "watch",
                .listen_addresses = program->url_pointers,
                .listen_count = program->listen_count,
            },
        .listen_fds = program->listen_fds,
        .worker_count = program->settings.workers,
        .create_engine = uring_create,
        .context = program,
        .on_ready = on_ready,
        .on_draining = on_draining,
    };
    return control_run(&config);
}

int main(int argc, char **argv)
{
    struct program program = {0};
    settings_init(&program.settings);
    int exit_code;
    if (command_line_apply(argc, argv, stdout, stderr, &program.settings, &exit_code) ==
        COMMAND_LINE_RUN) {
        log_set_level(log_level_of(program.settings.log_level));
        exit_code = open_listeners(&program) == 0 ? serve(&program) : CONTROL_EXIT_FAILED;
        close_listeners(&program);
    }
    settings_deinit(&program.settings);
    return exit_code;
}
