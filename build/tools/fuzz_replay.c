/*
 * A main() for fuzz targets where there is no libFuzzer: feeds every file of the given folders to
 * the target, so that the committed corpus and past crashes are an ordinary test under gcc. The
 * target itself aborts when its property does not hold.
 */
#include <errno.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Allocated to the byte, so that the address sanitizer sees the first step past the input's end. */
static int replay_file(const char *path, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "fuzz_replay: fopen() '%s' failed: %s\n", path, strerror(errno));
        return -1;
    }
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);
    int rc = data != NULL && fread(data, 1, bytes, file) == bytes ? 0 : -1;
    (void)fclose(file); /* read only: nothing can be lost */
    if (rc == 0) {
        (void)LLVMFuzzerTestOneInput(data, bytes); /* always 0; a failure aborts */
    } else {
        fprintf(stderr, "fuzz_replay: reading '%s' failed\n", path);
    }
    free(data);
    return rc;
}

static int is_input(const FTSENT *entry)
{
    const char *dot = strrchr(entry->fts_name, '.');
    return entry->fts_info == FTS_F && (dot == NULL || strcmp(dot, ".dict") != 0);
}

/* In the order of names: the same run every time. */
static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

int main(int argc, char **argv)
{
    (void)argc;
    char *here[] = {(char[]){"."}, NULL};
    FTS *tree =
        fts_open(argv[1] != NULL ? argv + 1 : here, FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
    if (tree == NULL) {
        fprintf(stderr, "fuzz_replay: fts_open() failed: %s\n", strerror(errno));
        return 1;
    }

    int rc = 0;
    unsigned input_count = 0;
    for (FTSENT *entry = fts_read(tree); entry != NULL; entry = fts_read(tree)) {
        if (!is_input(entry))
            continue;
        /* Named before, not after: when the target aborts, the last line says on what. */
        printf("%s\n", entry->fts_path);
        (void)fflush(stdout); /* if this fails, so does the runner */
        if (replay_file(entry->fts_accpath, (size_t)entry->fts_statp->st_size) != 0)
            rc = 1;
        input_count++;
    }
    (void)fts_close(tree); /* about to exit */

    if (input_count == 0) {
        fprintf(stderr, "fuzz_replay: no inputs; commit at least one file to the corpus folder\n");
        return 1;
    }
    printf("%u inputs replayed\n", input_count);
    return rc;
}
