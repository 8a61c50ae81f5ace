// A plugin for QEMU's user emulation that counts how often each translated block of the guest runs.
//
//   gcc -O2 -shared -fPIC -o counter.so counter.c
//   qemu-aarch64 -plugin ./counter.so,out=TRACE PROGRAM...
//
// The guest marks points of time by close(-7000000 - TAG) with TAG in 1..999, which fails with EBADF and changes
// nothing. Tag 1 begins an interval. At every other tag TRACE gets one line for each block that ran since the mark
// before:
//
//   <tag> <times run> <guest address, hex> <offset in the file, hex> <instructions> <instruction bytes, hex> <file>
//
// The counts are plain additions without a lock: the guest must run on one thread between the marks.

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What is used of qemu-plugin.h, version 1 (QEMU before 9.0), which Debian does not package.
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translate_callback)(plugin_id, struct qemu_plugin_tb*);
typedef void (*exit_callback)(plugin_id, void*);
typedef void (*syscall_callback)(plugin_id, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translate_callback);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_callback);
void qemu_plugin_register_atexit_cb(plugin_id, exit_callback, void*);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb*);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn*);
void* qemu_plugin_insn_haddr(const struct qemu_plugin_insn*);
enum { kAddU64 = 0 };
typedef volatile uint64_t counter;
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int op, void*, uint64_t);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct block {
  uint64_t address;       // in the guest
  uint64_t host_address;  // of the first instruction's bytes, to find the file
  size_t instructions;
  size_t size;
  counter count;
  uint64_t count_at_mark;
  struct block* next;  // in the same hash bucket
  uint8_t bytes[];
};

enum { kBuckets = 1 << 16, kBytes = 4096, kMark = -7000000, kBegin = 1, kTags = 1000 };
enum { kCloseArm = 6, kCloseAarch64 = 57 };

static struct block* buckets[kBuckets];
static struct block** blocks;
static size_t block_count, block_capacity;
static FILE* out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void* checked(void* memory) {
  if (!memory) {
    fputs("counter: out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

static size_t read_instruction(const struct qemu_plugin_insn* instruction, uint8_t* to, size_t room) {
  const size_t size = qemu_plugin_insn_size(instruction);
  if (size > room) return 0;
  memcpy(to, qemu_plugin_insn_data(instruction), size);
  return size;
}

// The block at this address with these bytes: QEMU may translate the same code many times.
static struct block* find_or_add(const struct qemu_plugin_tb* tb, const uint8_t* bytes, size_t size) {
  const uint64_t address = qemu_plugin_tb_vaddr(tb);
  const size_t instructions = qemu_plugin_tb_n_insns(tb);
  struct block** bucket = &buckets[(uint32_t)((address >> 1) * 2654435761u) >> 16];
  for (struct block* b = *bucket; b; b = b->next)
    if (b->address == address && b->instructions == instructions && b->size == size && !memcmp(b->bytes, bytes, size))
      return b;

  struct block* b = checked(calloc(1, sizeof *b + size));
  b->address = address;
  b->host_address = (uint64_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0));
  b->instructions = instructions;
  b->size = size;
  memcpy(b->bytes, bytes, size);
  b->next = *bucket;
  *bucket = b;
  if (block_count == block_capacity) {
    block_capacity = block_capacity ? 2 * block_capacity : 4096;
    blocks = checked(realloc(blocks, block_capacity * sizeof *blocks));
  }
  blocks[block_count++] = b;
  return b;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb* tb) {
  (void)id;
  uint8_t bytes[kBytes];
  size_t size = 0;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
    size += read_instruction(qemu_plugin_tb_get_insn(tb, i), bytes + size, sizeof bytes - size);
  pthread_mutex_lock(&lock);
  struct block* b = find_or_add(tb, bytes, size);
  pthread_mutex_unlock(&lock);
  qemu_plugin_register_vcpu_tb_exec_inline(tb, kAddU64, (void*)&b->count, 1);
}

// The text of /proc/self/maps as a stream that can be rewound cheaply.
static FILE* read_maps(void) {
  static char* text;
  static size_t capacity;
  FILE* maps = fopen("/proc/self/maps", "r");
  if (!maps) return NULL;
  size_t size = 0;
  for (size_t got = 1; got; size += got) {
    if (capacity - size < 4096) text = checked(realloc(text, capacity += 1 << 20));
    got = fread(text + size, 1, capacity - size, maps);
  }
  fclose(maps);
  return checked(fmemopen(text, size, "r"));
}

// Finds what file is mapped at a host address. Returns the offset in that file.
static uint64_t locate(FILE* maps, uint64_t address, char* file, size_t room) {
  char line[4352];
  rewind(maps);
  while (fgets(line, sizeof line, maps)) {
    unsigned long begin, end, offset;
    int path = 0;
    if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %n", &begin, &end, &offset, &path) < 3 || path == 0) continue;
    if (address < begin || address >= end) continue;
    line[strcspn(line, "\n")] = 0;
    snprintf(file, room, "%s", line[path] ? line + path : "[anonymous]");
    return address - begin + offset;
  }
  snprintf(file, room, "?");
  return 0;
}

static void write_block(int tag, const struct block* b, uint64_t times, FILE* maps) {
  char file[4352] = "?";
  const uint64_t offset = maps ? locate(maps, b->host_address, file, sizeof file) : 0;
  fprintf(out, "%d %llu %llx %llx %zu ", tag, (unsigned long long)times, (unsigned long long)b->address,
          (unsigned long long)offset, b->instructions);
  for (size_t i = 0; i < b->size; i++) fprintf(out, "%02x", b->bytes[i]);
  fprintf(out, " %s\n", file);
}

static void on_mark(int tag) {
  pthread_mutex_lock(&lock);
  FILE* maps = tag == kBegin ? NULL : read_maps();
  for (size_t i = 0; i < block_count; i++) {
    struct block* b = blocks[i];
    const uint64_t count = b->count;
    if (tag != kBegin && count != b->count_at_mark) write_block(tag, b, count - b->count_at_mark, maps);
    b->count_at_mark = count;
  }
  if (maps) fclose(maps);
  fflush(out);
  pthread_mutex_unlock(&lock);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  const int32_t tag = kMark - (int32_t)a1;
  if ((number == kCloseArm || number == kCloseAarch64) && tag > 0 && tag < kTags) on_mark(tag);
}

static void on_guest_exit(plugin_id id, void* data) {
  (void)id, (void)data;
  fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void* info, int argc, char** argv) {
  (void)info;
  for (int i = 0; i < argc; i++)
    if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
  if (!out) {
    fputs("counter: cannot write its file: pass out=FILE\n", stderr);
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  qemu_plugin_register_atexit_cb(id, on_guest_exit, NULL);
  return 0;
}
