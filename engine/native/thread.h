// What a thread that makes sound asks of the system.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace musicnn {

// As long as it lives, numbers too small to be heard are 0 in this thread: they would take a hundred times as long.
class NoDenormals {
  public:
#if defined(__x86_64__)
    NoDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~NoDenormals() { _mm_setcsr(before_); }

  private:
    unsigned before_;
#elif defined(__aarch64__)
    NoDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" : : "r"(before_ | (1ULL << 24)));
    }
    ~NoDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

  private:
    unsigned long long before_;
#endif
};

// Ask for a real-time priority under that of a sound server, or, where that is not allowed, for a higher niceness;
// where neither is, the thread is as urgent as any other.
inline void hurry_thread() {
#if defined(__linux__)
    sched_param parameter = {};
    parameter.sched_priority = 5;
    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameter) == 0) return;
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), -11);
#endif
}

}  // namespace musicnn
