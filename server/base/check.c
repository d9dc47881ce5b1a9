#include "server/base/check.h"

#include <stdio.h>
#include <stdlib.h>

[[gnu::noreturn]] void check_failed(const char *file, int line, const char *expression)
{
    (void)fprintf(stderr, "turntable: bug: %s:%d: check failed: %s\n", file, line, expression);
    abort();
}
