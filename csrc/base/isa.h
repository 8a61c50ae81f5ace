#pragma once
// Which instruction sets this CPU has and which of them whit may use.

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"

namespace whit {

/// Levels in the order of the docs. `scalar` is portable C++ compiled for the base of the target.
enum class Isa : u8 { scalar, neon, neondot, i8mm, neon32, avx2, avxvnni, avx512vnni, avx512icl, amx };
inline constexpr int kIsaCount = 10;

const char* isa_name(Isa isa);

/// A set of ISA levels. Kernel selection is a pure function of this set and the shape.
class IsaSet {
 public:
  constexpr IsaSet() = default;
  constexpr bool has(Isa isa) const { return (bits_ >> static_cast<int>(isa)) & 1; }
  constexpr IsaSet with(Isa isa) const { return IsaSet(bits_ | (1u << static_cast<int>(isa))); }
  constexpr IsaSet operator&(IsaSet other) const { return IsaSet(bits_ & other.bits_); }
  constexpr bool operator==(const IsaSet&) const = default;

 private:
  constexpr explicit IsaSet(u32 bits) : bits_(bits) {}
  u32 bits_ = 0;
};

/// `level` and every level below it: avx512vnni gives {scalar, avx2, avx512vnni}. What WHIT_ISA=level allows.
IsaSet isa_up_to(Isa level);

/// What this CPU and operating system can execute, from CPUID or HWCAP alone. Detected once; where the CPU has AMX, the
/// process asks the kernel for leave to use it.
IsaSet isa_detected();

/// The levels whose kernels were compiled into this library.
IsaSet isa_compiled();

/// Detected and compiled, reduced by the environment variable WHIT_ISA (a level's name) if set.
/// An unknown name, or a level that this CPU or build lacks, is an invalid_argument that lists the usable ones.
Result<IsaSet> isa_active();

/// Detected and compiled, reduced to `level` and those below it. `source` says in errors where the name came from.
/// Errors as of isa_active().
Result<IsaSet> isa_limited(const char* level, const char* source);

/// The best level of a set, for reports ("avx512vnni").
Isa isa_best(IsaSet set);

/// "scalar avx2 avx512vnni"
std::string isa_list(IsaSet set);

/// The level of this name, or nullopt.
std::optional<Isa> isa_from_name(std::string_view name);

}  // namespace whit
