#include "base/isa.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

namespace whit {
namespace {

constexpr const char* kNames[kIsaCount] = {"scalar", "neon",    "neondot",    "i8mm",      "neon32",
                                           "avx2",   "avxvnni", "avx512vnni", "avx512icl", "amx"};

constexpr Isa isa_at(int index) { return static_cast<Isa>(index); }

#if defined(__x86_64__)

u64 read_xcr0() {
  u32 low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<u64>(high) << 32) | low;
}

/// Linux lets a process use tile registers once it has asked; all its threads may from then on.
bool may_use_tiles() {
#ifdef __linux__
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

IsaSet detect() {
  IsaSet set = IsaSet().with(Isa::scalar);
  u32 a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return set;
  const bool fma = c & bit_FMA;
  if (!(c & bit_OSXSAVE)) return set;
  const u64 xcr0 = read_xcr0();
  constexpr u64 kYmm = 0x6, kZmm = 0xe6, kTile = 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return set;
  const u32 b7 = b, c7 = c, d7 = d;
  u32 a71 = 0;
  if (a >= 1) {
    __cpuid_count(7, 1, a71, b, c, d);
  }
  const auto bit = [](u32 reg, int index) { return ((reg >> index) & 1) != 0; };
  if ((xcr0 & kYmm) != kYmm || !bit(b7, 5) || !fma) return set;
  set = set.with(Isa::avx2);
  if (bit(a71, 4)) set = set.with(Isa::avxvnni);
  const bool avx512 = bit(b7, 16) && bit(b7, 17) && bit(b7, 30) && bit(b7, 31);  // F DQ BW VL
  if ((xcr0 & kZmm) != kZmm || !avx512 || !bit(c7, 11)) return set;
  set = set.with(Isa::avx512vnni);
  // VBMI, VBMI2, BITALG, VPOPCNTDQ
  if (bit(c7, 1) && bit(c7, 6) && bit(c7, 12) && bit(c7, 14)) set = set.with(Isa::avx512icl);
  if ((xcr0 & kTile) == kTile && bit(d7, 24) && bit(d7, 25) && may_use_tiles()) set = set.with(Isa::amx);
  return set;
}

#elif defined(__linux__) && defined(__aarch64__)

IsaSet detect() {
  constexpr u64 kAsimdDp = 1u << 20, kI8mm = 1u << 13;
  IsaSet set = IsaSet().with(Isa::scalar).with(Isa::neon);
  if (!(getauxval(AT_HWCAP) & kAsimdDp)) return set;
  set = set.with(Isa::neondot);
  if (getauxval(AT_HWCAP2) & kI8mm) set = set.with(Isa::i8mm);
  return set;
}

#elif defined(__linux__) && defined(__arm__)

IsaSet detect() {
  constexpr u64 kNeon = 1u << 12, kVfpV4 = 1u << 16;
  const u64 caps = getauxval(AT_HWCAP);
  IsaSet set = IsaSet().with(Isa::scalar);
  return (caps & kNeon) && (caps & kVfpV4) ? set.with(Isa::neon32) : set;
}

#else

IsaSet detect() { return IsaSet().with(Isa::scalar); }

#endif

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

std::optional<Isa> isa_from_name(std::string_view name) {
  for (int i = 0; i < kIsaCount; ++i)
    if (name == kNames[i]) return isa_at(i);
  return std::nullopt;
}

IsaSet isa_up_to(Isa level) {
  const IsaSet base = IsaSet().with(Isa::scalar);
  switch (level) {
    case Isa::scalar: return base;
    case Isa::neon: return base.with(Isa::neon);
    case Isa::neondot: return isa_up_to(Isa::neon).with(Isa::neondot);
    case Isa::i8mm: return isa_up_to(Isa::neondot).with(Isa::i8mm);
    case Isa::neon32: return base.with(Isa::neon32);
    case Isa::avx2: return base.with(Isa::avx2);
    case Isa::avxvnni: return isa_up_to(Isa::avx2).with(Isa::avxvnni);
    case Isa::avx512vnni: return isa_up_to(Isa::avx2).with(Isa::avx512vnni);
    case Isa::avx512icl: return isa_up_to(Isa::avx512vnni).with(Isa::avx512icl);
    case Isa::amx: return isa_up_to(Isa::avx512icl).with(Isa::amx);
  }
  return base;
}

IsaSet isa_detected() {
  static const IsaSet detected = detect();
  return detected;
}

IsaSet isa_compiled() {
  IsaSet set = IsaSet().with(Isa::scalar);
#ifdef WHIT_HAVE_NEON
  set = set.with(Isa::neon);
#endif
#ifdef WHIT_HAVE_NEONDOT
  set = set.with(Isa::neondot);
#endif
#ifdef WHIT_HAVE_I8MM
  set = set.with(Isa::i8mm);
#endif
#ifdef WHIT_HAVE_NEON32
  set = set.with(Isa::neon32);
#endif
#ifdef WHIT_HAVE_AVX2
  set = set.with(Isa::avx2);
#endif
#ifdef WHIT_HAVE_AVXVNNI
  set = set.with(Isa::avxvnni);
#endif
#ifdef WHIT_HAVE_AVX512VNNI
  set = set.with(Isa::avx512vnni);
#endif
#ifdef WHIT_HAVE_AVX512ICL
  set = set.with(Isa::avx512icl);
#endif
#ifdef WHIT_HAVE_AMX
  set = set.with(Isa::amx);
#endif
  return set;
}

std::string isa_list(IsaSet set) {
  std::string list;
  for (int i = 0; i < kIsaCount; ++i) {
    if (!set.has(isa_at(i))) continue;
    if (!list.empty()) list += ' ';
    list += kNames[i];
  }
  return list;
}

Isa isa_best(IsaSet set) {
  for (int i = kIsaCount - 1; i > 0; --i)
    if (set.has(isa_at(i))) return isa_at(i);
  return Isa::scalar;
}

Result<IsaSet> isa_limited(const char* name, const char* source) {
  const IsaSet usable = isa_detected() & isa_compiled();
  const std::optional<Isa> level = isa_from_name(name);
  if (!level) {
    return error(Code::invalid_argument, "%s=%s is not an instruction set that whit knows; usable here: %s", source,
                 name, isa_list(usable).c_str());
  }
  if (!usable.has(*level)) {
    return error(Code::invalid_argument, "%s=%s: %s; usable here: %s", source, name,
                 isa_compiled().has(*level) ? "this CPU does not have it" : "this build of whit has no kernels for it",
                 isa_list(usable).c_str());
  }
  return usable & isa_up_to(*level);
}

Result<IsaSet> isa_active() {
  const char* wanted = std::getenv("WHIT_ISA");
  if (!wanted || !*wanted) return isa_detected() & isa_compiled();
  return isa_limited(wanted, "WHIT_ISA");
}

}  // namespace whit
