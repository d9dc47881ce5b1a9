#include "config/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/address.h"
#include "config/descriptors.h"
#include "config/setting_row.h"
#include "server/base/check.h"

/* Only -errno is of interest: whether the process may do `mode` with the path. */
static int try_access(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) < 0 ? -errno : 0;
}

/**
 * Finds the first directory on the way to `path` that is missing or cannot be passed.
 *
 * ret_front   the way up to there; `path` itself when everything before it is fine
 */
static void find_obstacle(const char *path, char ret_front[static PATH_MAX])
{
    int bytes = (int)strnlen(path, PATH_MAX - 1);
    for (int i = 1; i < bytes; i++) {
        if (path[i] != '/' || path[i - 1] == '/') {
            continue;
        }
        char inside[PATH_MAX + sizeof("/.")];
        (void)snprintf(inside, sizeof(inside), "%.*s/.", i, path); /* fits */
        if (try_access(inside, F_OK) < 0) {
            (void)snprintf(ret_front, PATH_MAX, "%.*s", i, path); /* fits */
            return;
        }
    }
    (void)snprintf(ret_front, PATH_MAX, "%.*s", bytes, path); /* fits */
}

static bool is_symlink(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

static void report_unreachable(const char *option,
                               const char *given,
                               const char *path,
                               int error_number,
                               struct findings *errors)
{
    char front[PATH_MAX];
    find_obstacle(path, front);
    switch (error_number) {
    case ENOENT:
        findings_add(errors, "--%s '%s': '%s' %s; create it, or name another", option, given, front,
                     is_symlink(front) ? "is a symbolic link that leads nowhere"
                                       : "does not exist");
        break;
    case ENOTDIR:
        findings_add(errors, "--%s '%s': '%s' is not a directory", option, given, front);
        break;
    case EACCES:
        findings_add(errors,
                     "--%s '%s': user %u may not pass '%s'; give it search permission (chmod o+x)",
                     option, given, (unsigned)geteuid(), front);
        break;
    case ELOOP:
        findings_add(errors, "--%s '%s': a loop of symbolic links; mend them", option, given);
        break;
    default:
        findings_add(errors, "--%s '%s': stat() failed: %s", option, given, strerror(error_number));
        break;
    }
}

/* Whether `path`, on the way to what the option was given, is a directory; otherwise says why. */
static bool
check_directory(const char *option, const char *given, const char *path, struct findings *errors)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        report_unreachable(option, given, path, errno, errors);
        return false;
    }
    if (!S_ISDIR(status.st_mode)) {
        findings_add(errors, "--%s '%s': '%s' is no directory, but a file", option, given, path);
        return false;
    }
    return true;
}

static void check_root(const struct settings *settings, struct findings *errors)
{
    if (!check_directory("root", settings->root, settings->root, errors)) {
        return;
    }
    int rc = try_access(settings->root, R_OK | X_OK);
    if (rc < 0) {
        findings_add(
            errors,
            "--root '%s': user %u may not read and search it: %s; give it both (chmod o+rx)",
            settings->root, (unsigned)geteuid(), strerror(-rc));
    }
}

/* The file that is there already; false when there is none. */
static bool check_log_file(const char *path, struct findings *errors)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        return false;
    }
    int rc = try_access(path, W_OK);
    if (S_ISDIR(status.st_mode)) {
        findings_add(errors, "--access-log '%s': a directory; name a file in it", path);
    } else if (rc < 0) {
        findings_add(errors, "--access-log '%s': user %u may not write it: %s", path,
                     (unsigned)geteuid(), strerror(-rc));
    }
    return true;
}

/* The start makes the file; whether it can, is found out now. */
static void check_access_log(const struct settings *settings, struct findings *errors)
{
    const char *path = settings->access_log;
    if (strcmp(path, "none") == 0 || strcmp(path, "-") == 0 || check_log_file(path, errors)) {
        return;
    }
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        int bytes = slash == path ? 1 : (int)strnlen(path, (size_t)(slash - path));
        (void)snprintf(folder, sizeof(folder), "%.*s", bytes,
                       path); /* cut: does not exist either */
    }
    if (!check_directory("access-log", path, folder, errors)) {
        return;
    }
    int rc = try_access(folder, W_OK | X_OK);
    if (rc < 0) {
        findings_add(errors, "--access-log '%s': user %u may not make a file in '%s': %s", path,
                     (unsigned)geteuid(), folder, strerror(-rc));
    }
}

/* Every address to accept on, the admin's among them: `texts` were accepted by address_parse(). */
static uint32_t collect_addresses(const struct settings *settings,
                                  const char *texts[static SETTINGS_LIST_MAX + 1])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < settings->listen.count; i++) {
        texts[count++] = settings->listen.items[i];
    }
    if (settings->admin[0] != '\0' && strcmp(settings->admin, "none") != 0) {
        texts[count++] = settings->admin;
    }
    return count;
}

static struct address parsed(const char *text)
{
    struct address address;
    struct sentence sentence = {.text = ""};
    int rc = address_parse(span_of_string(text), &address, &sentence);
    ASSERT(rc == 0); /* settings hold what address_parse() has accepted */
    return address;
}

static void check_addresses(const struct settings *settings, struct findings *errors)
{
    const char *texts[SETTINGS_LIST_MAX + 1];
    uint32_t count = collect_addresses(settings, texts);
    for (uint32_t i = 1; i < count; i++) {
        struct address later = parsed(texts[i]);
        for (uint32_t j = 0; j < i; j++) {
            struct address earlier = parsed(texts[j]);
            if (address_overlaps(&earlier, &later)) {
                findings_add(errors,
                             "--%s '%s': taken by --listen '%s' already; leave one out, or change "
                             "its port",
                             i < settings->listen.count ? "listen" : "admin", texts[i], texts[j]);
                break;
            }
        }
    }
}

/* Those that the scheduler may give the process: taskset and cpusets count. */
static uint32_t processor_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t holds */
    return online > 0 ? (uint32_t)online : 1;
}

/* Each worker gets a share of the connections, so there is at least one for each. */
static void settle_workers(struct settings *settings, struct findings *errors)
{
    if (settings->workers == VALUE_AUTO) {
        uint32_t count = processor_count();
        uint32_t most = (uint32_t)setting_row_of(SETTING_workers)->bounds.high;
        most = settings->max_connections < most ? settings->max_connections : most;
        settings->workers = count < most ? count : most;
        return;
    }
    if (settings->workers > settings->max_connections) {
        findings_add(errors,
                     "--max-connections %" PRIu32 ": fewer than --workers %" PRIu32
                     "; each worker needs one",
                     settings->max_connections, settings->workers);
    }
}

int config_check(struct settings *settings, struct findings *errors, struct findings *warnings)
{
    uint32_t error_count = findings_count(errors);
    check_root(settings, errors);
    check_access_log(settings, errors);
    check_addresses(settings, errors);
    settle_workers(settings, errors);
    if (findings_count(errors) == error_count) {
        descriptors_settle(settings, errors, warnings);
    }
    return findings_count(errors) == error_count ? 0 : -EINVAL;
}
