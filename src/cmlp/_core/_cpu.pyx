# Which instruction sets this processor and its operating system support. Nothing else.

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    static int cmlp_has_avx2(void) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    static int cmlp_has_avx512(void) {
        return cmlp_has_avx2() && __builtin_cpu_supports("avx512f")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl");
    }
    #elif defined(_M_X64)
    #include <intrin.h>
    static int cmlp_cpuid_has(int leaf, int reg, int bits, int xcr0) {
        int info[4];
        __cpuid(info, 1);
        if (!(info[2] & (1 << 27)) || (_xgetbv(0) & xcr0) != xcr0) return 0;
        __cpuidex(info, leaf, 0);
        return (info[reg] & bits) == bits;
    }
    static int cmlp_has_avx2(void) {
        return cmlp_cpuid_has(1, 2, 1 << 12, 6) && cmlp_cpuid_has(7, 1, 1 << 5, 6);
    }
    static int cmlp_has_avx512(void) {
        return cmlp_has_avx2()
            && cmlp_cpuid_has(7, 1, (1 << 16) | (1 << 17) | (1 << 30) | (int)(1u << 31), 0xe6);
    }
    #else
    static int cmlp_has_avx2(void) { return 0; }
    static int cmlp_has_avx512(void) { return 0; }
    #endif
    """
    bint cmlp_has_avx2()
    bint cmlp_has_avx512()


def supported():
    """Names of the engine variants that this machine can run, the fastest first."""
    variants = ["baseline"]
    if cmlp_has_avx2():
        variants.insert(0, "avx2")
    if cmlp_has_avx512():
        variants.insert(0, "avx512")
    return variants
