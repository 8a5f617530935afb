/*
 * Calls signgate_pkcs11.dll as signtool does. Arguments as those of examples/digest_host.rs, with the DLL before them:
 *
 *     signtool_host.exe DLL METADATA|- ALG_ID DIGEST|- FILE|- OUT
 *
 * With a FILE it calls AuthenticodeDigestSignExWithFileHandle, else AuthenticodeDigestSignEx. Prints the HRESULT; writes
 * `signature`, and the signer's certificate and those of the store as `0.der`, `1.der` ... to OUT. Fails itself where the
 * DLL breaks a rule of the interface: something written on an error, memory that is not the process heap's, a file that
 * stands elsewhere afterwards, a store that keeps certificates of a refused call.
 *
 *     signtool_host.exe DLL --pointers
 *
 * NULL in the place of each pointer in turn; then 32 signatures from four threads.
 *
 *     signtool_host.exe DLL --handles FOLDER HRESULT
 *
 * Handles through which no file can be read, each of which is to be answered with this HRESULT, and at once.
 */
#include <windows.h>
#include <wincrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "signgate.h"

typedef HRESULT(__stdcall *sign_ex)(PCRYPT_DATA_BLOB, ALG_ID, PBYTE, DWORD, PCRYPT_DATA_BLOB, PCCERT_CONTEXT *, HCERTSTORE);
typedef HRESULT(__stdcall *sign_ex_file)(PCRYPT_DATA_BLOB, ALG_ID, PBYTE, DWORD, HANDLE, PCRYPT_DATA_BLOB,
                                         PCCERT_CONTEXT *, HCERTSTORE);

/* The header declares exactly what is called here; the DLL is loaded, not linked. */
_Static_assert(_Generic(&AuthenticodeDigestSignEx, sign_ex: 1, default: 0), "the header has another type");
_Static_assert(_Generic(&AuthenticodeDigestSignExWithFileHandle, sign_ex_file: 1, default: 0), "the header has another type");

static void must(int holds, const char *rule)
{
    if (!holds) {
        fprintf(stderr, "host: %s (%lu)\n", rule, GetLastError());
        exit(2);
    }
}

static BYTE *whole(const char *path, DWORD *length)
{
    FILE *file = fopen(path, "rb");
    BYTE *bytes = malloc(1 << 20);
    must(file != NULL && bytes != NULL, "a file can not be read");
    *length = (DWORD)fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static void put(const char *folder, const char *name, const BYTE *bytes, DWORD length)
{
    char path[1024];
    snprintf(path, sizeof path, "%s\\%s", folder, name);
    FILE *file = fopen(path, "wb");
    must(file != NULL && fwrite(bytes, 1, length, file) == length && fclose(file) == 0, "a file can not be written");
}

static unsigned certificates(HCERTSTORE store)
{
    unsigned count = 0;
    for (PCCERT_CONTEXT one = NULL; (one = CertEnumCertificatesInStore(store, one)) != NULL;)
        count++;
    return count;
}

/*
 * Windows frees what CertDeleteCertificateFromStore deletes, and says so. Wine 8 does not, so that there the store of a
 * refused call is not asked whether somebody keeps a certificate.
 */
static void close_store(HCERTSTORE store, HRESULT result)
{
    int is_wine = GetProcAddress(GetModuleHandleA("ntdll"), "wine_get_version") != NULL;
    DWORD check = is_wine && result != S_OK ? 0 : CERT_CLOSE_STORE_CHECK_FLAG;
    must(CertCloseStore(store, check), "somebody keeps a certificate of the store");
}

static HMODULE dll;
static BYTE untouched[4];

struct call {
    CRYPT_DATA_BLOB metadata;
    PCRYPT_DATA_BLOB metadata_at;
    ALG_ID algorithm;
    BYTE *digest;
    DWORD length;
    HANDLE file;
    int with_file, cannot_seek;
};

/* One call, with what the interface promises of its end. */
static HRESULT sign(const struct call *call, CRYPT_DATA_BLOB *signature, PCCERT_CONTEXT *signer, HCERTSTORE store)
{
    HRESULT result;
    LARGE_INTEGER nothing = {.QuadPart = 0}, stood, stands;
    unsigned before = store ? certificates(store) : 0;
    if (signature)
        *signature = (CRYPT_DATA_BLOB){0x5a5a5a5a, untouched};
    if (signer)
        *signer = (PCCERT_CONTEXT)untouched;
    if (call->file || call->with_file) {
        sign_ex_file function =
            (sign_ex_file)(void *)GetProcAddress(dll, "AuthenticodeDigestSignExWithFileHandle");
        must(function != NULL, "AuthenticodeDigestSignExWithFileHandle is not exported");
        must(call->cannot_seek || SetFilePointerEx(call->file, nothing, &stood, FILE_CURRENT), "the file's position");
        result = function(call->metadata_at, call->algorithm, call->digest, call->length, call->file, signature, signer, store);
        must(call->cannot_seek || SetFilePointerEx(call->file, nothing, &stands, FILE_CURRENT), "the file's position");
        must(call->cannot_seek || stood.QuadPart == stands.QuadPart, "the file stands elsewhere than before");
    } else {
        sign_ex function = (sign_ex)(void *)GetProcAddress(dll, "AuthenticodeDigestSignEx");
        must(function != NULL, "AuthenticodeDigestSignEx is not exported");
        result = function(call->metadata_at, call->algorithm, call->digest, call->length, signature, signer, store);
    }
    if (result != S_OK) {
        must(FAILED(result), "neither S_OK nor a failure");
        must(!signature || (signature->cbData == 0x5a5a5a5a && signature->pbData == untouched), "a blob was written on an error");
        must(!signer || *signer == (PCCERT_CONTEXT)untouched, "a certificate was written on an error");
        must(!store || certificates(store) == before, "a certificate of a refused call is in the store");
    }
    must(HeapValidate(GetProcessHeap(), 0, NULL), "the process heap is damaged");
    return result;
}

static void pointers(void)
{
    static BYTE text[] = "{ \"signer\": \"mobile-release\" }", digest[32];
    HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, 0, NULL);
    CRYPT_DATA_BLOB signature;
    PCCERT_CONTEXT signer;
    struct call call = {{sizeof text - 1, text}, &call.metadata, CALG_SHA_256, digest, sizeof digest, NULL, 0, 0};
    must(sign(&call, NULL, &signer, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "NULL for the signature");
    must(sign(&call, &signature, NULL, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "NULL for the signer");
    must(sign(&call, &signature, &signer, NULL) == (HRESULT)SIGNGATE_E_INVALIDARG, "NULL for the store");
    call.digest = NULL;
    must(sign(&call, &signature, &signer, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "NULL for the digest");
    call.digest = digest;
    call.length = 0xffffffff;
    must(sign(&call, &signature, &signer, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "a digest of 4 GiB");
    call.length = sizeof digest;
    call.metadata_at = NULL;
    must(sign(&call, &signature, &signer, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "no metadata");
    call.metadata_at = &call.metadata;
    call.metadata = (CRYPT_DATA_BLOB){17, NULL};
    must(sign(&call, &signature, &signer, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "metadata at NULL");
    call.metadata = (CRYPT_DATA_BLOB){0xffffffff, text};
    must(sign(&call, &signature, &signer, store) == (HRESULT)SIGNGATE_E_INVALIDARG, "metadata of 4 GiB");
    call.metadata = (CRYPT_DATA_BLOB){sizeof text - 1, text};
    must(CertCloseStore(store, CERT_CLOSE_STORE_CHECK_FLAG), "somebody keeps a certificate of the store");
    /* A collection without a store to write to takes no certificate. Nothing must have been signed for it. */
    store = CertOpenStore(CERT_STORE_PROV_COLLECTION, 0, 0, 0, NULL);
    must(sign(&call, &signature, &signer, store) == (HRESULT)SIGNGATE_E_OUTOFMEMORY, "a store that takes nothing");
    must(CertCloseStore(store, CERT_CLOSE_STORE_CHECK_FLAG), "somebody keeps a certificate of the store");
}

/* A tool that signs several files calls again and again, and may do so from several threads. */
static DWORD __stdcall again(void *unused)
{
    (void)unused;
    for (BYTE number = 0; number < 4; number++) {
        BYTE text[] = "{ \"signer\": \"mobile-release\" }", digest[32] = {number};
        HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, 0, NULL);
        CRYPT_DATA_BLOB signature;
        PCCERT_CONTEXT signer;
        struct call call = {{sizeof text - 1, text}, &call.metadata, CALG_SHA_256, digest, sizeof digest, NULL, 0, 0};
        must(sign(&call, &signature, &signer, store) == S_OK, "a call of several");
        must(HeapFree(GetProcessHeap(), 0, signature.pbData), "the signature can not be freed");
        must(CertFreeCertificateContext(signer), "the certificate can not be freed");
        /* The certificates are there already. */
        must(certificates(store) == 2 && sign(&call, &signature, &signer, store) == S_OK, "a store that has the certificates");
        must(certificates(store) == 2, "a certificate twice");
        must(HeapFree(GetProcessHeap(), 0, signature.pbData), "the signature can not be freed");
        must(CertFreeCertificateContext(signer), "the certificate can not be freed");
        must(CertCloseStore(store, CERT_CLOSE_STORE_CHECK_FLAG), "somebody keeps a certificate of the store");
    }
    return 0;
}

static void several(void)
{
    HANDLE threads[4];
    for (int number = 0; number < 4; number++) {
        threads[number] = CreateThread(NULL, 0, again, NULL, 0, NULL);
        must(threads[number] != NULL, "a thread");
    }
    must(WaitForMultipleObjects(4, threads, TRUE, 120000) == WAIT_OBJECT_0, "four threads that sign");
}

/* Whatever is given for a file that is none leaves no file shown. */
static void handles(const char *folder, HRESULT expected)
{
    static BYTE text[] = "{ \"signer\": \"mobile-release\" }", digest[32];
    char path[1024];
    HANDLE reads, writes;
    snprintf(path, sizeof path, "%s\\handles", folder);
    must(CreatePipe(&reads, &writes, NULL, 0), "a pipe");
    HANDLE made = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    must(made != INVALID_HANDLE_VALUE && CloseHandle(made), "a file");
    const struct {
        const char *what;
        HANDLE handle;
        int must_open;
    } cases[] = {
        {"a handle that is closed", CreateFileA(path, GENERIC_READ, 7, NULL, OPEN_EXISTING, 0, NULL), 1},
        {"NULL", NULL, 0},
        {"INVALID_HANDLE_VALUE", INVALID_HANDLE_VALUE, 0},
        {"the reading end of a pipe that nobody writes to", reads, 1},
        {"the writing end of a pipe", writes, 1},
        {"NUL", CreateFileA("NUL", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL), 1},
        {"a folder", CreateFileA(folder, GENERIC_READ, 7, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL), 1},
        {"a file that may only be written", CreateFileA(path, GENERIC_WRITE, 7, NULL, OPEN_EXISTING, 0, NULL), 1},
        {"a file for overlapped reads",
         CreateFileA(path, GENERIC_READ, 7, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL), 1},
        /* Has none where the host was started without one. */
        {"a console", CreateFileA("CONIN$", GENERIC_READ, 7, NULL, OPEN_EXISTING, 0, NULL), 0},
    };
    for (unsigned number = 0; number < sizeof cases / sizeof *cases; number++) {
        HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, 0, NULL);
        CRYPT_DATA_BLOB signature;
        PCCERT_CONTEXT signer;
        struct call call = {{sizeof text - 1, text}, &call.metadata, CALG_SHA_256, digest, sizeof digest,
                            cases[number].handle, 1, 1};
        must(!cases[number].must_open || call.file != INVALID_HANDLE_VALUE, cases[number].what);
        if (number == 0)
            must(CloseHandle(call.file), "a handle to close");
        must(sign(&call, &signature, &signer, store) == expected, cases[number].what);
        if (expected == S_OK) {
            must(HeapFree(GetProcessHeap(), 0, signature.pbData), "the signature can not be freed");
            must(CertFreeCertificateContext(signer), "the certificate can not be freed");
        }
        close_store(store, expected);
    }
    for (unsigned number = 3; number < sizeof cases / sizeof *cases; number++)
        must(cases[number].handle == INVALID_HANDLE_VALUE || CloseHandle(cases[number].handle), "a handle was closed by the DLL");
}

static int hexadecimal(const char *text, BYTE *bytes)
{
    int length = 0;
    for (; text[0] && text[1]; text += 2, length++) {
        char pair[3] = {text[0], text[1], 0};
        bytes[length] = (BYTE)strtoul(pair, NULL, 16);
    }
    return length;
}

int main(int count, char **arguments)
{
    static BYTE digest[256];
    must(count == 3 || count == 5 || count == 7, "usage: signtool_host.exe DLL METADATA|- ALG_ID DIGEST|- FILE|- OUT");
    dll = LoadLibraryA(arguments[1]);
    must(dll != NULL, "the DLL can not be loaded");
    must(GetProcAddress(dll, "C_GetFunctionList") != NULL, "PKCS#11 is not exported");
    if (count == 3) {
        pointers();
        several();
        puts("0x00000000");
        return 0;
    }
    if (count == 5) {
        handles(arguments[3], (HRESULT)strtoul(arguments[4], NULL, 0));
        puts("handles");
        return 0;
    }
    struct call call = {{0, NULL}, NULL, (ALG_ID)strtoul(arguments[3], NULL, 10), NULL, 0, NULL, 0, 0};
    if (strcmp(arguments[2], "-") != 0) {
        call.metadata.pbData = whole(arguments[2], &call.metadata.cbData);
        call.metadata_at = &call.metadata;
    }
    if (strcmp(arguments[4], "-") != 0) {
        call.digest = digest;
        call.length = (DWORD)hexadecimal(arguments[4], digest);
    }
    if (strcmp(arguments[5], "-") != 0) {
        LARGE_INTEGER somewhere = {.QuadPart = 77};
        call.file = CreateFileA(arguments[5], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
        must(call.file != INVALID_HANDLE_VALUE, "the file can not be opened");
        must(SetFilePointerEx(call.file, somewhere, NULL, FILE_BEGIN), "the file's position");
    }
    CRYPT_DATA_BLOB signature;
    PCCERT_CONTEXT signer;
    HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, 0, NULL);
    must(store != NULL, "a store in memory");
    HRESULT result = sign(&call, &signature, &signer, store);
    if (result == S_OK) {
        const char *out = arguments[6];
        char name[32];
        unsigned number = 0;
        must(HeapValidate(GetProcessHeap(), 0, signature.pbData), "the signature is not the process heap's");
        put(out, "signature", signature.pbData, signature.cbData);
        put(out, "0.der", signer->pbCertEncoded, signer->cbCertEncoded);
        for (PCCERT_CONTEXT one = NULL; (one = CertEnumCertificatesInStore(store, one)) != NULL;) {
            if (CertCompareCertificate(X509_ASN_ENCODING, one->pCertInfo, signer->pCertInfo))
                continue;
            snprintf(name, sizeof name, "%u.der", ++number);
            put(out, name, one->pbCertEncoded, one->cbCertEncoded);
        }
        must(certificates(store) == number + 1, "the signer's own certificate is not in the store, or twice");
        must(HeapFree(GetProcessHeap(), 0, signature.pbData), "the signature can not be freed");
        must(CertFreeCertificateContext(signer), "the certificate can not be freed");
    }
    close_store(store, result);
    /* Unloading must be borne: the library stays. */
    FreeLibrary(dll);
    printf("0x%08lx\n", (unsigned long)result);
    return 0;
}
