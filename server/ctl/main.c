/*
 * turntablectl, the program: ctl.h with the process's own streams.
 */
#include <stdio.h>

#include "server/ctl/ctl.h"

int main(int argc, char **argv)
{
    return (int)ctl_run(argc, argv, stdout, stderr);
}
