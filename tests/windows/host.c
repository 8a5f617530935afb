/* A program of Windows that signs with a PKCS#11 module: packed structures, 32-bit CK_ULONG, LoadLibrary.
 *
 *   host.exe MODULE TOKEN PIN FILE SIGNATURE
 *
 * Prints one line per call, `C_Login 0x0`; ends with 0 if a signature was written. `-` as the PIN: does not log in.
 * Shares no code and no header with the module. Read next: run.sh. */

#include <stdio.h>
#include <string.h>
#include <windows.h>

typedef unsigned long CK_ULONG; /* 32 bits on Windows */
typedef unsigned char CK_BYTE;

#pragma pack(push, 1)
typedef struct { CK_BYTE major, minor; void *functions[68]; } FUNCTION_LIST;
typedef struct { void *create, *destroy, *lock, *unlock; CK_ULONG flags; void *reserved; } INITIALIZE_ARGS;
typedef struct { CK_ULONG type; void *value; CK_ULONG length; } ATTRIBUTE;
typedef struct { CK_ULONG mechanism; void *parameter; CK_ULONG length; } MECHANISM;
typedef struct {
    CK_BYTE label[32], manufacturer[32], model[16], serial[16];
    CK_ULONG flags, counts[4], pin[2], memory[4];
    CK_BYTE hardware[2], firmware[2], time[16];
} TOKEN_INFO;
#pragma pack(pop)

_Static_assert(sizeof(CK_ULONG) == 4, "CK_ULONG");
_Static_assert(sizeof(FUNCTION_LIST) == 546, "CK_FUNCTION_LIST");
_Static_assert(sizeof(INITIALIZE_ARGS) == 44, "CK_C_INITIALIZE_ARGS");
_Static_assert(sizeof(ATTRIBUTE) == 16 && sizeof(MECHANISM) == 16, "CK_ATTRIBUTE, CK_MECHANISM");
_Static_assert(sizeof(TOKEN_INFO) == 160, "CK_TOKEN_INFO");

/* Places in the list of 2.40. */
enum { INITIALIZE = 0, FINALIZE = 1, SLOT_LIST = 4, TOKEN_INFO_OF = 6, OPEN = 12, LOGIN = 18, VALUE = 24, FIND_INIT = 26,
       FIND = 27, FIND_FINAL = 28, SIGN_INIT = 42, SIGN = 43 };

static FUNCTION_LIST *list;

static CK_ULONG told(const char *name, CK_ULONG code)
{
    printf("%s 0x%lX\n", name, code);
    fflush(stdout);
    return code;
}

#define CALL(place, types) ((CK_ULONG (*) types)list->functions[place])
#define MUST(name, call) do { if (told(name, call) != 0) { finish(); return 1; } } while (0)

static void finish(void)
{
    told("C_Finalize", CALL(FINALIZE, (void *))(NULL));
}

int main(int count, char **words)
{
    HMODULE module;
    CK_ULONG (*get)(FUNCTION_LIST **);
    INITIALIZE_ARGS arguments = { NULL, NULL, NULL, NULL, 2 /* CKF_OS_LOCKING_OK */, NULL };
    CK_ULONG slots[64], slot_count = 64, slot = 0, session = 0, key = 0, found = 0, class = 3 /* CKO_PRIVATE_KEY */;
    CK_ULONG key_type = 0xFFFFFFFF, length = 0, size, i;
    ATTRIBUTE wanted = { 0 /* CKA_CLASS */, &class, sizeof class };
    ATTRIBUTE type = { 0x100 /* CKA_KEY_TYPE */, &key_type, sizeof key_type };
    MECHANISM how = { 0x40 /* CKM_SHA256_RSA_PKCS */, NULL, 0 };
    static CK_BYTE data[1 << 16], signature[1024];
    char label[33];
    int seen = 0;
    FILE *file;

    if (count != 6) {
        fprintf(stderr, "host.exe MODULE TOKEN PIN FILE SIGNATURE\n");
        return 2;
    }
    module = LoadLibraryA(words[1]);
    if (module == NULL) {
        printf("LoadLibrary %lu\n", GetLastError());
        return 2;
    }
    get = (CK_ULONG (*)(FUNCTION_LIST **))(void *)GetProcAddress(module, "C_GetFunctionList");
    if (get == NULL || told("C_GetFunctionList", get(&list)) != 0)
        return 2;
    printf("version %u.%u\n", list->major, list->minor);
    if (told("C_Initialize", CALL(INITIALIZE, (void *))(&arguments)) != 0)
        return 1;
    MUST("C_GetSlotList", CALL(SLOT_LIST, (CK_BYTE, CK_ULONG *, CK_ULONG *))(1, slots, &slot_count));
    for (i = 0; i < slot_count; i++) {
        TOKEN_INFO info;
        memset(&info, 0, sizeof info);
        MUST("C_GetTokenInfo", CALL(TOKEN_INFO_OF, (CK_ULONG, TOKEN_INFO *))(slots[i], &info));
        memcpy(label, info.label, 32);
        for (size = 32; size > 0 && label[size - 1] == ' '; size--) {}
        label[size] = 0;
        printf("token %s\n", label);
        if (strcmp(label, words[2]) == 0) {
            slot = slots[i];
            seen = 1;
        }
    }
    if (!seen) {
        printf("no token\n");
        finish();
        return 1;
    }
    MUST("C_OpenSession",
         CALL(OPEN, (CK_ULONG, CK_ULONG, void *, void *, CK_ULONG *))(slot, 4, NULL, NULL, &session));
    if (strcmp(words[3], "-") != 0)
        MUST("C_Login", CALL(LOGIN, (CK_ULONG, CK_ULONG, char *, CK_ULONG))(session, 1, words[3],
                                                                          (CK_ULONG)strlen(words[3])));
    MUST("C_FindObjectsInit", CALL(FIND_INIT, (CK_ULONG, ATTRIBUTE *, CK_ULONG))(session, &wanted, 1));
    MUST("C_FindObjects", CALL(FIND, (CK_ULONG, CK_ULONG *, CK_ULONG, CK_ULONG *))(session, &key, 1, &found));
    MUST("C_FindObjectsFinal", CALL(FIND_FINAL, (CK_ULONG))(session));
    printf("keys %lu\n", found);
    MUST("C_GetAttributeValue", CALL(VALUE, (CK_ULONG, CK_ULONG, ATTRIBUTE *, CK_ULONG))(session, key, &type, 1));
    printf("key type %lu, %lu bytes\n", key_type, type.length);
    MUST("C_SignInit", CALL(SIGN_INIT, (CK_ULONG, MECHANISM *, CK_ULONG))(session, &how, key));
    file = fopen(words[4], "rb");
    if (file == NULL)
        return 2;
    size = (CK_ULONG)fread(data, 1, sizeof data, file);
    fclose(file);
    MUST("C_Sign", CALL(SIGN, (CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *))(session, data, size, NULL, &length));
    printf("length %lu\n", length);
    length = sizeof signature;
    MUST("C_Sign",
         CALL(SIGN, (CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *))(session, data, size, signature, &length));
    file = fopen(words[5], "wb");
    if (file == NULL || fwrite(signature, 1, length, file) != length || fclose(file) != 0)
        return 2;
    finish();
    /* The module stays loaded, whatever is asked. */
    FreeLibrary(module);
    printf("after FreeLibrary: C_GetSlotList 0x%lX\n",
           CALL(SLOT_LIST, (CK_BYTE, CK_ULONG *, CK_ULONG *))(1, slots, &slot_count));
    return 0;
}
