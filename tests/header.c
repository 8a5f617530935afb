/*
 * A C caller of include/signgate.h. Without arguments it prints the version, the answers to signtool, then each reason as
 * `NAME NUMBER CODE`; with a code it prints that reason's number, or fails if there is none.
 * Compiled and run by tests/header.rs.
 */
#include "signgate.h"

#include <stdint.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc > 1) {
        enum signgate_reason reason = signgate_reason_of(argv[1]);
        printf("%d\n", (int)reason);
        return reason == SIGNGATE_NO_REASON;
    }
    puts(SIGNGATE_VERSION);
#define PRINT_ANSWER(name, value) printf("%s %08lx\n", #name, (unsigned long)(uint32_t)name);
    SIGNGATE_ANSWERS(PRINT_ANSWER)
#define PRINT(name, number, code) printf("%s %d %s\n", #name, (int)name, signgate_reason_code(number));
    SIGNGATE_REASONS(PRINT)
    return signgate_reason_code(-1) != NULL;
}
