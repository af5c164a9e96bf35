/* How work that takes long notices that its job is to stop (Ctrl-C): between the blocks of a large
 * product, and between slabs. Each thread is told what to watch for as long as it computes a piece.
 * Who looks for signals, and what a stop leaves undone, is in train.pxi and predict.pxi. */
#ifndef CMLP_STOP_H
#define CMLP_STOP_H

#include <stddef.h>

#if defined(__GNUC__)
#define CMLP_THREAD_LOCAL static __thread
typedef int cmlp_flag;
#define CMLP_RAISE(flag) __atomic_store_n(flag, 1, __ATOMIC_RELAXED)
#define CMLP_RAISED(flag) __atomic_load_n(flag, __ATOMIC_RELAXED)
#else
#define CMLP_THREAD_LOCAL static __declspec(thread)
typedef volatile long cmlp_flag;
#define CMLP_RAISE(flag) (*(flag) = 1)
#define CMLP_RAISED(flag) (*(flag))
#endif

/* Count work; look for signals, and raise the flag, if it is time. */
typedef void (*cmlp_look)(void *context, ptrdiff_t flops);

typedef struct {
    cmlp_flag *flag; /* of the job; NULL: nothing to watch */
    cmlp_look look;
    void *context;   /* of look; NULL: another thread looks */
    int in_products; /* a product may be left unfinished */
} cmlp_watch;

CMLP_THREAD_LOCAL cmlp_watch cmlp_watched;

static inline void cmlp_watch_begin(
    cmlp_flag *flag, cmlp_look look, void *context, int in_products) {
    cmlp_watch watch;
    watch.flag = flag;
    watch.look = look;
    watch.context = context;
    watch.in_products = in_products;
    cmlp_watched = watch;
}

static inline void cmlp_watch_end(void) { cmlp_watched.flag = NULL; }

static inline void cmlp_raise(cmlp_flag *flag) { CMLP_RAISE(flag); }

static inline int cmlp_raised(cmlp_flag *flag) { return CMLP_RAISED(flag); }

/* After so much work: whether to leave the rest undone. */
static inline int cmlp_stopped(ptrdiff_t flops) {
    const cmlp_watch watch = cmlp_watched;
    if (!watch.flag) return 0;
    if (watch.context) {
        cmlp_watched.flag = NULL; /* a handler may use this thread for a job of its own */
        watch.look(watch.context, flops);
        cmlp_watched = watch;
    }
    return CMLP_RAISED(watch.flag);
}

static inline int cmlp_product_stopped(ptrdiff_t flops) {
    return cmlp_watched.flag && cmlp_watched.in_products && cmlp_stopped(flops);
}

#endif
