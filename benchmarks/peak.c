/* The machine's limits: multiply-adds of one core, and reading from memory. Compiled by peak.py.
 * Inline assembly, so that no compiler can remove or merge what is to be counted. */
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

#define ACC(I, R, OP) OP " %%" R "14, %%" R "15, %%" R #I "\n\t"
#define TWELVE(R, OP)                                                                             \
    ACC(0, R, OP)                                                                                 \
    ACC(1, R, OP) ACC(2, R, OP) ACC(3, R, OP) ACC(4, R, OP) ACC(5, R, OP) ACC(6, R, OP)           \
        ACC(7, R, OP) ACC(8, R, OP) ACC(9, R, OP) ACC(10, R, OP) ACC(11, R, OP)
/* Not all compilers that know the loop know the 512-bit registers: named by their lower half. */
#define CLOBBERED                                                                                 \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",      \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc"

/* Twelve independent chains hide the latency of any x86-64 so far: 2 units x 4 to 5 cycles. */
#define FMA_LOOP(NAME, R, OP, ZERO)                                                               \
    static void NAME(int64_t n) {                                                                 \
        __asm__ volatile(ZERO "1:\n\t" TWELVE(R, OP) "dec %0\n\tjnz 1b\n\t"                       \
                         : "+r"(n)                                                                \
                         :                                                                        \
                         : CLOBBERED);                                                            \
    }
#define ZERO_VEX "vzeroall\n\t"
FMA_LOOP(fma_avx512_float32, "zmm", "vfmadd231ps", ZERO_VEX)
FMA_LOOP(fma_avx512_float64, "zmm", "vfmadd231pd", ZERO_VEX)
FMA_LOOP(fma_avx2_float32, "ymm", "vfmadd231ps", ZERO_VEX)
FMA_LOOP(fma_avx2_float64, "ymm", "vfmadd231pd", ZERO_VEX)

/* Without FMA a multiply-add is a multiplication and an addition, on two units. */
#define MULADD(I, J, S) "mul" S " %%xmm15, %%xmm" #I "\n\tadd" S " %%xmm15, %%xmm" #J "\n\t"
#define MULADD_LOOP(NAME, S)                                                                      \
    static void NAME(int64_t n) {                                                                 \
        __asm__ volatile("xorps %%xmm0, %%xmm0\n\txorps %%xmm1, %%xmm1\n\t"                       \
                         "xorps %%xmm2, %%xmm2\n\txorps %%xmm3, %%xmm3\n\t"                       \
                         "xorps %%xmm4, %%xmm4\n\txorps %%xmm5, %%xmm5\n\t"                       \
                         "xorps %%xmm6, %%xmm6\n\txorps %%xmm7, %%xmm7\n\t"                       \
                         "xorps %%xmm8, %%xmm8\n\txorps %%xmm9, %%xmm9\n\t"                       \
                         "xorps %%xmm10, %%xmm10\n\txorps %%xmm11, %%xmm11\n\t"                   \
                         "xorps %%xmm15, %%xmm15\n\t"                                             \
                         "1:\n\t" MULADD(0, 1, S) MULADD(2, 3, S) MULADD(4, 5, S) MULADD(6, 7, S) \
                             MULADD(8, 9, S) MULADD(10, 11, S) "dec %0\n\tjnz 1b\n\t"             \
                         : "+r"(n)                                                                \
                         :                                                                        \
                         : CLOBBERED);                                                            \
    }
MULADD_LOOP(muladd_sse2_float32, "ps")
MULADD_LOOP(muladd_sse2_float64, "pd")

#define LOAD(OP, R, AT, I) OP " " #AT "(%0), %%" R #I "\n\t"
#define READ_LOOP(NAME, OP, R, A, B, C, D)                                                        \
    static void NAME(const char *data, int64_t n) {                                               \
        __asm__ volatile("1:\n\t" LOAD(OP, R, 0, 0) LOAD(OP, R, A, 1) LOAD(OP, R, B, 2)           \
                             LOAD(OP, R, C, 3) "add $" #D ", %0\n\tsub $1, %1\n\tjnz 1b\n\t"      \
                         : "+r"(data), "+r"(n)                                                    \
                         :                                                                        \
                         : "memory", CLOBBERED);                                                  \
    }
READ_LOOP(read_avx512, "vmovups", "zmm", 64, 128, 192, 256)
READ_LOOP(read_avx2, "vmovups", "ymm", 32, 64, 96, 128)
READ_LOOP(read_sse2, "movups", "xmm", 16, 32, 48, 64)

static int level(void) {
    if (__builtin_cpu_supports("avx512f")) return 2;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
}

const char *peak_name(void) {
    static const char *const names[] = {"SSE2", "AVX2", "AVX-512"};
    return names[level()];
}

/* n rounds of multiply-adds; returns the number of floating-point operations. */
double peak_multiply_add(int is_float64, int64_t n) {
    switch (2 * level() + (is_float64 != 0)) {
        case 5: fma_avx512_float64(n); return 12.0 * 8 * 2 * n;
        case 4: fma_avx512_float32(n); return 12.0 * 16 * 2 * n;
        case 3: fma_avx2_float64(n); return 12.0 * 4 * 2 * n;
        case 2: fma_avx2_float32(n); return 12.0 * 8 * 2 * n;
        case 1: muladd_sse2_float64(n); return 6.0 * 2 * 2 * n;
        default: muladd_sse2_float32(n); return 6.0 * 4 * 2 * n;
    }
}

static void read_once(const char *data, int64_t size) {
    switch (level()) {
        case 2: read_avx512(data, size / 256); break;
        case 1: read_avx2(data, size / 128); break;
        default: read_sse2(data, size / 64);
    }
}

#elif defined(__aarch64__)

#define FMLA(I, T) "fmla v" #I "." T ", v30." T ", v31." T "\n\t"
#define FMLA_LOOP(NAME, T)                                                                        \
    static void NAME(int64_t n) {                                                                 \
        __asm__ volatile("movi v30.2d, #0\n\tmovi v31.2d, #0\n\t"                                 \
                         "1:\n\t" FMLA(0, T) FMLA(1, T) FMLA(2, T) FMLA(3, T) FMLA(4, T)          \
                             FMLA(5, T) FMLA(6, T) FMLA(7, T) FMLA(16, T) FMLA(17, T) FMLA(18, T) \
                                 FMLA(19, T) FMLA(20, T) FMLA(21, T) FMLA(22, T)                  \
                                     FMLA(23, T) "subs %0, %0, #1\n\tb.ne 1b\n\t"                 \
                         : "+r"(n)                                                                \
                         :                                                                        \
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18",   \
                           "v19", "v20", "v21", "v22", "v23", "v30", "v31", "cc");                \
    }
FMLA_LOOP(fma_float32, "4s")
FMLA_LOOP(fma_float64, "2d")

const char *peak_name(void) { return "NEON"; }

double peak_multiply_add(int is_float64, int64_t n) {
    if (is_float64) fma_float64(n);
    else fma_float32(n);
    return 16.0 * (is_float64 ? 2 : 4) * 2 * n;
}

static void read_once(const char *data, int64_t size) {
    int64_t n = size / 64;
    __asm__ volatile("1:\n\tldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]\n\tadd %0, %0, #64\n\t"
                     "subs %1, %1, #1\n\tb.ne 1b\n\t"
                     : "+r"(data), "+r"(n)
                     :
                     : "memory", "v0", "v1", "v2", "v3", "cc");
}

#else
#error "no loop for this architecture"
#endif

/* Read size bytes, a multiple of 256, n times; returns the number of bytes. */
double peak_read(const void *data, int64_t size, int64_t n) {
    for (int64_t i = 0; i < n; i++) read_once(data, size);
    return (double)size * n;
}
