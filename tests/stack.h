/* Calls a function on a stack of its own, to be searched when it is back.
 * Not by a signal on an alternate stack: the kernel would save the vector
 * registers there, with what the last copy left in them. For the same reason
 * the programs are linked with -z now: the lazy resolver of the first call
 * into the C library saves them too. */
#ifndef STACK_H
#define STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

static ucontext_t stack_here;
static ucontext_t stack_there;

/* `stack` is zeroed first and holds afterwards what `run` left there. */
static inline bool stack_run(void *stack, size_t size, void (*run)(void))
{
    memset(stack, 0, size);
    if (getcontext(&stack_there) != 0) {
        return false;
    }
    stack_there.uc_stack.ss_sp = stack;
    stack_there.uc_stack.ss_size = size;
    stack_there.uc_link = &stack_here;
    makecontext(&stack_there, run, 0);
    return swapcontext(&stack_here, &stack_there) == 0;
}

#endif
