/* The floating-point environment of one thread: denormals as zero while kernels run. Nothing else. */
#ifndef CMLP_FPENV_H
#define CMLP_FPENV_H

/* The asm statements keep the compiler from moving loads and stores across the switch. */
#if defined(__GNUC__)
#define CMLP_FENCE() __asm__ volatile("" ::: "memory")
#else
#define CMLP_FENCE() ((void)0)
#endif

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
typedef unsigned int cmlp_fp_state;
#define CMLP_FLUSH 0x8040u /* FTZ | DAZ of MXCSR */
#define CMLP_FP_GET() _mm_getcsr()
#define CMLP_FP_SET(state) _mm_setcsr(state)
#elif defined(__aarch64__) && defined(__GNUC__)
typedef unsigned long long cmlp_fp_state;
#define CMLP_FLUSH (1ull << 24) /* FZ of FPCR */
static inline cmlp_fp_state cmlp_fpcr(void) {
    cmlp_fp_state state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
}
#define CMLP_FP_GET() cmlp_fpcr()
#define CMLP_FP_SET(state) __asm__ volatile("msr fpcr, %0" ::"r"(state))
#elif defined(_M_ARM64)
#include <intrin.h>
typedef unsigned long long cmlp_fp_state;
#define CMLP_FLUSH (1ull << 24)
#define CMLP_FP_GET() (cmlp_fp_state) _ReadStatusReg(ARM64_FPCR)
#define CMLP_FP_SET(state) _WriteStatusReg(ARM64_FPCR, (__int64)(state))
#else
typedef int cmlp_fp_state;
#define CMLP_FLUSH 0
#define CMLP_FP_GET() 0
#define CMLP_FP_SET(state) ((void)(state))
#endif

/* Whether this build can flush at all. */
#define CMLP_FLUSHES (CMLP_FLUSH != 0)

/* Read and write denormals as zero from here on, in this thread; returns what to restore. */
static inline cmlp_fp_state cmlp_flush_denormals(void) {
    cmlp_fp_state before = CMLP_FP_GET();
    CMLP_FP_SET(before | CMLP_FLUSH);
    CMLP_FENCE();
    return before;
}

/* Denormals as Python code expects them. */
static inline cmlp_fp_state cmlp_keep_denormals(void) {
    cmlp_fp_state before = CMLP_FP_GET();
    CMLP_FENCE();
    CMLP_FP_SET(before & ~CMLP_FLUSH);
    return before;
}

/* The state as it was, exception flags included: kernels leave no trace. */
static inline void cmlp_fp_restore(cmlp_fp_state before) {
    CMLP_FENCE();
    CMLP_FP_SET(before);
    CMLP_FENCE();
}

#endif
