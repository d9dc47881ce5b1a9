#include "config/setting_text.h"

#include <errno.h>

#include "config/address.h"
#include "server/base/check.h"

typedef int (*check_fn)(struct span text, struct sentence *ret_error);

static int refuse(struct span text, const char *allowed, struct sentence *ret_error)
{
    sentence_set(ret_error, "found ");
    sentence_add_quoted(ret_error, text);
    sentence_add(ret_error, "; allowed: %s", allowed);
    return -EINVAL;
}

static int check_root(struct span text, struct sentence *ret_error)
{
    (void)text; /* whether it is a directory, the machine knows: check.c */
    (void)ret_error;
    return 0;
}

static int check_index(struct span text, struct sentence *ret_error)
{
    static const char allowed[] = "a file's bare name, such as index.html";
    if (memchr(text.ptr, '/', text.bytes) != NULL) {
        return refuse(text, allowed, ret_error);
    }
    if (text.ptr[0] == '.') {
        /* "." and ".." too: names with a dot in front are never served. */
        return refuse(text, "a name that does not begin with a dot, such as index.html", ret_error);
    }
    return 0;
}

static int check_listen(struct span text, struct sentence *ret_error)
{
    struct address address;
    return address_parse(text, &address, ret_error);
}

static int check_admin(struct span text, struct sentence *ret_error)
{
    if (span_equal(text, SPAN("none"))) {
        return 0;
    }
    struct address address;
    int rc = address_parse(text, &address, ret_error);
    if (rc < 0) {
        sentence_add(ret_error, ", or none");
    }
    return rc;
}

/* `off` in other servers: here it would be a file of that name, which nobody means. */
static int check_access_log(struct span text, struct sentence *ret_error)
{
    static const struct span mistaken[] = {SPAN("off"), SPAN("no"), SPAN("false")};
    for (size_t i = 0; i < ARRAY_COUNT(mistaken); i++) {
        if (span_equal(text, mistaken[i])) {
            return refuse(text, "a file, - for standard output, or none", ret_error);
        }
    }
    return 0;
}

/* One for each TEXT and LIST row; a test counts them. */
static const check_fn checks[SETTING_COUNT] = {
    [SETTING_root] = check_root,
    [SETTING_index] = check_index,
    [SETTING_listen] = check_listen,
    [SETTING_admin] = check_admin,
    [SETTING_access_log] = check_access_log,
};

int setting_text_check(enum setting_id id, struct span text, struct sentence *ret_error)
{
    ASSERT(id < SETTING_COUNT);
    ASSERT(checks[id] != NULL);
    if (text.bytes == 0) {
        sentence_set(ret_error, "found nothing; allowed: a value");
        return -EINVAL;
    }
    if (memchr(text.ptr, '\0', text.bytes) != NULL) {
        return refuse(text, "text without a NUL", ret_error);
    }
    return checks[id](text, ret_error);
}
