#include "server/ctl/ctl.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "config/product.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/control/admin_address.h"
#include "server/ctl/client.h"
#include "server/ctl/options.h"
#include "server/ctl/show.h"

#define PROGRAM "turntablectl"

/* From the start to the last byte. */
#define DEADLINE_NS (5 * NS_PER_SEC)

#define REMEDY "start turntable, or name its admin listener: " PROGRAM " --admin unix:PATH"

/* The addresses to try, one after the other. */
struct places {
    struct address addresses[ADMIN_DEFAULT_MAX];
    uint32_t count;
};

/* Lists where to look; -EINVAL with `ret_error` when `admin` is no address. */
static int find_places(const char *admin, struct places *ret_places, struct sentence *ret_error)
{
    if (admin != NULL) {
        ret_places->count = 1;
        return address_parse(span_of_string(admin), &ret_places->addresses[0], ret_error);
    }
    struct admin_places system = admin_places_system();
    ret_places->count = admin_default_addresses(&system, ret_places->addresses);
    return 0;
}

/*
 * Connects to the first place where somebody listens.
 *
 * returns   a descriptor, or -errno of the last place, with `ret_error` naming all that were tried
 */
static int connect_first(const struct places *places,
                         uint64_t deadline_ns,
                         struct address *ret_address,
                         struct sentence *ret_error)
{
    int fd = -ENOENT;
    sentence_set(ret_error, "no server: ");
    for (uint32_t i = 0; i < places->count; i++) {
        const struct address *address = &places->addresses[i];
        fd = client_connect(address, clock_system(), deadline_ns);
        if (fd >= 0) {
            *ret_address = *address;
            return fd;
        }
        struct address_text text = address_format(address);
        sentence_add(ret_error, "%s'%s' (%s)", i == 0 ? "tried " : ", ", text.text, strerror(-fd));
    }
    sentence_add(ret_error, "; " REMEDY);
    return fd;
}

static enum ctl_exit show(const struct ctl_options *options, const char *body, FILE *out, FILE *err)
{
    json_error_t error;
    json_t *root = json_loads(body, 0, &error);
    if (!json_is_object(root)) {
        struct sentence reason; /* the parser quotes what came over the socket */
        sentence_set(&reason, "%s", error.text[0] == '\0' ? "no JSON object" : error.text);
        (void)fprintf(err, PROGRAM ": the answer is not what turntable says: %s\n", reason.text);
        json_decref(root);
        return CTL_EXIT_REFUSED;
    }
    if (options->is_json) {
        (void)json_dumpf(root, out, JSON_INDENT(2)); /* ctl_run() looks at the stream */
        (void)fputc('\n', out);
    } else if (options->verb == CTL_VERB_STATUS) {
        show_status(root, out);
    } else {
        show_generations(root, out);
    }
    json_decref(root);
    return CTL_EXIT_OK;
}

static enum ctl_exit
exchange(const struct ctl_options *options, const struct places *places, FILE *out, FILE *err)
{
    uint64_t deadline_ns = clock_monotonic_ns(clock_system()) + DEADLINE_NS;
    struct address address;
    struct sentence refusal;
    int fd = connect_first(places, deadline_ns, &address, &refusal);
    if (fd < 0) {
        (void)fprintf(err, PROGRAM ": %s\n", refusal.text);
        return CTL_EXIT_NO_SERVER;
    }
    const char *path = options->verb == CTL_VERB_STATUS ? "/status" : "/generations";
    struct client_answer answer;
    int error = client_get(fd, path, clock_system(), deadline_ns, &answer);
    (void)close(fd); /* everything was read */
    if (error != 0) {
        (void)fprintf(err, PROGRAM ": '%s' listens but gives no answer: %s; " REMEDY "\n",
                      address_format(&address).text, strerror(-error));
        return error == -ETIMEDOUT ? CTL_EXIT_NO_SERVER : CTL_EXIT_REFUSED;
    }
    enum ctl_exit status = CTL_EXIT_REFUSED;
    if (answer.status == 200) {
        status = show(options, answer.body, out, err);
    } else {
        (void)fprintf(err, PROGRAM ": the server says %u %s\n", answer.status, answer.reason);
    }
    client_answer_deinit(&answer);
    return status;
}

static enum ctl_exit ask(const struct ctl_options *options, FILE *out, FILE *err)
{
    struct places places;
    struct sentence refusal;
    if (find_places(options->admin, &places, &refusal) != 0) {
        (void)fprintf(err, PROGRAM ": --admin: %s\n", refusal.text);
        return CTL_EXIT_USAGE;
    }
    return exchange(options, &places, out, err);
}

static enum ctl_exit run(int argc, char *const *argv, FILE *out, FILE *err)
{
    struct ctl_options options;
    struct sentence refusal;
    if (options_parse(argc, argv, &options, &refusal) != 0) {
        (void)fprintf(err, PROGRAM ": %s\nTry '" PROGRAM " --help'.\n", refusal.text);
        return CTL_EXIT_USAGE;
    }
    switch (options.verb) {
    case CTL_VERB_HELP:
        (void)fputs(ctl_usage, out);
        return CTL_EXIT_OK;
    case CTL_VERB_VERSION:
        (void)fputs(PROGRAM " " PRODUCT_VERSION "\n", out);
        return CTL_EXIT_OK;
    case CTL_VERB_STATUS:
    case CTL_VERB_GENERATIONS:
        break;
    }
    return ask(&options, out, err);
}

enum ctl_exit ctl_run(int argc, char *const *argv, FILE *out, FILE *err)
{
    enum ctl_exit status = run(argc, argv, out, err);
    if (fflush(out) != 0 || ferror(out) != 0) {
        (void)fprintf(err, PROGRAM ": cannot write the answer: %s\n", strerror(errno));
        return CTL_EXIT_REFUSED;
    }
    return status;
}
