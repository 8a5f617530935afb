/* What a C program does to a module that it has loaded, and Rust's own test harness does not: it forks and runs another
 * program out of the child, closes the library under a living thread, leaves things to atexit, is hit by signals, and
 * begins and ends ten thousand times. `process MODULE SCENE [COUNT]` ends with 0 and one line, or says what went wrong.
 * It must never need anything but libc. Read next: process.rs, which compiles and runs it. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef ulong_t (*function_t)();

/* The places of functions in a list of 2.40. */
enum { INITIALIZE = 0, FINALIZE = 1, SLOT_LIST = 4, OPEN = 12, CLOSE = 13, FIND_INIT = 26, FIND = 27, FIND_FINAL = 28,
       SIGN_INIT = 42, SIGN = 43 };

struct list {
    unsigned char version[2];
    function_t functions[68];
};

static struct list *module;
static void *library;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

static void must(const char *what, ulong_t code, ulong_t expected) {
    if (code != expected) fail("%s answered 0x%lx, expected 0x%lx", what, code, expected);
}

static ulong_t call(int place, void *a, void *b, void *c, void *d, void *e) {
    ulong_t (*function)(void *, void *, void *, void *, void *) = (void *)module->functions[place];
    return function(a, b, c, d, e);
}

static void initialize(void) { must("C_Initialize", call(INITIALIZE, 0, 0, 0, 0, 0), 0); }
static void finalize(void) { must("C_Finalize", call(FINALIZE, 0, 0, 0, 0, 0), 0); }

/* One signature with the first key of the first slot; the code of what failed first. */
static ulong_t sign(void) {
    ulong_t slots[16], count = 16, session = 0, key = 0, found = 0, class = 3, length = 512;
    unsigned char data[32] = {7}, signature[512];
    ulong_t code = call(SLOT_LIST, (void *)1, slots, &count, 0, 0);
    if (code) return code;
    if (count == 0) return 3;
    if ((code = call(OPEN, (void *)slots[0], (void *)4, 0, 0, &session))) return code;
    struct { ulong_t type; void *value; ulong_t length; } class_is = {0, &class, sizeof class};
    struct { ulong_t mechanism; void *parameter; ulong_t length; } ecdsa = {0x1041, 0, 0};
    if ((code = call(FIND_INIT, (void *)session, &class_is, (void *)1, 0, 0))) return code;
    code = call(FIND, (void *)session, &key, (void *)1, &found, 0);
    call(FIND_FINAL, (void *)session, 0, 0, 0, 0);
    if (code) return code;
    if ((code = call(SIGN_INIT, (void *)session, &ecdsa, (void *)key, 0, 0))) return code;
    code = call(SIGN, (void *)session, data, (void *)32, signature, &length);
    ulong_t closed = call(CLOSE, (void *)session, 0, 0, 0, 0);
    return code ? code : closed;
}

static int entries(const char *path) {
    int count = 0;
    DIR *folder = opendir(path);
    if (!folder) fail("no %s", path);
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

/* Bytes that malloc has given out and not got back, in all of the process. */
static size_t heap(void) { return mallinfo2().uordblks; }

static int end_of(pid_t child) {
    int status = 0;
    if (waitpid(child, &status, 0) != child) fail("no child to wait for");
    return status;
}

/* Nothing of a parent's is the child's: it is not initialised until it says so, and then signs itself. */
static void scene_fork(void) {
    initialize();
    must("C_Sign", sign(), 0);
    for (int turn = 0; turn < 5; turn++) {
        pid_t child = fork();
        if (child == 0) {
            must("C_Finalize of a child", call(FINALIZE, 0, 0, 0, 0, 0), 0x190);
            must("a signature of a child", sign(), 0x190);
            initialize();
            must("C_Sign of a child", sign(), 0);
            if (turn % 2) finalize();
            _exit(0);
        }
        must("the end of the child", end_of(child), 0);
        must("C_Sign", sign(), 0);
    }
    finalize();
}

/* The child borrows the parent's memory and runs another program: no handler of ours may have run in between. */
static void scene_vfork(void) {
    initialize();
    must("C_Sign", sign(), 0);
    for (int turn = 0; turn < 20; turn++) {
        pid_t child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)0);
            _exit(99);
        }
        must("the end of the program", end_of(child), 0);
        must("C_Sign", sign(), 0);
    }
    must("the end of a shell", system("exit 0"), 0);
    must("C_Sign", sign(), 0);
    finalize();
}

static volatile int is_over;

static void *signing(void *nothing) {
    (void)nothing;
    while (!is_over) {
        ulong_t code = sign();
        /* Not initialised, or a session or an operation that is gone: what a C_Finalize in between leaves. */
        if (code != 0 && code != 0x190 && code != 0xb3 && code != 0x91 && code != 0x82 && code != 0x60 && code != 3)
            fail("a thread's signature: 0x%lx", code);
    }
    return 0;
}

/* The library is closed under threads that are in it, and opened again: the code stays where it is. */
static void scene_dlclose(const char *path) {
    pthread_t threads[3];
    initialize();
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, signing, 0);
    for (int turn = 0; turn < 50; turn++) {
        dlclose(library);
        usleep(2000);
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) fail("%s", dlerror());
    }
    dlclose(library);
    usleep(20000);
    is_over = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
    must("C_Sign after the library was closed", sign(), 0);
    finalize();
}

static void at_the_end(void) {
    /* The last thing a program does: a signature, and the end of the module. */
    must("C_Sign in atexit", sign(), 0);
    finalize();
    puts("atexit");
    fflush(stdout);
}

/* A handler runs before those that were there when it was told. */
static void scene_atexit(void) {
    initialize();
    must("C_Sign", sign(), 0);
    atexit(at_the_end);
    exit(0);
}

/* A handler that was told before the HSM's module was loaded runs when that may have taken itself apart. */
static void too_late(void) {
    must("C_Sign after the HSM's module", sign(), 0x30);
    finalize();
    puts("early-atexit");
    fflush(stdout);
}

static void scene_early_atexit(void) {
    atexit(too_late);
    initialize();
    must("C_Sign", sign(), 0);
    exit(0);
}

/* Ends without C_Finalize, and with threads that are still at it. */
static void scene_exit(void) {
    pthread_t thread;
    initialize();
    pthread_create(&thread, 0, signing, 0);
    usleep(100000);
    puts("exit");
    fflush(stdout);
    exit(0);
}

static volatile sig_atomic_t signals;

static void handler(int number) {
    (void)number;
    signals++;
}

/* Every system call is interrupted again and again: no call may take that for a failure. */
static void scene_signal(void) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, 0);
    struct itimerval every = {{0, 500}, {0, 500}};
    initialize();
    setitimer(ITIMER_REAL, &every, 0);
    for (int turn = 0; turn < 300 || signals < 200; turn++) must("C_Sign under signals", sign(), 0);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, 0);
    finalize();
    struct sigaction now;
    sigaction(SIGALRM, 0, &now);
    if (now.sa_handler != handler) fail("the handler is not the program's any more");
    sigaction(SIGPIPE, 0, &now);
    if (now.sa_handler != SIG_DFL) fail("SIGPIPE is not as it was");
}

/* Begin and end: not one descriptor, thread or byte more. */
static void scene_rounds(long count) {
    for (int warm = 0; warm < 50; warm++) {
        initialize();
        if (warm % 10 == 0) must("C_Sign", sign(), 0);
        finalize();
    }
    int descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    size_t before = heap();
    for (long round = 0; round < count; round++) {
        initialize();
        ulong_t slots[16], number = 16;
        if (round % 100 == 0) must("C_GetSlotList", call(SLOT_LIST, (void *)1, slots, &number, 0, 0), 0);
        if (round % 500 == 0) must("C_Sign", sign(), 0);
        finalize();
    }
    long grown = (long)(heap() - before);
    printf("%ld rounds: %d descriptors more, %d threads more, %ld bytes more\n", count,
           entries("/proc/self/fd") - descriptors, entries("/proc/self/task") - threads, grown);
    if (entries("/proc/self/fd") != descriptors) fail("descriptors are left open");
    if (entries("/proc/self/task") != threads) fail("threads are left");
    if (grown > 0) fail("%ld bytes are left after %ld rounds", grown, count);
}

int main(int argc, char **argv) {
    if (argc < 3) fail("process MODULE SCENE [COUNT]");
    const char *scene = argv[2];
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) fail("%s", dlerror());
    ulong_t (*get)(struct list **) = (ulong_t (*)(struct list **))dlsym(library, "C_GetFunctionList");
    if (!get || get(&module)) fail("no function list");
    alarm(300);
    if (!strcmp(scene, "fork")) scene_fork();
    else if (!strcmp(scene, "vfork")) scene_vfork();
    else if (!strcmp(scene, "dlclose")) scene_dlclose(argv[1]);
    else if (!strcmp(scene, "atexit")) scene_atexit();
    else if (!strcmp(scene, "early-atexit")) scene_early_atexit();
    else if (!strcmp(scene, "exit")) scene_exit();
    else if (!strcmp(scene, "signal")) scene_signal();
    else if (!strcmp(scene, "rounds")) scene_rounds(argc > 3 ? atol(argv[3]) : 10000);
    else fail("no scene `%s`", scene);
    puts(scene);
    return 0;
}
