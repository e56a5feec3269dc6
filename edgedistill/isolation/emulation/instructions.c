/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
 *
 * A plug-in of QEMU's user-mode emulation that counts executed guest instructions. The guest asks for the count with a
 * system call that no kernel has (COUNT_CALL of guest.py); its argument is the file descriptor to write it to. Guest
 * and emulator share their descriptors.
 *
 * The declarations are of QEMU's plug-in interface, version 1 (QEMU 4.2 to 8.2), written from its documentation
 * (docs/devel/tcg-plugins): Debian's packages bring no header for it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id,
    void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

/* Added to without a lock: exact as long as one thread computes, which is all that edgedistill asks for. */
static uint64_t executed;

static void on_translation(plugin_id id, struct qemu_plugin_tb *block) {
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &executed, qemu_plugin_tb_n_insns(block));
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t descriptor, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    if (number == COUNT_CALL) dprintf((int)descriptor, "%llu\n", (unsigned long long)executed);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
