/* The threads of the engine: a pool for the process, made when first needed, one job at a time, and
 * a barrier inside a job. Who computes; nothing of what. Every module that includes this has a pool
 * of its own, and only one engine is loaded. */
#ifndef CMLP_POOL_H
#define CMLP_POOL_H

#include <string.h>

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
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

#define CMLP_MAX_THREADS 128
/* Looks at a flag before sleeping: 30 to 100 us. Long enough for the uneven ends of two phases,
 * short enough that a thread without a core of its own costs the others little. */
#define CMLP_SPINS 2000
#define CMLP_STACK_BYTES (1 << 20)

/* Atomic integers; read-modify-write and CMLP_LOAD are sequentially consistent. */

#if defined(__GNUC__)
typedef int cmlp_atomic;
#define CMLP_PEEK(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define CMLP_LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define CMLP_STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define CMLP_ADD(p, v) __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)
#define CMLP_EXCHANGE(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#else
typedef volatile LONG cmlp_atomic;
#define CMLP_PEEK(p) ReadAcquire(p)
#define CMLP_LOAD(p) InterlockedCompareExchange(p, 0, 0)
#define CMLP_STORE(p, v) ((void)InterlockedExchange(p, v))
#define CMLP_ADD(p, v) InterlockedExchangeAdd(p, v)
#define CMLP_EXCHANGE(p, v) InterlockedExchange(p, v)
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
#else
typedef pthread_mutex_t cmlp_mutex;
typedef pthread_cond_t cmlp_condition;
#define CMLP_LOCK(m) pthread_mutex_lock(m)
#define CMLP_UNLOCK(m) pthread_mutex_unlock(m)
#define CMLP_SLEEP(c, m) pthread_cond_wait(c, m)
#define CMLP_WAKE(c) pthread_cond_broadcast(c)
#endif

/* A counter to wait on: spin for a while, then sleep. */
typedef struct {
    cmlp_atomic count;
    cmlp_atomic sleepers;
    cmlp_mutex mutex;
    cmlp_condition condition;
    char apart[128]; /* from the next one's cache lines */
} cmlp_gate;

typedef struct {
    cmlp_atomic busy; /* a job is running */
    char apart[124];
    void (*job)(void *context, int rank, int n_threads);
    void *context;
    int n_threads;
    int n_workers;
    int orphaned;        /* this process is a fork made by rank 0 within a job: no other ranks */
    cmlp_atomic arrived; /* at the barrier */
    cmlp_atomic running; /* workers in the job */
    char apart_too[128];
    cmlp_gate barrier;
    cmlp_gate done;
    cmlp_gate start[CMLP_MAX_THREADS]; /* of the worker with this rank */
#if !defined(_WIN32)
    pthread_t caller; /* rank 0 of the job */
#endif
} cmlp_pool;

static cmlp_pool cmlp_the_pool;

static inline void cmlp_gate_init(cmlp_gate *gate) {
    memset(gate, 0, sizeof *gate);
#if defined(_WIN32)
    InitializeSRWLock(&gate->mutex);
    InitializeConditionVariable(&gate->condition);
#else
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->condition, NULL);
#endif
}

/* Wait until the count is no longer `old`. */
static inline void cmlp_gate_wait(cmlp_gate *gate, int old) {
    int spin;
    for (spin = 0; spin < CMLP_SPINS; spin++) {
        if (CMLP_PEEK(&gate->count) != old) return;
        CMLP_PAUSE();
    }
    CMLP_LOCK(&gate->mutex);
    CMLP_ADD(&gate->sleepers, 1);
    while (CMLP_LOAD(&gate->count) == old) CMLP_SLEEP(&gate->condition, &gate->mutex);
    CMLP_ADD(&gate->sleepers, -1);
    CMLP_UNLOCK(&gate->mutex);
}

/* Add one to the count. Either this sees a sleeper, or the sleeper sees the new count. */
static inline void cmlp_gate_open(cmlp_gate *gate) {
    CMLP_ADD(&gate->count, 1);
    if (CMLP_LOAD(&gate->sleepers)) {
        CMLP_LOCK(&gate->mutex);
        CMLP_WAKE(&gate->condition);
        CMLP_UNLOCK(&gate->mutex);
    }
}

#if defined(_WIN32)
static DWORD WINAPI cmlp_worker(void *argument) {
#else
static void *cmlp_worker(void *argument) {
#endif
    cmlp_pool *pool = &cmlp_the_pool;
    cmlp_gate *start = argument;
    int rank = (int)(start - pool->start);
    unsigned int jobs;
    for (jobs = 0;; jobs++) {
        cmlp_gate_wait(start, (int)jobs);
        pool->job(pool->context, rank, pool->n_threads);
        if (CMLP_ADD(&pool->running, -1) == 1) cmlp_gate_open(&pool->done);
    }
}

/* Detached: a process ends without waiting for them. */
static inline int cmlp_start_worker(cmlp_gate *start) {
#if defined(_WIN32)
    HANDLE thread = CreateThread(NULL, CMLP_STACK_BYTES, cmlp_worker, start,
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
    /* signals go to Python's threads: a worker inherits that all are blocked */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, cmlp_worker, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !failed;
#endif
}

#if !defined(_WIN32)
/* A fork has one thread only, and may find any lock taken. If that thread is rank 0 of a job (a
 * signal handler forked), the job goes on alone to its end, and its result is worth nothing. */
static void cmlp_pool_forked(void) {
    cmlp_pool *pool = &cmlp_the_pool;
    if (CMLP_LOAD(&pool->busy) && pthread_equal(pool->caller, pthread_self()))
        pool->orphaned = 1;
    else
        CMLP_STORE(&pool->busy, 0);
    pool->n_workers = 0;
}
#endif

/* Have workers for n threads, the caller included, or as many as can be made; the pool is ours.
 * Returns the number of threads. */
static inline int cmlp_pool_grow(int n_threads) {
    cmlp_pool *pool = &cmlp_the_pool;
#if !defined(_WIN32)
    static int registered;
    if (!registered) {
        if (pthread_atfork(NULL, NULL, cmlp_pool_forked)) return 1;
        registered = 1;
    }
#endif
    if (!pool->n_workers) {
        cmlp_gate_init(&pool->barrier);
        cmlp_gate_init(&pool->done);
        pool->arrived = 0;
    }
    while (pool->n_workers < n_threads - 1) {
        cmlp_gate *start = &pool->start[pool->n_workers + 1];
        cmlp_gate_init(start);
        if (!cmlp_start_worker(start)) break;
        pool->n_workers++;
    }
    return n_threads < pool->n_workers + 1 ? n_threads : pool->n_workers + 1;
}

/* Run the job on ranks 0..n-1, the caller being rank 0, and return n when all have ended. n is
 * n_threads, or less if threads cannot be made, or 1 if the pool runs another caller's job.
 * 0: the other ranks were lost because the job itself forked, in the child. */
static inline int cmlp_pool_run(
    void (*job)(void *context, int rank, int n_threads), void *context, int n_threads) {
    cmlp_pool *pool = &cmlp_the_pool;
    int rank, jobs;
    if (n_threads > CMLP_MAX_THREADS) n_threads = CMLP_MAX_THREADS;
    if (n_threads > 1 && !CMLP_EXCHANGE(&pool->busy, 1)) {
#if !defined(_WIN32)
        pool->caller = pthread_self();
#endif
        n_threads = cmlp_pool_grow(n_threads);
        if (n_threads > 1) {
            pool->job = job;
            pool->context = context;
            pool->n_threads = n_threads;
            CMLP_STORE(&pool->running, n_threads - 1);
            jobs = CMLP_LOAD(&pool->done.count);
            for (rank = 1; rank < n_threads; rank++) cmlp_gate_open(&pool->start[rank]);
            job(context, 0, n_threads);
            if (pool->orphaned) n_threads = 0;
            else cmlp_gate_wait(&pool->done, jobs);
            pool->orphaned = 0;
            CMLP_STORE(&pool->busy, 0);
            return n_threads;
        }
        CMLP_STORE(&pool->busy, 0);
    }
    job(context, 0, 1);
    return 1;
}

/* Inside a job: wait for all of its n_threads threads. */
static inline void cmlp_pool_barrier(int n_threads) {
    cmlp_pool *pool = &cmlp_the_pool;
    int passed;
    if (n_threads == 1 || pool->orphaned) return;
    passed = CMLP_LOAD(&pool->barrier.count);
    if (CMLP_ADD(&pool->arrived, 1) == n_threads - 1) {
        CMLP_STORE(&pool->arrived, 0);
        cmlp_gate_open(&pool->barrier);
    } else {
        cmlp_gate_wait(&pool->barrier, passed);
    }
}

#endif
