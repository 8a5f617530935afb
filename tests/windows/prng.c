/* bcryptprimitives.dll for wine 8, which has none: the one function that Rust's standard library takes from it.
 * Newer wines and Windows have their own. Built by ci/windows; never shipped. */

#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length); /* RtlGenRandom of advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    return SystemFunction036(buffer, (ULONG)length);
}
