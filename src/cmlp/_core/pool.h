/* The threads of the engine: a pool for the process, made when first needed, for one job at a time.
 * Who computes; nothing of what. Every module that includes this has a pool of its own, and only
 * one engine is loaded.
 *
 * A job is a sequence of phases, a phase a number of pieces that may be computed in any order by
 * anyone. A thread that is running takes the next piece; one that has lost its core takes none, and
 * is not waited for unless it holds a piece. So a loaded machine costs little more than the cores
 * that it takes away, where threads that meet at a barrier wait for the last (measured: twice as
 * long as one thread, with a third busy process on two cores). */
#ifndef CMLP_POOL_H
#define CMLP_POOL_H

#include <stdint.h>
#include "fpenv.h"

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#include <time.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

#define CMLP_MAX_THREADS 128 /* at most 255: see ticket */
/* Looks at the ticket before sleeping: 10 to 40 us. Longer than the uneven ends of two phases,
 * and a thread without a core of its own costs the others no more than that. */
#define CMLP_SPINS 1000
#define CMLP_STACK_BYTES (1 << 20)
#define CMLP_TIMED_WAIT_MS 20 /* between two looks for signals of a rank 0 that waits */

/* Atomic integers, sequentially consistent but for CMLP_PEEK. */

#if defined(__GNUC__)
typedef int cmlp_atomic;
typedef uint64_t cmlp_atomic64;
#define CMLP_PEEK64(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define CMLP_LOAD64(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define CMLP_STORE64(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define CMLP_LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define CMLP_STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define CMLP_ADD(p, v) __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)
#define CMLP_EXCHANGE(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
static inline int cmlp_swap64(cmlp_atomic64 *p, uint64_t old, uint64_t value) {
    return __atomic_compare_exchange_n(p, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}
#else
typedef volatile LONG cmlp_atomic;
typedef volatile LONG64 cmlp_atomic64;
#define CMLP_PEEK64(p) ((uint64_t)ReadAcquire64(p))
#define CMLP_LOAD64(p) ((uint64_t)InterlockedCompareExchange64(p, 0, 0))
#define CMLP_STORE64(p, v) ((void)InterlockedExchange64(p, (LONG64)(v)))
#define CMLP_LOAD(p) InterlockedCompareExchange(p, 0, 0)
#define CMLP_STORE(p, v) ((void)InterlockedExchange(p, v))
#define CMLP_ADD(p, v) InterlockedExchangeAdd(p, v)
#define CMLP_EXCHANGE(p, v) InterlockedExchange(p, v)
static inline int cmlp_swap64(cmlp_atomic64 *p, uint64_t old, uint64_t value) {
    return (uint64_t)InterlockedCompareExchange64(p, (LONG64)value, (LONG64)old) == old;
}
#endif

/* A hint that this thread only waits. */

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define CMLP_PAUSE() __builtin_ia32_pause()
#elif defined(__GNUC__) && defined(__aarch64__)
#define CMLP_PAUSE() __asm__ volatile("isb" ::: "memory") /* yield is a no-op on most cores */
#elif defined(__GNUC__) && defined(__powerpc__)
#define CMLP_PAUSE() __asm__ volatile("or 27,27,27" ::: "memory")
#elif defined(_WIN32)
#define CMLP_PAUSE() YieldProcessor()
#else
#define CMLP_PAUSE() ((void)0)
#endif

#if defined(_WIN32)
typedef SRWLOCK cmlp_mutex;
typedef CONDITION_VARIABLE cmlp_condition;
#define CMLP_LOCK(m) AcquireSRWLockExclusive(m)
#define CMLP_UNLOCK(m) ReleaseSRWLockExclusive(m)
#define CMLP_SLEEP(c, m) SleepConditionVariableSRW(c, m, INFINITE, 0)
#define CMLP_WAKE(c) WakeAllConditionVariable(c)
#define CMLP_TIMED_WAIT(c, m) SleepConditionVariableSRW(c, m, CMLP_TIMED_WAIT_MS, 0)
#else
typedef pthread_mutex_t cmlp_mutex;
typedef pthread_cond_t cmlp_condition;
#define CMLP_LOCK(m) pthread_mutex_lock(m)
#define CMLP_UNLOCK(m) pthread_mutex_unlock(m)
#define CMLP_SLEEP(c, m) pthread_cond_wait(c, m)
#define CMLP_WAKE(c) pthread_cond_broadcast(c)
#define CMLP_TIMED_WAIT(c, m) cmlp_timed_wait(c, m)
/* If the clock is set back meanwhile the wait is longer; CMLP_WAKE ends it all the same. */
static inline void cmlp_timed_wait(cmlp_condition *condition, cmlp_mutex *mutex) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += CMLP_TIMED_WAIT_MS * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_nsec -= 1000000000L;
        end.tv_sec++;
    }
    pthread_cond_timedwait(condition, mutex, &end);
}
#endif

/* Where the thread of one rank sleeps. */
typedef struct {
    cmlp_atomic asleep;
    cmlp_mutex mutex;
    cmlp_condition condition;
    char padding[128]; /* from the next one's cache lines */
} cmlp_wait_slot;

/* Number of pieces of the next phase, or 0 at the end; called by one thread at a time. */
typedef int (*cmlp_next_phase)(void *context);
/* Compute one piece of the phase. rank: whose scratch memory to use. */
typedef void (*cmlp_piece)(void *context, int piece, int rank);
/* Called by rank 0 now and then while it waits for the others; may be NULL. */
typedef void (*cmlp_idle)(void *context);

typedef struct {
    /* phase, counted over all jobs | threads that may take part (8 bits) | pieces not yet taken
     * (24 bits). All in one word, so that what a late thread read of an earlier phase is void. */
    cmlp_atomic64 ticket;
    char padding_1[120];
    cmlp_atomic unfinished; /* pieces of the phase */
    char padding_2[124];
    cmlp_atomic busy; /* a job is running */
    /* of the job; whoever holds a piece may read them */
    cmlp_next_phase next_phase;
    cmlp_piece piece;
    cmlp_idle idle;
    void *context;
    int n_threads;
    int n_pieces;  /* of the phase */
    int n_workers; /* threads that exist, without the caller */
    int orphaned;  /* this process is a fork made by rank 0 within the job: no other ranks */
#if !defined(_WIN32)
    int has_caller;
    pthread_t caller; /* rank 0 of the job */
#endif
    cmlp_wait_slot wait_slots[CMLP_MAX_THREADS];
} cmlp_pool;

static cmlp_pool cmlp_the_pool;

#define CMLP_PIECES(ticket) ((int)((ticket) & 0xffffff))
#define CMLP_THREADS(ticket) ((int)((ticket) >> 24 & 0xff))

static inline void cmlp_wait_slot_init(cmlp_wait_slot *slot) {
    slot->asleep = 0;
#if defined(_WIN32)
    InitializeSRWLock(&slot->mutex);
    InitializeConditionVariable(&slot->condition);
#else
    pthread_mutex_init(&slot->mutex, NULL);
    pthread_cond_init(&slot->condition, NULL);
#endif
}

/* Whether a thread has reason to wake: a piece to take, or for rank 0 the end of the job. */
static inline int cmlp_called(uint64_t ticket, int rank) {
    return CMLP_PIECES(ticket) ? rank < CMLP_THREADS(ticket)
                               : rank == 0 && CMLP_THREADS(ticket) == 0;
}

/* Until there is reason to wake; rank 0 waits for a short time only, again and again. */
static inline void cmlp_pool_sleep(cmlp_pool *pool, int rank) {
    cmlp_wait_slot *slot = &pool->wait_slots[rank];
    CMLP_LOCK(&slot->mutex);
    CMLP_STORE(&slot->asleep, 1);
    if (rank == 0) {
        if (!cmlp_called(CMLP_LOAD64(&pool->ticket), 0)) CMLP_TIMED_WAIT(&slot->condition, &slot->mutex);
    } else {
        while (!cmlp_called(CMLP_LOAD64(&pool->ticket), rank))
            CMLP_SLEEP(&slot->condition, &slot->mutex);
    }
    CMLP_STORE(&slot->asleep, 0);
    CMLP_UNLOCK(&slot->mutex);
    if (rank == 0 && pool->idle && !cmlp_called(CMLP_LOAD64(&pool->ticket), 0))
        pool->idle(pool->context);
}

/* Begin the next phase, or end the job. Either this sees who is asleep, or they see the ticket. */
static inline void cmlp_pool_advance(cmlp_pool *pool) {
    uint64_t phase = (CMLP_PEEK64(&pool->ticket) >> 32) + 1;
    int rank, n_threads = pool->n_threads, n_pieces = pool->next_phase(pool->context);
    pool->n_pieces = n_pieces;
    CMLP_STORE(&pool->unfinished, n_pieces);
    CMLP_STORE64(&pool->ticket,
                 phase << 32 | (uint64_t)(n_pieces ? n_threads : 0) << 24 | (uint64_t)n_pieces);
    /* from here on the job may be over, and the next caller's begun */
    if (n_pieces == 0) n_threads = 1;
    for (rank = 0; rank < n_threads; rank++) {
        cmlp_wait_slot *slot = &pool->wait_slots[rank];
        if (CMLP_LOAD(&slot->asleep)) {
            CMLP_LOCK(&slot->mutex);
            CMLP_WAKE(&slot->condition);
            CMLP_UNLOCK(&slot->mutex);
        }
    }
}

/* Take pieces: a worker forever, rank 0 to the end of the job. */
static inline void cmlp_pool_work(cmlp_pool *pool, int rank) {
    int spins = 0;
    for (;;) {
        uint64_t ticket = CMLP_PEEK64(&pool->ticket);
        if (!cmlp_called(ticket, rank)) {
            if (spins++ < CMLP_SPINS) {
                CMLP_PAUSE();
            } else {
                cmlp_pool_sleep(pool, rank);
                if (rank == 0 && pool->orphaned) return;
                spins = 0;
            }
        } else if (CMLP_PIECES(ticket) == 0) {
            return;
        } else if (cmlp_swap64(&pool->ticket, ticket, ticket - 1)) {
            pool->piece(pool->context, pool->n_pieces - CMLP_PIECES(ticket), rank);
            if (pool->orphaned) return;
            if (CMLP_ADD(&pool->unfinished, -1) == 1) cmlp_pool_advance(pool);
            spins = 0;
        }
    }
}

#if defined(_WIN32)
static DWORD WINAPI cmlp_worker(void *rank) {
#else
static void *cmlp_worker(void *rank) {
#endif
    cmlp_flush_denormals();
    cmlp_pool_work(&cmlp_the_pool, (int)(intptr_t)rank);
    return 0;
}

/* Detached: a process ends without waiting for them. */
static inline int cmlp_start_worker(int rank) {
    void *argument = (void *)(intptr_t)rank;
#if defined(_WIN32)
    HANDLE thread = CreateThread(NULL, CMLP_STACK_BYTES, cmlp_worker, argument,
                                 STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (!thread) return 0;
    CloseHandle(thread);
    return 1;
#else
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int failed;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, CMLP_STACK_BYTES);
    /* signals go to Python's threads: a worker inherits that all are blocked, but for those of its
     * own faults, which faulthandler reports */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, cmlp_worker, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !failed;
#endif
}

#if !defined(_WIN32)
/* A fork has one thread only, and may find any lock taken. If that thread is rank 0 of a job (a
 * signal handler forked), its job ends without a result. */
static void cmlp_pool_forked(void) {
    cmlp_pool *pool = &cmlp_the_pool;
    if (CMLP_LOAD(&pool->busy) && pool->has_caller && pthread_equal(pool->caller, pthread_self())) {
        pool->orphaned = 1;
    } else {
        pool->orphaned = pool->has_caller = 0;
        CMLP_STORE(&pool->busy, 0);
    }
    pool->n_workers = 0;
}
#endif

/* Have workers for n threads, the caller included, or as many as can be made; the pool is ours.
 * Returns the number of threads. */
static inline int cmlp_pool_grow(cmlp_pool *pool, int n_threads) {
#if !defined(_WIN32)
    static int registered;
    if (!registered) {
        if (pthread_atfork(NULL, NULL, cmlp_pool_forked)) return 1;
        registered = 1;
    }
#endif
    if (!pool->n_workers) {
        cmlp_wait_slot_init(&pool->wait_slots[0]);
        CMLP_STORE64(&pool->ticket, (CMLP_LOAD64(&pool->ticket) >> 32) << 32);
    }
    while (pool->n_workers < n_threads - 1) {
        cmlp_wait_slot_init(&pool->wait_slots[pool->n_workers + 1]);
        if (!cmlp_start_worker(pool->n_workers + 1)) break;
        pool->n_workers++;
    }
    return n_threads < pool->n_workers + 1 ? n_threads : pool->n_workers + 1;
}

/* Compute all phases of a job, with ranks 0..n-1, the caller being rank 0, and return n. It is
 * n_threads, or less if threads cannot be made, or 1 if the pool has another caller's job.
 * 0: the job itself forked, this is the child, and there is no result.
 * Denormals are zero meanwhile. */
static inline int cmlp_pool_run(cmlp_next_phase next_phase, cmlp_piece piece, cmlp_idle idle,
                                void *context, int n_threads) {
    cmlp_pool *pool = &cmlp_the_pool;
    cmlp_fp_state before = cmlp_flush_denormals();
    int i, n, alone = 1;
    if (n_threads > CMLP_MAX_THREADS) n_threads = CMLP_MAX_THREADS;
    if (n_threads > 1 && !CMLP_EXCHANGE(&pool->busy, 1)) {
#if !defined(_WIN32)
        pool->caller = pthread_self();
        pool->has_caller = 1;
#endif
        n_threads = cmlp_pool_grow(pool, n_threads);
        if (n_threads > 1) {
            alone = 0;
            pool->next_phase = next_phase;
            pool->piece = piece;
            pool->idle = idle;
            pool->context = context;
            pool->n_threads = n_threads;
            cmlp_pool_advance(pool);
            cmlp_pool_work(pool, 0);
            if (pool->orphaned) n_threads = 0;
            pool->orphaned = 0;
        }
#if !defined(_WIN32)
        pool->has_caller = 0;
#endif
        CMLP_STORE(&pool->busy, 0);
    }
    if (alone) {
        n_threads = 1;
        while ((n = next_phase(context)) != 0)
            for (i = 0; i < n; i++) piece(context, i, 0);
    }
    cmlp_fp_restore(before);
    return n_threads;
}

#endif
