/* Drives the built module as a C program does, for runs under sanitizers and checkers: ci/sanitize. One part per run:
 *
 *   harness MODULE PART COUNT
 *
 *   sign      COUNT signatures, in one piece and in parts, with length queries and small buffers between
 *   threads   8 threads, COUNT rounds each: sessions of their own, one shared session, logouts and closings meanwhile
 *   hostile   COUNT calls with NULL, odd addresses, impossible lengths and wrong handles
 *   rounds    COUNT times C_Initialize and C_Finalize; no descriptor, thread or kilobyte more at the end
 *   fork      a child of fork, one of vfork and exec, and a fork under signing threads, COUNT times
 *   unload    dlclose while threads are inside, COUNT times; their code must stay
 *   exit      ends with live threads, an open operation, an atexit handler and a signal handler that call the module
 *
 * Takes the signer demo-rsa of a folder of `signgate demo`; SIGNGATE_PIN is its credential. It has no header of PKCS#11: the
 * functions are called by their place in CK_FUNCTION_LIST (PKCS#11 3.1, section 5). Exits with 1 and a line where
 * something does not hold. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef ulong_t (*function_t)();

struct list {
    unsigned char version[2];
    function_t functions[68];
};

enum {
    C_Initialize = 0, C_Finalize = 1, C_GetInfo = 2, C_GetSlotList = 4, C_GetTokenInfo = 6, C_GetMechanismList = 7,
    C_OpenSession = 12, C_CloseSession = 13, C_CloseAllSessions = 14, C_GetSessionInfo = 15, C_Login = 18, C_Logout = 19,
    C_GetAttributeValue = 24, C_FindObjectsInit = 26, C_FindObjects = 27, C_FindObjectsFinal = 28, C_DecryptInit = 33,
    C_SignInit = 42, C_Sign = 43, C_SignUpdate = 44, C_SignFinal = 45
};

enum { CKR_OK = 0, CKR_ARGUMENTS_BAD = 7, CKR_BUFFER_TOO_SMALL = 0x150, CKR_NOT_INITIALIZED = 0x190 };

struct attribute {
    ulong_t type;
    void *value;
    ulong_t length;
};

struct mechanism {
    ulong_t mechanism;
    void *parameter;
    ulong_t length;
};

static struct list *module;
static const char *pin;
static volatile int stop;

#define CALL(name, ...) (module->functions[name](__VA_ARGS__))

static void fail(const char *what, ulong_t code) {
    fprintf(stderr, "harness: %s: 0x%lx\n", what, code);
    _exit(1);
}

static void must(const char *what, ulong_t code) {
    if (code != CKR_OK) fail(what, code);
}

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "harness: %s\n", dlerror());
        exit(1);
    }
    function_t get = (function_t)dlsym(library, "C_GetFunctionList");
    must("C_GetFunctionList", get(&module));
}

static ulong_t signer(void) {
    ulong_t slots[64], count = 64;
    must("C_GetSlotList", CALL(C_GetSlotList, 1ul, slots, &count));
    for (ulong_t i = 0; i < count; i++) {
        unsigned char info[512];
        must("C_GetTokenInfo", CALL(C_GetTokenInfo, slots[i], info));
        if (memcmp(info, "demo-rsa ", 9) == 0) return slots[i];
    }
    fail("no signer demo-rsa", 0);
    return 0;
}

static ulong_t open_session(ulong_t slot) {
    ulong_t session = 0;
    must("C_OpenSession", CALL(C_OpenSession, slot, 4ul, (void *)0, (void *)0, &session));
    return session;
}

static ulong_t find_key(ulong_t session) {
    ulong_t class = 3, key = 0, count = 0;
    struct attribute wanted = {0, &class, sizeof class};
    if (CALL(C_FindObjectsInit, session, &wanted, 1ul) != CKR_OK) return 0;
    CALL(C_FindObjects, session, &key, 1ul, &count);
    CALL(C_FindObjectsFinal, session);
    return count == 1 ? key : 0;
}

/* A login belongs to the slot: whoever comes second is told so. */
static void log_in(ulong_t session) {
    CALL(C_Login, session, 1ul, pin, (ulong_t)strlen(pin));
}

/* Memory of exactly this size, so that a checker sees one byte too many. */
static unsigned char *exactly(size_t size) {
    unsigned char *memory = malloc(size);
    if (!memory) fail("no memory", size);
    memset(memory, 'd', size);
    return memory;
}

static ulong_t sign_in_parts(ulong_t session, unsigned char *data, ulong_t count) {
    ulong_t length = 0;
    for (int i = 0; i < 3; i++) {
        ulong_t code = CALL(C_SignUpdate, session, data, count);
        if (code != CKR_OK) return code;
    }
    ulong_t code = CALL(C_SignFinal, session, (void *)0, &length);
    if (code != CKR_OK) return code;
    unsigned char *signature = exactly(length);
    code = CALL(C_SignFinal, session, signature, &length);
    free(signature);
    return code;
}

static ulong_t sign_at_once(ulong_t session, unsigned char *data, ulong_t count) {
    ulong_t length = 0, room = 1;
    ulong_t code = CALL(C_Sign, session, data, count, (void *)0, &length);
    if (code != CKR_OK) return code;
    unsigned char *small = exactly(room), *signature = exactly(length);
    code = CALL(C_Sign, session, data, count, small, &room);
    if (code == CKR_BUFFER_TOO_SMALL) code = CALL(C_Sign, session, data, count, signature, &length);
    free(small);
    free(signature);
    return code;
}

static ulong_t sign(ulong_t session, ulong_t key, int parts) {
    struct mechanism sha256_rsa = {0x40, 0, 0};
    ulong_t code = CALL(C_SignInit, session, &sha256_rsa, key);
    if (code != CKR_OK) return code;
    unsigned char *data = exactly(100);
    code = parts ? sign_in_parts(session, data, 100) : sign_at_once(session, data, 100);
    free(data);
    return code;
}

static void part_sign(long count) {
    must("C_Initialize", CALL(C_Initialize, (void *)0));
    ulong_t session = open_session(signer());
    log_in(session);
    ulong_t key = find_key(session);
    if (!key) fail("no key", 0);
    for (long i = 0; i < count; i++) must("a signature", sign(session, key, i % 2));
    must("C_Finalize", CALL(C_Finalize, (void *)0));
}

static ulong_t shared_session;
static long rounds_each;

static void *worker(void *number) {
    long id = (long)(intptr_t)number;
    for (long i = 0; i < rounds_each; i++) {
        ulong_t session = 0;
        if (CALL(C_OpenSession, signer(), 4ul, (void *)0, (void *)0, &session) != CKR_OK) continue;
        log_in(session);
        ulong_t key = find_key(session);
        if (key) sign(session, key, (int)(i % 2));
        /* One session of all threads: errors are expected, crashes are not. */
        ulong_t shared = find_key(shared_session);
        if (shared) sign(shared_session, shared, (int)((i + id) % 2));
        if (id == 7 && i % 4 == 3) CALL(C_Logout, session);
        CALL(C_CloseSession, session);
    }
    return 0;
}

static void part_threads(long count) {
    pthread_t threads[8];
    must("C_Initialize", CALL(C_Initialize, (void *)0));
    shared_session = open_session(signer());
    log_in(shared_session);
    rounds_each = count;
    for (long i = 0; i < 8; i++) pthread_create(&threads[i], 0, worker, (void *)(intptr_t)i);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
    must("C_Finalize", CALL(C_Finalize, (void *)0));
}

static void part_hostile(long count) {
    must("C_Initialize", CALL(C_Initialize, (void *)0));
    ulong_t slot = signer(), session = open_session(slot);
    log_in(session);
    ulong_t key = find_key(session);
    /* A CK_TOKEN_INFO at an odd address, and no byte more. */
    unsigned char *odd = exactly(1 + 208);
    memset(odd, 0, 1 + 208);
    for (long i = 0; i < count; i++) {
        ulong_t length = (ulong_t)-1, count_of = (ulong_t)-1 / 2;
        struct mechanism lying = {0xd, (void *)0, 24}, pss = {0xd, odd + 1, 24};
        struct attribute endless = {3, odd + 1, (ulong_t)-1};
        CALL(C_GetSlotList, 1ul, (void *)0, (void *)0);
        CALL(C_GetTokenInfo, (ulong_t)i * 7919, odd + 1);
        CALL(C_GetTokenInfo, slot, odd + 1);
        CALL(C_GetInfo, (void *)0);
        CALL(C_OpenSession, slot, 4ul, (void *)0, (void *)0, (void *)0);
        CALL(C_Login, session, 1ul, (void *)0, (ulong_t)-1);
        CALL(C_Login, session, 1ul, odd, (ulong_t)-1);
        CALL(C_FindObjectsInit, session, &endless, 1ul);
        CALL(C_FindObjectsInit, session, &endless, count_of);
        CALL(C_FindObjectsFinal, session);
        CALL(C_GetAttributeValue, session, key, (void *)0, 3ul);
        CALL(C_GetAttributeValue, session, key, &endless, (ulong_t)-1);
        CALL(C_SignInit, session, &lying, key);
        CALL(C_SignInit, session, &pss, key);
        CALL(C_SignInit, session, (void *)0, key);
        CALL(C_SignInit, (ulong_t)i, &pss, (ulong_t)i);
        CALL(C_Sign, session, (void *)0, (ulong_t)-1, odd, &length);
        CALL(C_SignUpdate, session, odd, (ulong_t)-1);
        CALL(C_SignFinal, session, odd, (void *)0);
        CALL(C_DecryptInit, session, (void *)-1, key);
        CALL(C_GetSessionInfo, session, odd + 1);
    }
    free(odd);
    must("a signature after all that", sign(session, key, 0));
    must("C_Finalize", CALL(C_Finalize, (void *)0));
}

static int entries(const char *path) {
    DIR *folder = opendir(path);
    int count = 0;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

/* Kilobytes of memory that are in use. */
static long resident(void) {
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%ld %ld", &size, &pages) != 2) fail("statm", 0);
    fclose(file);
    return pages * 4;
}

/* Lives of the module, of which every hundredth signs. */
static void rounds(long count) {
    for (long i = 0; i < count; i++) {
        must("C_Initialize", CALL(C_Initialize, (void *)0));
        ulong_t session = open_session(signer());
        if (i % 100 == 0) {
            log_in(session);
            must("a signature", sign(session, find_key(session), 0));
        }
        must("C_Finalize", CALL(C_Finalize, (void *)0));
    }
}

static void part_rounds(long count) {
    rounds(200);
    int descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    long before = resident();
    rounds(count);
    long grown = resident() - before;
    printf("harness: %ld rounds: %ld KiB more\n", count, grown);
    if (entries("/proc/self/fd") != descriptors) fail("descriptors are left", (ulong_t)entries("/proc/self/fd"));
    if (entries("/proc/self/task") != threads) fail("threads are left", (ulong_t)entries("/proc/self/task"));
    /* What allocators keep does not grow with the rounds; a leak of a few words a round would be more than this. */
    if (!getenv("SIGNGATE_NO_MEMORY_CHECK") && grown > 256 + count * 16 / 1024) fail("memory is left, KiB", (ulong_t)grown);
}

static void *signs_until_stopped(void *slot) {
    while (!stop) {
        ulong_t session = 0;
        if (CALL(C_OpenSession, *(ulong_t *)slot, 4ul, (void *)0, (void *)0, &session) != CKR_OK) continue;
        log_in(session);
        ulong_t key = find_key(session);
        if (key) sign(session, key, 0);
        CALL(C_CloseSession, session);
    }
    return 0;
}

static void wait_for(pid_t child, const char *what) {
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) fail(what, (ulong_t)status);
}

static void part_fork(long count) {
    must("C_Initialize", CALL(C_Initialize, (void *)0));
    static ulong_t slot;
    slot = signer();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, signs_until_stopped, &slot);
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            ulong_t session = 0;
            ulong_t code = CALL(C_OpenSession, slot, 4ul, (void *)0, (void *)0, &session);
            if (code != CKR_NOT_INITIALIZED) _exit(2);
            if (CALL(C_Initialize, (void *)0) != CKR_OK) _exit(3);
            if (CALL(C_Finalize, (void *)0) != CKR_OK) _exit(4);
            _exit(0);
        }
        wait_for(child, "a child of fork");
        child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)0);
            _exit(5);
        }
        wait_for(child, "a child of vfork and exec");
    }
    stop = 1;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
    must("C_Finalize", CALL(C_Finalize, (void *)0));
}

static void part_unload(const char *path, long count) {
    static ulong_t slot;
    must("C_Initialize", CALL(C_Initialize, (void *)0));
    slot = signer();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, signs_until_stopped, &slot);
    for (long i = 0; i < count; i++) {
        void *again = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        dlclose(again);
        dlclose(again);
        usleep(1000);
    }
    CALL(C_Finalize, (void *)0);
    usleep(10000);
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
}

static void at_exit(void) {
    unsigned char info[512];
    CALL(C_GetInfo, info);
    CALL(C_Finalize, (void *)0);
}

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

static void part_exit(void) {
    static ulong_t slot;
    must("C_Initialize", CALL(C_Initialize, (void *)0));
    slot = signer();
    atexit(at_exit);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, 0);
    ualarm(1000, 1000);
    pthread_t thread;
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, 0, signs_until_stopped, &slot);
        pthread_detach(thread);
    }
    ulong_t session = open_session(slot);
    log_in(session);
    struct mechanism sha256_rsa = {0x40, 0, 0};
    CALL(C_SignInit, session, &sha256_rsa, find_key(session));
    usleep(20000);
    exit(0);
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: harness MODULE PART COUNT\n");
        return 2;
    }
    const char *part = arguments[2];
    long times = atol(arguments[3]);
    pin = getenv("SIGNGATE_PIN");
    if (!pin) pin = "none";
    load(arguments[1]);
    if (strcmp(part, "sign") == 0) part_sign(times);
    else if (strcmp(part, "threads") == 0) part_threads(times);
    else if (strcmp(part, "hostile") == 0) part_hostile(times);
    else if (strcmp(part, "rounds") == 0) part_rounds(times);
    else if (strcmp(part, "fork") == 0) part_fork(times);
    else if (strcmp(part, "unload") == 0) part_unload(arguments[1], times);
    else if (strcmp(part, "exit") == 0) part_exit();
    else return 2;
    printf("harness: %s: ok\n", part);
    return 0;
}
