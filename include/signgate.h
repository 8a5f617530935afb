/*
 * signgate: reason codes for C callers.
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
    X(SIGNGATE_SIGNER_UNKNOWN, 301, "SG-SIGNER-UNKNOWN") \
    X(SIGNGATE_MECHANISM_NOT_ALLOWED, 401, "SG-MECHANISM-NOT-ALLOWED") \
    X(SIGNGATE_DIGEST_WEAK, 402, "SG-DIGEST-WEAK") \
    X(SIGNGATE_DIGEST_NOT_ALLOWED, 403, "SG-DIGEST-NOT-ALLOWED") \
    X(SIGNGATE_KEY_SIZE, 404, "SG-KEY-SIZE") \
    X(SIGNGATE_KEY_UNREADABLE, 405, "SG-KEY-UNREADABLE") \
    X(SIGNGATE_NOT_DIGEST_INFO, 406, "SG-NOT-DIGEST-INFO") \
    X(SIGNGATE_DATA_LENGTH, 407, "SG-DATA-LENGTH") \
    X(SIGNGATE_AUDITOR, 501, "SG-AUDITOR") \
    X(SIGNGATE_PRODUCT_ADMIN, 502, "SG-PRODUCT-ADMIN") \
    X(SIGNGATE_NOT_A_MEMBER, 601, "SG-NOT-A-MEMBER") \
    X(SIGNGATE_SIGNER_NOT_ACTIVE, 701, "SG-SIGNER-NOT-ACTIVE") \
    X(SIGNGATE_KEYPAIR_SUSPENDED, 702, "SG-KEYPAIR-SUSPENDED") \
    X(SIGNGATE_KEYPAIR_REVOKED, 703, "SG-KEYPAIR-REVOKED") \
    X(SIGNGATE_CERTIFICATE_NOT_YET_VALID, 704, "SG-CERTIFICATE-NOT-YET-VALID") \
    X(SIGNGATE_CERTIFICATE_EXPIRED, 705, "SG-CERTIFICATE-EXPIRED") \
    X(SIGNGATE_CERTIFICATE_REVOKED, 706, "SG-CERTIFICATE-REVOKED") \
    X(SIGNGATE_KEY_REPLACED, 707, "SG-KEY-REPLACED") \
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

#ifdef __cplusplus
}
#endif

#endif
