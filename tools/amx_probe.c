/* amx_probe - exits 0 only when this machine really executes AMX instructions.
 *
 * Some machines advertise AMX in cpuid and trap on its first instruction (SIGILL), so the flags
 * prove nothing. Encoded as bytes: the compiler's own idea of AMX does not matter. */
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

int main(void)
{
	unsigned char config[64] = { 1 }; /* palette 1 */
	for (int tile = 0; tile < 3; tile++) {
		config[16 + 2 * tile] = 4; /* bytes a row */
		config[48 + tile] = 1;     /* rows */
	}
	if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA))
		return 1;
	__asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" /* ldtilecfg (%rax) */
			 : : "a"(config) : "memory");
	__asm__ volatile(".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0"); /* tilezero %tmm0 */
	__asm__ volatile(".byte 0xc4, 0xe2, 0x6b, 0x5e, 0xc1"); /* tdpbssd %tmm2, %tmm1, %tmm0 */
	__asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0"); /* tilerelease */
	return 0;
}
#else
int main(void) { return 1; }
#endif
