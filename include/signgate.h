/*
 * signgate: reason codes for C callers, and what signtool calls.
 *
 * The module speaks PKCS#11: its functions and types are those of the PKCS#11 header you already use, through
 * C_GetFunctionList, C_GetInterface and C_GetInterfaceList. PKCS#11 return codes are too few to say why a signature
 * was refused, so each refusal also has one of the reasons below. It stands in the line the module writes to stderr
 *
 *     signgate: DENIED SG-APPROVAL-REQUIRED signer=mobile-release by=ci-linux: ... Next: ... [decision ...]
 *
 * and in the records of decisions. Codes and numbers never change their meaning and are never used again; new ones
 * are added. What each means: docs/reason-codes.md.
 */
#ifndef SIGNGATE_H
#define SIGNGATE_H

#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* begin generated */
#define SIGNGATE_VERSION "0.1.0"

/* Each reason once: X(name, number, code). */
#define SIGNGATE_REASONS(X) \
    X(SIGNGATE_NO_POLICY, 101, "SG-NO-POLICY") \
    X(SIGNGATE_POLICY_EXPIRED, 102, "SG-POLICY-EXPIRED") \
    X(SIGNGATE_POLICY_INVALID, 103, "SG-POLICY-INVALID") \
    X(SIGNGATE_POLICY_ROLLED_BACK, 104, "SG-POLICY-ROLLED-BACK") \
    X(SIGNGATE_CLOCK, 105, "SG-CLOCK") \
    X(SIGNGATE_NO_IDENTITY, 201, "SG-NO-IDENTITY") \
    X(SIGNGATE_PRINCIPAL_UNKNOWN, 202, "SG-PRINCIPAL-UNKNOWN") \
    X(SIGNGATE_PRINCIPAL_DISABLED, 203, "SG-PRINCIPAL-DISABLED") \
    X(SIGNGATE_CREDENTIAL_EXPIRED, 204, "SG-CREDENTIAL-EXPIRED") \
    X(SIGNGATE_CREDENTIAL_DISABLED, 205, "SG-CREDENTIAL-DISABLED") \
    X(SIGNGATE_PEER_UNPROVED, 206, "SG-PEER-UNPROVED") \
    X(SIGNGATE_IDENTITY_AMBIGUOUS, 207, "SG-IDENTITY-AMBIGUOUS") \
    X(SIGNGATE_SECOND_FACTOR, 208, "SG-SECOND-FACTOR") \
    X(SIGNGATE_JWT_MALFORMED, 209, "SG-JWT-MALFORMED") \
    X(SIGNGATE_JWT_ISSUER, 210, "SG-JWT-ISSUER") \
    X(SIGNGATE_JWT_KEY, 211, "SG-JWT-KEY") \
    X(SIGNGATE_JWT_ALGORITHM, 212, "SG-JWT-ALGORITHM") \
    X(SIGNGATE_JWT_SIGNATURE, 213, "SG-JWT-SIGNATURE") \
    X(SIGNGATE_JWT_AUDIENCE, 214, "SG-JWT-AUDIENCE") \
    X(SIGNGATE_JWT_EXPIRED, 215, "SG-JWT-EXPIRED") \
    X(SIGNGATE_JWT_NOT_YET_VALID, 216, "SG-JWT-NOT-YET-VALID") \
    X(SIGNGATE_JWT_LIFETIME, 217, "SG-JWT-LIFETIME") \
    X(SIGNGATE_JWT_CLAIMS, 218, "SG-JWT-CLAIMS") \
    X(SIGNGATE_JWT_REPLAYED, 219, "SG-JWT-REPLAYED") \
    X(SIGNGATE_SIGNER_UNKNOWN, 301, "SG-SIGNER-UNKNOWN") \
    X(SIGNGATE_OBJECT_UNKNOWN, 302, "SG-OBJECT-UNKNOWN") \
    X(SIGNGATE_MECHANISM_NOT_ALLOWED, 401, "SG-MECHANISM-NOT-ALLOWED") \
    X(SIGNGATE_DIGEST_WEAK, 402, "SG-DIGEST-WEAK") \
    X(SIGNGATE_DIGEST_NOT_ALLOWED, 403, "SG-DIGEST-NOT-ALLOWED") \
    X(SIGNGATE_KEY_SIZE, 404, "SG-KEY-SIZE") \
    X(SIGNGATE_KEY_UNREADABLE, 405, "SG-KEY-UNREADABLE") \
    X(SIGNGATE_NOT_DIGEST_INFO, 406, "SG-NOT-DIGEST-INFO") \
    X(SIGNGATE_DATA_LENGTH, 407, "SG-DATA-LENGTH") \
    X(SIGNGATE_AUDITOR, 501, "SG-AUDITOR") \
    X(SIGNGATE_PRODUCT_ADMIN, 502, "SG-PRODUCT-ADMIN") \
    X(SIGNGATE_SYSTEM_SCOPE, 503, "SG-SYSTEM-SCOPE") \
    X(SIGNGATE_PERMISSION_MISSING, 504, "SG-PERMISSION-MISSING") \
    X(SIGNGATE_PERMISSION_VOID, 505, "SG-PERMISSION-VOID") \
    X(SIGNGATE_ACCESS_STRING_MISSING, 506, "SG-ACCESS-STRING-MISSING") \
    X(SIGNGATE_POLICY_AUTHOR, 507, "SG-POLICY-AUTHOR") \
    X(SIGNGATE_ROLE_MISSING, 508, "SG-ROLE-MISSING") \
    X(SIGNGATE_NOT_A_MEMBER, 601, "SG-NOT-A-MEMBER") \
    X(SIGNGATE_NOT_ASSIGNED, 602, "SG-NOT-ASSIGNED") \
    X(SIGNGATE_TEAM_EXPIRED, 603, "SG-TEAM-EXPIRED") \
    X(SIGNGATE_NOT_OWN, 604, "SG-NOT-OWN") \
    X(SIGNGATE_SIGNER_NOT_ACTIVE, 701, "SG-SIGNER-NOT-ACTIVE") \
    X(SIGNGATE_KEYPAIR_SUSPENDED, 702, "SG-KEYPAIR-SUSPENDED") \
    X(SIGNGATE_KEYPAIR_REVOKED, 703, "SG-KEYPAIR-REVOKED") \
    X(SIGNGATE_CERTIFICATE_NOT_YET_VALID, 704, "SG-CERTIFICATE-NOT-YET-VALID") \
    X(SIGNGATE_CERTIFICATE_EXPIRED, 705, "SG-CERTIFICATE-EXPIRED") \
    X(SIGNGATE_CERTIFICATE_REVOKED, 706, "SG-CERTIFICATE-REVOKED") \
    X(SIGNGATE_KEY_REPLACED, 707, "SG-KEY-REPLACED") \
    X(SIGNGATE_TEST_TOO_OLD, 708, "SG-TEST-TOO-OLD") \
    X(SIGNGATE_RELEASE_REQUIRED, 801, "SG-RELEASE-REQUIRED") \
    X(SIGNGATE_RELEASE_NOT_APPROVED, 802, "SG-RELEASE-NOT-APPROVED") \
    X(SIGNGATE_RELEASE_NOT_PARTICIPANT, 803, "SG-RELEASE-NOT-PARTICIPANT") \
    X(SIGNGATE_RELEASE_WINDOW, 804, "SG-RELEASE-WINDOW") \
    X(SIGNGATE_RELEASE_NOT_COMPARED, 805, "SG-RELEASE-NOT-COMPARED") \
    X(SIGNGATE_RELEASE_NOT_SCANNED, 806, "SG-RELEASE-NOT-SCANNED") \
    X(SIGNGATE_RELEASE_EXHAUSTED, 807, "SG-RELEASE-EXHAUSTED") \
    X(SIGNGATE_RELEASE_WRONG_LEDGER, 808, "SG-RELEASE-WRONG-LEDGER") \
    X(SIGNGATE_RELEASE_TYPE, 809, "SG-RELEASE-TYPE") \
    X(SIGNGATE_APPROVAL_REQUIRED, 901, "SG-APPROVAL-REQUIRED") \
    X(SIGNGATE_GRANT_REVOKED, 902, "SG-GRANT-REVOKED") \
    X(SIGNGATE_WRONG_LEDGER, 903, "SG-WRONG-LEDGER") \
    X(SIGNGATE_GRANT_MISMATCH, 904, "SG-GRANT-MISMATCH") \
    X(SIGNGATE_GRANT_OVER_CAP, 905, "SG-GRANT-OVER-CAP") \
    X(SIGNGATE_BUILDS_REQUIRED, 906, "SG-BUILDS-REQUIRED") \
    X(SIGNGATE_GRANT_WINDOW_OVER, 1001, "SG-GRANT-WINDOW-OVER") \
    X(SIGNGATE_GRANT_EXHAUSTED, 1002, "SG-GRANT-EXHAUSTED") \
    X(SIGNGATE_SCOPE_MISMATCH, 1003, "SG-SCOPE-MISMATCH") \
    X(SIGNGATE_RATE_REACHED, 1101, "SG-RATE-REACHED") \
    X(SIGNGATE_WRONG_PLACE, 1102, "SG-WRONG-PLACE") \
    X(SIGNGATE_WRONG_TIME, 1103, "SG-WRONG-TIME") \
    X(SIGNGATE_WRONG_ARTIFACT, 1104, "SG-WRONG-ARTIFACT") \
    X(SIGNGATE_LEDGER_UNWRITABLE, 1201, "SG-LEDGER-UNWRITABLE") \
    X(SIGNGATE_AUDIT_UNWRITABLE, 1202, "SG-AUDIT-UNWRITABLE") \
    X(SIGNGATE_NO_LEDGER, 1203, "SG-NO-LEDGER") \
    X(SIGNGATE_VERIFICATION_FAILED, 1301, "SG-VERIFICATION-FAILED") \
    X(SIGNGATE_BACKING_FAILED, 1302, "SG-BACKING-FAILED")
/* end generated */

#define SIGNGATE_ENUMERATOR(name, number, code) name = number,
/* Why a signature was refused. */
enum signgate_reason { SIGNGATE_REASONS(SIGNGATE_ENUMERATOR) SIGNGATE_NO_REASON = 0 };
#undef SIGNGATE_ENUMERATOR

/* The code of a reason ("SG-APPROVAL-REQUIRED"), or NULL for a number that this header does not know. */
static inline const char *signgate_reason_code(int number)
{
    switch (number) {
#define SIGNGATE_CASE(name, number, code) case number: return code;
    SIGNGATE_REASONS(SIGNGATE_CASE)
#undef SIGNGATE_CASE
    default: return NULL;
    }
}

/* The reason with this code, or SIGNGATE_NO_REASON for a code that this header does not know. */
static inline enum signgate_reason signgate_reason_of(const char *code)
{
#define SIGNGATE_COMPARE(name, number, known) if (strcmp(code, known) == 0) return name;
    SIGNGATE_REASONS(SIGNGATE_COMPARE)
#undef SIGNGATE_COMPARE
    return SIGNGATE_NO_REASON;
}

/*
 * What signtool is answered. The values are those of winerror.h; each is a failure, and zero (S_OK) is a signature.
 * The line on stderr says more. What each means: docs/windows.md.
 */
/* begin answers */
/* Each answer once: X(name, value). */
#define SIGNGATE_ANSWERS(X) \
    X(SIGNGATE_NTE_PERM, 0x80090010) \
    X(SIGNGATE_NTE_FAIL, 0x80090020) \
    X(SIGNGATE_NTE_PROVIDER_DLL_FAIL, 0x8009001d) \
    X(SIGNGATE_NTE_DEVICE_NOT_READY, 0x80090030) \
    X(SIGNGATE_NTE_BAD_ALGID, 0x80090008) \
    X(SIGNGATE_NTE_BAD_HASH, 0x80090002) \
    X(SIGNGATE_E_INVALIDARG, 0x80070057) \
    X(SIGNGATE_E_OUTOFMEMORY, 0x8007000e) \
    X(SIGNGATE_E_FAIL, 0x80004005)
/* end answers */
#define SIGNGATE_ANSWER(name, value) name = (int)(value),
enum signgate_answer { SIGNGATE_ANSWERS(SIGNGATE_ANSWER) SIGNGATE_S_OK = 0 };
#undef SIGNGATE_ANSWER

#ifdef _WIN32
/*
 * The interface of signtool's /dlib, for callers of signgate_pkcs11.dll. Include windows.h and wincrypt.h before this.
 * `metadata` is the content of the file of /dmdf, such as {"signer": "mobile-release"}; `algorithm` is CALG_SHA_256,
 * CALG_SHA_384 or CALG_SHA_512, and `digest` has that hash's length. On S_OK the caller frees signature->pbData with
 * HeapFree(GetProcessHeap()) and *signer with CertFreeCertificateContext, and `chain` holds the signer's certificate and
 * its issuers. On anything else nothing was written and no certificate added. `file`, if it is not NULL and not
 * INVALID_HANDLE_VALUE, is read from its beginning; its position is the same afterwards.
 */
#ifdef CALG_SHA_256
HRESULT __stdcall AuthenticodeDigestSignEx(PCRYPT_DATA_BLOB metadata, ALG_ID algorithm, PBYTE digest, DWORD length,
                                           PCRYPT_DATA_BLOB signature, PCCERT_CONTEXT *signer, HCERTSTORE chain);

HRESULT __stdcall AuthenticodeDigestSignExWithFileHandle(PCRYPT_DATA_BLOB metadata, ALG_ID algorithm, PBYTE digest,
                                                         DWORD length, HANDLE file, PCRYPT_DATA_BLOB signature,
                                                         PCCERT_CONTEXT *signer, HCERTSTORE chain);
#endif
#endif

#ifdef __cplusplus
}
#endif

#endif
