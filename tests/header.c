/*
 * A C caller of include/signgate.h. Without arguments it prints the version, then each reason as
 * `NAME NUMBER CODE`; with a code it prints that reason's number, or fails if there is none.
 * Compiled and run by tests/header.rs.
 */
#include "signgate.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc > 1) {
        enum signgate_reason reason = signgate_reason_of(argv[1]);
        printf("%d\n", (int)reason);
        return reason == SIGNGATE_NO_REASON;
    }
    puts(SIGNGATE_VERSION);
#define PRINT(name, number, code) printf("%s %d %s\n", #name, (int)name, signgate_reason_code(number));
    SIGNGATE_REASONS(PRINT)
    return signgate_reason_code(-1) != NULL;
}
