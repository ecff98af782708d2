/* The client requests of callgrind, for ctypes: what valgrind offers are macros around inline assembler. */
#include <valgrind/callgrind.h>

int running_on_valgrind(void) { return RUNNING_ON_VALGRIND != 0; }

void start(void) { CALLGRIND_START_INSTRUMENTATION; }

/* Writes what was counted since the last call into a file of its own, and begins at zero. */
void dump(void) { CALLGRIND_DUMP_STATS; }
